import dataclasses
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from nws_jax import errors, space
from nws_jax.store import folder, tables, vectors

ARCHS = {'u0': space.Architecture(3, 3, 2, 4, 16),
         'u1': space.Architecture(5, 4, 1, 2, 8, batch_norm=False)}
IDS = {'u0': (0, 3, 4), 'u1': (1, 2)}


def member(id, unit, epoch):
  rng = np.random.default_rng([id, epoch])
  words = {tables.WORD: 'word', tables.WHOLE: id, tables.FLAG: True,
           tables.MAYBE: None}
  row = {name: words[kind] if kind in words else float(rng.normal())
         for name, kind in tables.MEMBERS.items()}
  return row | dataclasses.asdict(ARCHS[unit]) | {
      'id': id, 'unit': unit, 'architecture': ARCHS[unit].name,
      'evaluations': epoch + 1}


def metric(id, epoch):
  rng = np.random.default_rng([id, epoch])
  return {name: float(rng.normal()) for name in tables.METRICS} | {
      'id': id, 'epoch': epoch, 'step': epoch * 10,
      'snapshot': epoch if epoch % 2 == 0 else None}


def commit(zoo, unit, epoch, done=False, mark='', of_members=(), of_metrics=()):
  folder.commit(
      zoo, unit, epoch, done,
      [member(i, unit, epoch) | dict(of_members) for i in IDS[unit]],
      [metric(i, e) | dict(of_metrics)
       for i in IDS[unit] for e in range(epoch + 1)],
      {e: [f'{i}-{e}{mark}' for i in IDS[unit]]
       for e in range(0, epoch + 1, 2)}, [3, -1], 1.5)


@pytest.fixture
def zoo(tmp_path):
  path = tmp_path / 'zoo'
  path.mkdir()
  (path / 'config.json').write_text('{}')
  commit(path, 'u1', 2, done=True)
  commit(path, 'u0', 3)
  folder.rebuild(path)
  return path


def test_merged_tables_are_the_units_tables(zoo):
  for n, name in enumerate(('members.csv', 'metrics.csv')):
    keys = ['id', 'epoch'][:n + 1]
    merged = folder.read_table(zoo, name)
    parts = pd.concat([folder.read_unit(zoo, u)[n] for u in folder.units(zoo)])
    pd.testing.assert_frame_equal(
        merged, parts.sort_values(keys).reset_index(drop=True))
    assert not merged.duplicated(keys).any()
  assert list(folder.read_table(zoo, 'members.csv')['id']) == [0, 1, 2, 3, 4]


def test_rebuilding_again_changes_nothing(zoo):
  names = ('members.csv', 'metrics.csv', 'layers.csv', 'checksums.json')
  before = [(zoo / name).read_bytes() for name in names]
  folder.rebuild(zoo)
  assert [(zoo / name).read_bytes() for name in names] == before
  for name in names:
    (zoo / name).unlink()
  folder.rebuild(zoo)
  assert [(zoo / name).read_bytes() for name in names] == before


def test_layers_are_the_spans(zoo):
  layers = folder.read_table(zoo, 'layers.csv')
  for arch in ARCHS.values():
    found = layers[layers['architecture'] == arch.name]
    assert [tuple(r) for r in found.iloc[:, 1:].itertuples(index=False)] == [
        (s.layer, s.tensor, s.start, s.stop, 'x'.join(map(str, s.shape)))
        for s in vectors.spans(arch)]
  assert '5x5x3x2' in set(layers['shape'])


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
      commit(zoo, 'u0', 4)
  assert folder.progress(zoo, 'u0')['round'] == 3
  pd.testing.assert_frame_equal(folder.read_unit(zoo, 'u0')[1], metrics)
  folder.rebuild(zoo)
  assert folder.read_table(zoo, 'metrics.csv')['epoch'].max() == 3
  commit(zoo, 'u0', 4)
  folder.rebuild(zoo)
  assert folder.read_table(zoo, 'metrics.csv')['epoch'].max() == 4


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
        commit(zoo, 'u0', epoch, of_members={'seconds': float(epoch)})
      members, metrics = folder.read_unit(zoo, 'u0')
      assert metrics['epoch'].max() == epoch == folder.progress(
          zoo, 'u0')['round']
      assert members['seconds'].tolist() == [epoch] * 3
  commit(zoo, 'u0', 6)
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


@pytest.mark.parametrize('unit, name', [
    ('u0', 'metrics.csv'), ('u0', 'members.csv'), ('u1', 'metrics.csv'),
    ('u1', 'members.csv')])
def test_changed_unit_tables_are_damaged(zoo, unit, name):
  path = zoo / 'units' / unit / name
  path.write_text(path.read_text().replace('7', '8'))
  for read in (folder.rebuild, folder.verify):
    with pytest.raises(errors.Damaged, match=f'{unit}/{name} is damaged'):
      read(zoo)


def test_changed_records_are_damaged(zoo):
  folder.verify(zoo)
  path = zoo / 'units' / 'u1' / 'progress.json'
  text = path.read_text()
  path.write_text(text.replace('1-2', '1-3'))
  with pytest.raises(errors.Damaged, match='progress.json is damaged: its dig'):
    folder.verify(zoo)
  for bad in ('{}', '{"round": 1}', text.replace('"round": 2', '"round": "x"'),
              text.replace('"digests": {', '"digests": 1, "x": {')):
    path.write_text(bad)
    with pytest.raises(errors.Damaged, match='progress.json is damaged'):
      folder.progress(zoo, 'u1')


@pytest.mark.parametrize('name', ['members.csv', 'metrics.csv', 'layers.csv'])
def test_changed_tables_are_damaged(zoo, name):
  path = zoo / name
  text = path.read_text()
  for bad in (text[:len(text) // 2], text.replace('1', '2'), ''):
    path.write_text(bad)
    with pytest.raises(errors.Damaged, match=f'{name} is damaged.*checksum'):
      folder.read_table(zoo, name)
  path.unlink()
  with pytest.raises(errors.Damaged, match=f'{name} is damaged: No such file'):
    folder.read_table(zoo, name)
  folder.rebuild(zoo)
  folder.read_table(zoo, name)
  (zoo / 'checksums.json').write_text('{"zoo": 1}')
  with pytest.raises(errors.Damaged, match='checksums.json is damaged'):
    folder.read_table(zoo, name)


@pytest.mark.parametrize(
    'file', ['members.csv', 'metrics.csv', 'layers.csv', 'checksums.json'])
def test_killed_within_a_rebuild_all_tables_are_readable(
    zoo, file, monkeypatch):
  """And so they are to who reads while a run writes them."""
  class Killed(BaseException):
    pass
  write = tables.write_text
  def write_until(path, text):
    if os.path.basename(path) == file:
      raise Killed
    write(path, text)
  commit(zoo, 'u0', 4)
  with monkeypatch.context() as m:
    m.setattr(tables, 'write_text', write_until)
    with pytest.raises(Killed):
      folder.rebuild(zoo)
  epochs = folder.read_table(zoo, 'metrics.csv')['epoch'].max()
  assert epochs == (3 if file in ('members.csv', 'metrics.csv') else 4)
  assert len(folder.read_table(zoo, 'members.csv')) == 5
  assert len(folder.read_table(zoo, 'layers.csv'))


def test_digest_leaves_times_out_and_nothing_else(zoo):
  def digest_of(**kwargs):
    commit(zoo, 'u0', 3, **kwargs)
    folder.rebuild(zoo)
    return folder.read_checksums(zoo)['zoo']
  digest = digest_of()
  assert digest_of(of_members={'seconds': 2.0}) == digest
  assert folder.read_table(zoo, 'members.csv')['seconds'][0] == 2
  assert digest_of(done=True) == digest
  others = {digest_of(of_members={'dataset': 'x'}), digest_of(mark='x'),
            digest_of(of_metrics={'test_loss': 2.0})}
  assert len(others | {digest}) == 4


def test_what_is_no_zoo_is_wrong(tmp_path):
  with pytest.raises(errors.Wrong, match='none is no folder.*Make one with'):
    folder.check(tmp_path / 'none')
  with pytest.raises(errors.Wrong, match='it has no config.json. Make one'):
    folder.check(tmp_path)
  (tmp_path / 'config.json').write_text('{}')
  with pytest.raises(errors.Wrong, match='nothing in .* is finished yet'):
    folder.check(tmp_path)


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
  with pytest.raises(errors.Wrong, match='cannot hold a zoo: .*exists'):
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
