"""Damaged results: every reader goes on as before, or names the file."""

import json
import os
import pathlib
import shutil
import sys
import threading
import time

import pytest

from nws_jax import errors
from nws_jax.meta import making, summary
from nws_jax.meta import request as requests
from nws_jax.meta.explain import explanation
from nws_jax.meta.identify import checkpoints, report, saved
from nws_jax.pictures import explanations, results
from nws_jax.store import sealed
from tests.meta import real

ASKED = {'logistic': ('optimizer', 'logistic', ()),
         'number': ('learning_rate', 'majority', ()),
         'grid': ('optimizer', 'majority', ('layer',))}


@pytest.fixture(scope='module')
def asked():
  """{name: `Request`}."""
  from configs import meta as presets
  from nws_jax.meta import settings
  return {name: requests.make(real.RealZoo(), target, settings.from_config({
      **presets.get_config('smoke'), 'controls': 'none',
      'classifier': classifier}), axes)
          for name, (target, classifier, axes) in ASKED.items()}


@pytest.fixture(scope='module')
def made(tmp_path_factory, asked):
  """A --workdir with two results, one of them explained, and a grid."""
  where = making.Where(str(tmp_path_factory.mktemp('meta')), False, True)
  for request in asked.values():
    assert making.make(request, where, time.monotonic(), speed=1e9)
  with pytest.MonkeyPatch.context() as m:
    m.setitem(sys.modules, 'umap', None)  # it takes long
    making.explain(asked['number'], where)
  return pathlib.Path(where.workdir)


def _tell(folder):
  """What a command says that finds its result: of every record."""
  return ([summary.show(p) for name in (sealed.RESULT, sealed.ABLATION)
           for p in sealed.find(folder, name)]
          + [summary.show_explanation(p)
             for p in sealed.find(folder, explanation.RECORD)])


def _report(folder):
  found = results.read_results(folder)
  return repr([found, [results.read_predictions(r) for r in found],
               results.read_ablations(folder), explanations.read(folder)])


def _identify(folder):
  classifiers = report.load(str(folder))
  stranger = checkpoints.check('x', real.RealZoo().vector(3, 0), real.ARCH.name)
  return report.format_text(stranger, report.predict_all(classifiers, stranger))


def _load(folder):
  """All that an answer of `_identify` follows from."""
  return repr([(c.record, c.reference, c.members)
               for c in report.load(str(folder))])


READERS = (_tell, _report, _load)


def _swap_values(data):
  """Two values of a record, or two lines of a table."""
  if data[:1] == b'{':
    record = json.loads(data)
    a, b, *_ = record
    record[a], record[b] = record[b], record[a]
    return json.dumps(record).encode()
  first, *lines = data.split(b'\n')
  return b'\n'.join([first, *lines[::-1]])


def _drop_key(data):
  if data[:1] == b'{':
    record = json.loads(data)
    record.pop(list(record)[len(record) // 2])
    return json.dumps(record).encode()
  return data[1:]


DAMAGES = {
    'truncated': lambda data: data[:len(data) // 2],
    'flipped': lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    'emptied': lambda data: b'', 'deleted': lambda data: None,
    'swapped': _swap_values, 'short': _drop_key}


@pytest.mark.parametrize('damage', DAMAGES)
def test_every_reader_goes_on_or_names_the_file(made, tmp_path, damage):
  folder = shutil.copytree(made, tmp_path / 'meta')
  wanted = {read: read(folder) for read in READERS}
  for path in sorted(p for p in folder.rglob('*') if p.is_file()):
    good = path.read_bytes()
    spoilt = DAMAGES[damage](good)
    if spoilt is None:
      path.unlink()
    else:
      path.write_bytes(spoilt)
    named = 0
    for read in READERS:
      try:
        # A record that is gone is a result that was never finished.
        assert read(folder) == wanted[read] or (
            spoilt is None and path.suffix == '.json')
      except errors.Damaged as e:
        assert f'{path} is damaged' in str(e) and '--force' in str(e)
        named += 1
      except errors.Wrong as e:  # the only classifier's record is gone
        assert spoilt is None and 'no saved classifier' in str(e)
    assert named or spoilt is None or spoilt == good, path
    path.write_bytes(good)


def test_force_mends_what_is_damaged(made, asked, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'umap', None)
  where = making.Where(
      str(shutil.copytree(made, tmp_path / 'meta')), True, True)
  path = pathlib.Path(making.find_record(where.workdir, asked['number']))
  path.write_text('{')
  shutil.rmtree(path.parent / 'model')
  with pytest.raises(errors.Damaged, match=f'{path} is damaged'):
    _report(where.workdir)
  assert making.make(asked['number'], where, time.monotonic(), speed=1e9)
  assert set(os.listdir(path.parent)) == {
      'result.json', 'predictions.csv', 'model'}
  making.explain(asked['number'], where)

  def drop_times(told):  # and what the seconds make of a record
    return [t.rpartition('(')[0].replace(str(made), where.workdir)
            for t in told]
  assert drop_times(_tell(where.workdir)) == drop_times(_tell(made))
  assert _identify(where.workdir) == _identify(made)


@pytest.mark.parametrize('key', [
    'target', 'classes', 'classifier', 'folds', 'members', 'logarithm', 'looks',
    'centers', 'scales', 'architectures', 'layers', 'zoo',
    'temperatures', 'valid_loss', 'accuracy', 'calibration_error', 'format'])
def test_a_recipe_without_digests_names_what_it_lacks(made, tmp_path, key):
  """Of older versions."""
  folder = shutil.copytree(made, tmp_path / 'meta')
  wanted = _identify(folder)
  for path in folder.glob('*/*/model/recipe.json'):
    record = json.loads(path.read_text())
    del record['files'], record['checksum']
    path.write_text(json.dumps(record))
  assert _identify(folder) == wanted
  path, = folder.glob('optimizer/*/model/recipe.json')
  record = json.loads(path.read_text())
  del record[key]
  path.write_text(json.dumps(record))
  with pytest.raises(errors.Damaged, match=f"{path} .* it has no '{key}'"):
    _identify(folder)


@pytest.mark.parametrize('key', [
    'target', 'kind', 'classifier', 'per_network', 'per_window', 'windows',
    'networks', 'chance', 'controls', 'warnings', 'config', 'seconds',
    'classes', 'confusion', 'balanced_accuracy', 'controls_left_out'])
def test_a_result_without_digests_names_what_it_lacks(made, tmp_path, key):
  found, = made.glob('optimizer/*/result.json')
  record = sealed.read(found)
  path = tmp_path / 'result.json'
  path.write_text(json.dumps(record))
  assert summary.show(path).replace(str(path), '') == (
      summary.show(found).replace(str(found), ''))
  del record[key]
  path.write_text(json.dumps(record))
  with pytest.raises(errors.Damaged, match=f"{path} .* it has no '{key}'"):
    summary.show(path)


@pytest.mark.parametrize('force', (False, True))
def test_equal_requests_at_once_wait_for_each_other(
    asked, tmp_path, force, capsys):
  where = making.Where(str(tmp_path), force, True)
  begun, outcomes = threading.Barrier(3), []

  def run():
    begun.wait()
    outcomes.append(
        making.make(asked['number'], where, time.monotonic(), speed=1e9))
  threads = [threading.Thread(target=run) for _ in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert sorted(outcomes) == [force, force, True]
  assert 'waiting for process' in capsys.readouterr().err
  assert len(_tell(tmp_path)) == 1 and _identify(tmp_path)
  assert len(list(tmp_path.glob('*/*'))) == 1


def test_a_grid_of_a_killed_process_does_not_count(
    made, asked, tmp_path, monkeypatch):
  """It ended between two files, with nothing tidied up."""
  where = making.Where(str(tmp_path / 'new'), False, True)
  with monkeypatch.context() as m:
    m.setattr(sealed, 'write', lambda *_: (_ for _ in ()).throw(SystemExit))
    m.setattr(shutil, 'rmtree', lambda *_, **__: None)
    with pytest.raises(SystemExit):
      making.make(asked['grid'], where, time.monotonic(), speed=1e9)
  left, = sealed.list_unfinished(where.workdir)
  assert (left / 'ablation.csv').exists() and not _tell(where.workdir)
  assert results.read_ablations(where.workdir) == []
  assert making.make(asked['grid'], where, time.monotonic(), speed=1e9)
  assert not left.exists() and len(_tell(where.workdir)) == 1
  assert saved.MODEL not in os.listdir(left.with_suffix(''))
