import json
import os
import pathlib
import shutil

import hypothesis
import pytest
from hypothesis import strategies

from nws_jax import errors
from nws_jax.store import sealed

RECORD = {'target': 'optimizer', 'value': 0.1 + 0.2, 'left': None,
          'classes': ['adam', 'ä'], 'many': {'1': float('inf'), 'b': [1, 2]}}
FILES = {'predictions.csv': b'id,true\n1,adam\n', 'model/recipe.json': b'{}',
         'model/variables/d/0a': bytes(range(64))}


def _make(folder):
  for name, data in FILES.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
  sealed.write(folder / 'result.json', RECORD)
  return folder


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  return _make(tmp_path_factory.mktemp('made') / 'a')


def test_what_is_written_is_read(made):
  assert sealed.read(made / 'result.json') == RECORD
  assert list(sealed.read(made / 'result.json')) == list(RECORD)
  files = json.loads((made / 'result.json').read_text())['files']
  assert set(files) == set(FILES)


def _truncate(data, n):
  return data[:n % (len(data) or 1)]


def _flip(data, n):
  at, bit = divmod(n % (8 * len(data) or 1), 8)
  return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]


def _zero(data, n):
  at = n % (len(data) or 1)
  return data[:at] + bytes(len(data[at:at + 16])) + data[at + 16:]


def _swap_lines(data, n):
  """Two lines of a record, or of a table."""
  lines = data.split(b'\n')
  a, b = n % len(lines), n // 7 % len(lines)
  lines[a], lines[b] = lines[b], lines[a]
  return b'\n'.join(lines)


def _drop_line(data, n):
  lines = data.split(b'\n')
  del lines[n % len(lines)]
  return b'\n'.join(lines)


@hypothesis.given(
    strategies.sampled_from(['result.json', *FILES]),
    strategies.sampled_from([_truncate, _flip, _zero, _swap_lines, _drop_line]),
    strategies.integers(0, 10_000))
@hypothesis.settings(max_examples=300, deadline=None)
def test_damage_is_named_or_changes_nothing(made, name, spoil, n):
  good = (made / name).read_bytes()
  try:
    (made / name).write_bytes(spoil(good, n))
    try:
      assert sealed.read(made / 'result.json') == RECORD
    except errors.Damaged as e:
      assert f'{made / name} is damaged' in str(e) and '--force' in str(e)
    else:
      assert name == 'result.json' or spoil(good, n) == good
  finally:
    (made / name).write_bytes(good)


@pytest.mark.parametrize('name', ['result.json', *FILES])
def test_what_is_gone_is_named(made, tmp_path, name):
  folder = shutil.copytree(made, tmp_path / 'a')
  (folder / name).unlink()
  with pytest.raises(errors.Damaged, match=f'{folder / name} is damaged: No '):
    sealed.read(folder / 'result.json')


def test_only_the_files_that_are_asked_for_are_looked_at(made, tmp_path):
  folder = shutil.copytree(made, tmp_path / 'a')
  shutil.rmtree(folder / 'model')
  assert sealed.read(folder / 'result.json', ('predictions.csv',)) == RECORD
  (folder / 'predictions.csv').write_text('')
  assert sealed.read(folder / 'result.json', ()) == RECORD


def test_a_record_without_digests_is_read_as_it_is(tmp_path):
  (tmp_path / 'result.json').write_text('{"target": "optimizer"}')
  record = sealed.read(tmp_path / 'result.json')
  assert record == {'target': 'optimizer'}
  with pytest.raises(errors.Damaged, match="result.json.*it has no 'kind'"):
    with sealed.naming(tmp_path / 'result.json'):
      record['kind']


@pytest.mark.parametrize('name', ['../b', '/etc/hostname', 'a/../../b'])
def test_a_record_speaks_for_files_beside_it_alone(tmp_path, name):
  (tmp_path / 'a').mkdir()
  (tmp_path / 'b').write_text('')
  path = tmp_path / 'a' / 'result.json'
  sealed.write(path, RECORD, [name] if os.path.exists(
      tmp_path / 'a' / name) else ['../b'])
  with pytest.raises(errors.Damaged, match='is not beside it'):
    sealed.read(path)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
  folder = tmp_path / 'optimizer' / 'a'
  with sealed.hold(folder), sealed.replace(folder) as aside:
    assert not folder.exists()
    _make(pathlib.Path(aside))
    assert not sealed.find(tmp_path, 'result.json')
    assert sealed.list_unfinished(tmp_path) == [pathlib.Path(aside)]
  assert sealed.find(tmp_path, 'model/recipe.json') == [
      folder / 'model' / 'recipe.json']
  with pytest.raises(KeyError), sealed.replace(folder) as aside:
    raise KeyError
  assert sealed.read(folder / 'result.json') == RECORD
  with sealed.replace(folder) as aside:
    open(os.path.join(aside, 'new'), 'w').close()
  assert os.listdir(folder) == ['new']
  assert os.listdir(folder.parent) == ['a']


@pytest.mark.parametrize('at', range(3))
def test_a_process_killed_while_it_replaces_loses_nothing(
    tmp_path, monkeypatch, at):
  folder, renames, plain = _make(tmp_path / 'a'), [], os.rename

  def rename(*names):
    if len(renames) == at:
      os.write(1, b'')
      raise SystemExit
    renames.append(names)
    plain(*names)
  monkeypatch.setattr(os, 'rename', rename)
  monkeypatch.setattr(shutil, 'rmtree', lambda *a, **k: None)  # it is dead
  with pytest.raises(SystemExit), sealed.replace(folder) as aside:
    open(os.path.join(aside, 'new'), 'w').close()
    if at == 2:
      raise SystemExit
  monkeypatch.undo()
  with sealed.hold(folder):
    assert sealed.read(folder / 'result.json') == RECORD


def test_what_was_not_finished_is_listed(tmp_path):
  for name in ('a/model', 'b', 'c.part', 'd'):
    (tmp_path / 'optimizer' / name).mkdir(parents=True)
  (tmp_path / 'optimizer' / 'd' / 'ablation.csv').write_text('')
  (tmp_path / 'optimizer' / 'e').write_text('')
  assert [p.name for p in sealed.list_unfinished(tmp_path)] == [
      'a', 'c.part', 'd']
  (tmp_path / 'optimizer' / 'd' / 'ablation.json').write_text('')
  (tmp_path / 'optimizer' / 'a' / 'result.json').write_text('')
  assert [p.name for p in sealed.list_unfinished(tmp_path)] == ['c.part']
