"""The commands one after another, as a user gives them; and damaged files."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TINY = [f'--config.{key}={value}' for key, value in {
    'networks': 50, 'epochs': 1, 'filter_size': 1, 'width_conv': 1,
    'width_fc': 8, 'depth_fc': 1}.items()]


def call(module, *args, code=0):
  done = subprocess.run(
      [sys.executable, '-m', f'nws_jax.{module}', *map(str, args)], cwd=ROOT,
      capture_output=True, text=True)
  assert done.returncode == code, done.stderr
  assert 'Traceback' not in done.stderr and 'Warning' not in done.stderr
  return done


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  path = tmp_path_factory.mktemp('run')
  call('zoo', '--config=configs/zoo.py:smoke', *TINY,
       f'--workdir={path}/zoo')
  return path


def read(folders, *args, code=0):
  return call('meta', '--target=optimizer', '--config=configs/meta.py:smoke',
              f'--zoo={folders}/zoo', f'--workdir={folders}/meta', *args,
              code=code)


def test_zoo_meta_ablation_report(folders):
  first = read(folders)
  again = read(folders)
  result, = (folders / 'meta' / 'optimizer').glob('*/result.json')
  record = json.loads(result.read_text())
  assert record['networks']['test'] and record['classes'] == [
      'adam', 'momentum']
  value = record['per_network']['accuracy']
  low, high = record['per_network']['interval']
  assert low <= value <= high and f'{value:.3f}' in first.stdout
  assert 'exists' in again.stdout and f'{value:.3f}' in again.stdout
  read(folders, '--ablate=epoch')
  grid, = (folders / 'meta' / 'optimizer').glob('*/ablation.csv')
  assert len(grid.read_text().splitlines()) == 1 + 2
  assert grid.with_suffix('.png').stat().st_size > 10_000
  call('report', f'--zoo={folders}/zoo', f'--meta={folders}/meta',
       f'--out={folders}/report')
  page = (folders / 'report' / 'index.html').read_text()
  assert f'{value * 100:.1f}' in page and 'data:image' in page


def test_a_member_is_known_wherever_it_lies(folders):
  """The zoo grows, is copied, and is converted there and back."""
  from nws_jax import api, convert, identify
  from nws_jax.meta.identify import membership, report
  read(folders, '--nocontrols')
  classifiers = report.load(str(folders / 'meta'))
  zoo = api.Zoo(folders / 'zoo')
  ids = zoo.members['id'][::7].tolist()

  def ask(path):
    return [p.answer for p in report.predict_all(
        classifiers, *identify.read(path, classifiers))]

  want = {id: ask(f'{folders}/zoo:{id}') for id in ids}
  for answer, in want.values():
    assert answer.standing.kind == membership.HELD_OUT
  grown, nws, back = (folders / name for name in ('grown', 'nws', 'back'))
  shutil.copytree(folders / 'zoo', grown)
  call('zoo', '--config=configs/zoo.py:smoke', *TINY, '--config.networks=52',
       f'--workdir={grown}')
  convert.to_nws(str(grown), str(nws))
  convert.from_nws(str(nws), str(back))
  copies = {zoo.digests(id)[1]: id for id in ids}
  again = api.Zoo(back)
  found = {copies.get(again.digests(id)[1]): id for id in again.members['id']}
  for id in ids:
    for place in (f'{grown}:{id}', f'{back}:{found[id]}',
                  f'{nws}/{id:05d}/weights/002.bin'):
      got, = ask(place)
      assert got.shares_K.tolist() == want[id][0].shares_K.tolist(), place
      assert got[1:] == want[id][0][1:], place
  stranger, = ask(f'{grown}:51')
  assert stranger.standing.kind == membership.UNSEEN


def test_a_device_that_is_not_here_makes_no_classifier_damaged(
    folders, monkeypatch):
  read(folders, '--nocontrols')
  monkeypatch.setenv('JAX_PLATFORMS', 'cuda')
  done = call('identify', f'{folders}/zoo:3', f'--meta={folders}/meta', code=2)
  assert 'JAX_PLATFORMS=cuda is not possible' in done.stderr
  assert 'damaged' not in done.stderr


@pytest.mark.parametrize('spoil', [
    lambda data: data[:len(data) // 2],
    lambda data: bytes(b ^ 1 for b in data)], ids=('cut off', 'changed'))
def test_a_damaged_snapshot_ends_with_1(folders, spoil):
  chunks = {p: p.read_bytes() for p in pathlib.Path(
      folders, 'zoo', 'snapshots').glob('*/1/**/d/*')}
  for path, data in chunks.items():
    path.write_bytes(spoil(data))
  done = read(folders, '--config.seed=1', code=1)
  assert 'snapshots' in done.stderr.splitlines()[-1]
  for path, data in chunks.items():
    path.write_bytes(data)
