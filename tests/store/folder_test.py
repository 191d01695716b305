import os
import subprocess
import sys

import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.store import folder, moment, tables, whole
from tests.store import units


def test_commit_record(zoo):
  record = folder.progress(zoo, 'u0')
  assert (record['round'], record['done']) == (3, False)
  assert (record['slots'], record['seconds']) == ([3, -1], 1.5)
  assert record['digests'] == {
      0: ['0-0', '3-0', '4-0'], 2: ['0-2', '3-2', '4-2']}
  assert folder.progress(zoo, 'u2') is None
  assert folder.units(zoo) == ['u0', 'u1']
  os.makedirs(zoo / 'units' / 'u2')  # begun, nothing committed
  assert folder.units(zoo) == ['u0', 'u1']


@pytest.mark.parametrize(
    'file', ['members.csv.new', 'metrics.csv.new', 'progress.json'])
def test_killed_within_a_commit_the_one_before_counts(
    zoo, file, monkeypatch):
  """Stops the commit of epoch 4 before `file` is written."""
  metrics = folder.read_unit(zoo, 'u0')[1]
  class Killed(BaseException):
    pass
  write = tables.write_text
  def write_until(path, text):
    if os.path.basename(path) == file:
      raise Killed
    write(path, text)
  with monkeypatch.context() as m:
    m.setattr(tables, 'write_text', write_until)
    with pytest.raises(Killed):
      units.commit(zoo, 'u0', 4)
  assert folder.progress(zoo, 'u0')['round'] == 3
  pd.testing.assert_frame_equal(folder.read_unit(zoo, 'u0')[1], metrics)
  whole.rebuild(zoo)
  assert moment.read(zoo).table('metrics.csv')['epoch'].max() == 3
  units.commit(zoo, 'u0', 4)
  whole.rebuild(zoo)
  assert moment.read(zoo).table('metrics.csv')['epoch'].max() == 4


@pytest.mark.parametrize('renamed', (0, 1))
def test_killed_behind_the_record_the_commit_counts(
    zoo, renamed, monkeypatch):
  """And so does the next one, and one that is killed likewise."""
  class Killed(BaseException):
    pass
  replace, left = os.replace, 0
  def replace_until(a, b):
    nonlocal left
    if a.endswith('.new'):
      left -= 1
      if left < 0:
        raise Killed
    replace(a, b)
  with monkeypatch.context() as m:
    m.setattr(os, 'replace', replace_until)
    for epoch in (4, 5):
      left = renamed if epoch == 4 else 2  # what is left is settled first
      with pytest.raises(Killed):
        units.commit(zoo, 'u0', epoch, of_members={'seconds': float(epoch)})
      members, metrics = folder.read_unit(zoo, 'u0')
      assert metrics['epoch'].max() == epoch == folder.progress(
          zoo, 'u0')['round']
      assert members['seconds'].tolist() == [epoch] * 3
  units.commit(zoo, 'u0', 6)
  assert folder.read_unit(zoo, 'u0')[1]['epoch'].max() == 6
  assert not [f for f in os.listdir(zoo / 'units' / 'u0') if '.new' in f]


def test_sweeping_leaves_what_the_record_names(zoo):
  for unit in ('u0', 'u1', 'u2'):
    for kind in ('snapshots', 'state'):
      for number in range(5):
        os.makedirs(zoo / kind / unit / str(number))
    folder.sweep(zoo, unit)
  def left(kind, unit):
    path = zoo / kind / unit
    return sorted(os.listdir(path)) if path.exists() else None
  assert left('snapshots', 'u0') == ['0', '2'] and left('state', 'u0') == ['3']
  assert left('snapshots', 'u1') == ['0', '2'] and left('state', 'u1') is None
  assert not left('snapshots', 'u2') and not left('state', 'u2')


def test_a_forgotten_unit_was_never_begun(zoo):
  os.makedirs(zoo / 'snapshots' / 'u0' / '2')
  folder.forget(zoo, 'u0')
  assert folder.progress(zoo, 'u0') is None and folder.units(zoo) == ['u1']
  assert not (zoo / 'snapshots' / 'u0').exists()


def test_lock_is_held_against_other_processes(tmp_path):
  zoo = tmp_path / 'zoo'
  code = ('import sys\nfrom nws_jax.store import folder\n'
          'with folder.lock(sys.argv[1]):\n  print("mine")\n')
  def take():
    return subprocess.run([sys.executable, '-c', code, zoo],
                          capture_output=True, text=True)
  with folder.lock(zoo):
    second = take()
    assert second.returncode and (
        f'in use by process {os.getpid()} on ' in second.stderr)
    with pytest.raises(errors.Wrong, match='in use by process'):
      with folder.lock(zoo):
        pass
  assert take().stdout == 'mine\n'


def test_lock_of_a_killed_process_is_free(tmp_path):
  code = ('import os, sys\nfrom nws_jax.store import folder\n'
          'with folder.lock(sys.argv[1]):\n  os._exit(9)\n')
  killed = subprocess.run([sys.executable, '-c', code, tmp_path])
  assert killed.returncode == 9
  with folder.lock(tmp_path):
    lines = (tmp_path / 'lock').read_text().splitlines()
    assert len(lines) == 1 and f'process {os.getpid()} on' in lines[0]


def test_lock_where_no_zoo_can_be(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.Wrong, match='cannot be used: .*exists'):
    with folder.lock(tmp_path / 'file'):
      pass


@pytest.mark.parametrize('unit', ['..', '', 'a/b', '/etc', '../x', '.x', 'a\n'])
def test_names_from_files_stay_inside(tmp_path, unit):
  for path in (folder.unit_path, folder.state_path, folder.snapshot_path):
    with pytest.raises(errors.Damaged, match='no name of a unit'):
      path(tmp_path, unit, 0) if path is not folder.unit_path else path(
          tmp_path, unit)


def test_links_do_not_lead_outside(zoo, tmp_path):
  (tmp_path / 'elsewhere').mkdir()
  (zoo / 'units' / 'evil').symlink_to(tmp_path / 'elsewhere')
  with pytest.raises(errors.Damaged, match='leads out of .* by a link'):
    folder.units(zoo)
  moved = tmp_path / 'moved'  # the zoo itself may be a link
  moved.symlink_to(zoo)
  (zoo / 'units' / 'evil').unlink()
  assert folder.units(moved) == ['u0', 'u1']


def test_what_a_folder_holds_is_without_locks_and_asides(tmp_path):
  with folder.lock(tmp_path):
    for name in ('b', 'a', 'members.csv.71.tmp', 'lock.71.tmp'):
      (tmp_path / name).write_text('')
    assert folder.list_held(tmp_path) == ['a', 'b']
