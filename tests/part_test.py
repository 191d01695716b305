"""What commands say of a zoo whose run was interrupted, on a made one."""

import json
import subprocess
import sys

import numpy as np
import pytest

import nws_jax
from nws_jax import convert, published, report, space
from nws_jax.store import extent, folder, snapshots, whole
from nws_jax.zoo import coverage

COUNT = 80
SAID = 'networks are there; by batch_size 32: '


def _draw():
  """Rows of all networks that were asked for."""
  choices = {p.name: p.choices[:1] for p in published.ALL} | {
      'dataset': ('mnist', 'digits'), 'learning_rate': (0.001, 0.004),
      'optimizer': ('adam', 'rmsprop'), 'batch_size': (32, 128),
      'filter_size': (1,), 'depth_fc': (1,), 'width_conv': (1,),
      'width_fc': (8,)}
  rows = []
  for i, row in enumerate(space.sample(
      published.ALL, 0, range(COUNT), choices, 'balanced')):
    split, fold = space.side(0, i)
    rows.append({'id': i, 'setting': i, 'split': split, 'fold': fold, **row})
  return rows


def _make(path, rows, status='finished'):
  """A zoo of which these networks were trained, in one unit."""
  arch, writer = published.architecture(rows[0]), snapshots.Writer()
  path.mkdir()
  values_MxP = np.random.default_rng(0).normal(
      size=(len(rows), published.layout(arch).num_weights)).astype(np.float32)
  for e in range(2):
    writer.save(folder.snapshot_path(path, 'u0', e),
                published.layout(arch).to_variables(values_MxP))
  writer.wait()
  members = [{
      **row, 'unit': 'u0', 'replicate': 0, 'seed': 0, 'status': status,
      'architecture': arch.name, 'lr_decay': 1.0, 'epochs': 1,
      'evaluations': 2, 'last_step': 10, 'seconds': 1.0, 'diverged_epoch': None,
      'num_weights': published.layout(arch).num_weights,
      'num_weights_conv': published.layout(arch).num_weights_conv,
      'train_accuracy': 0.5, 'valid_accuracy': 0.5, 'test_accuracy': 0.5}
             for row in rows]
  metrics = [{
      'id': row['id'], 'epoch': e, 'step': 10 * e, 'snapshot': e,
      'train_loss': 1.0, 'train_accuracy': 0.5, 'valid_loss': 1.0,
      'valid_accuracy': 0.5, 'test_loss': 1.0, 'test_accuracy': 0.5}
             for row in rows for e in range(2)]
  folder.commit(path, 'u0', folder.Entry(
      1, True, members, metrics, [published.layout(arch)],
      {e: snapshots.digests(values_MxP) for e in range(2)}))
  whole.rebuild(path)
  (path / 'config.json').write_text(json.dumps(
      {'networks': COUNT, 'dataset_source': 'embedded'}))
  (path / 'coverage.csv').write_text(coverage.to_csv(_draw()))
  return path


@pytest.fixture(scope='module')
def zoo(tmp_path_factory):
  """The networks of one of two batch sizes: those of a unit that ended."""
  return _make(tmp_path_factory.mktemp('made') / 'zoo',
               [row for row in _draw() if row['batch_size'] == 32])


def test_what_is_there_is_counted_against_what_was_asked_for(zoo):
  part = nws_jax.open_zoo(zoo).extent
  assert part == (COUNT, COUNT // 2, 0, {
      'batch_size': {'32': [40, 40], '128': [0, 40]}})
  assert extent.Extent(**json.loads(json.dumps(part.record()))) == part
  (zoo / 'coverage.csv').rename(zoo / 'aside')  # as of older versions
  assert nws_jax.open_zoo(zoo).extent == part._replace(uneven={})
  (zoo / 'aside').rename(zoo / 'coverage.csv')


def test_a_whole_zoo_is_whole_until_it_trains_again(tmp_path):
  assert nws_jax.open_zoo(_make(tmp_path / 'a', _draw())).extent is None
  part = nws_jax.open_zoo(_make(tmp_path / 'b', _draw(), 'running')).extent
  assert part.training == COUNT and not part.uneven
  assert '80 of them still train' in part.tell()


def test_a_random_part_is_a_part_but_not_uneven(tmp_path):
  rows = np.random.default_rng(0).permutation(_draw())[:40].tolist()
  rows.sort(key=lambda row: row['id'])
  part = nws_jax.open_zoo(_make(tmp_path / 'a', rows)).extent
  assert part == (COUNT, 40, 0, {})


def test_meta_says_it_first_and_records_it(zoo, tmp_path):
  done = subprocess.run(
      [sys.executable, '-m', 'nws_jax.meta', '--config=configs/meta.py:smoke',
       f'--zoo={zoo}', f'--workdir={tmp_path}', '--target=optimizer',
       '--classifier=majority', '--nosave'],
      capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert f'40 of 80 {SAID}40 of 40, 128: 0 of 40' in done.stdout.split('\n')[0]
  path, = tmp_path.glob('optimizer/*/result.json')
  record = json.loads(path.read_text())['zoo']['part']
  assert record == nws_jax.open_zoo(zoo).extent.record()


def test_the_report_says_it_and_so_does_its_page(zoo, tmp_path, capsys):
  page = report.make_page(zoo, tmp_path)['index.html'].decode()
  assert f'40 of 80 {SAID}' in page


def test_a_converted_folder_says_it(zoo, tmp_path, capsys):
  convert.to_nws(str(zoo), str(tmp_path / 'nws'))
  assert f'40 of 80 {SAID}' in capsys.readouterr().out.split('\n')[0]
  record = json.loads((tmp_path / 'nws' / 'nws.json').read_text())
  assert record['part'] == nws_jax.open_zoo(zoo).extent.record()
  convert.to_nws(str(zoo), str(tmp_path / 'nws'))  # the same request again
