import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from nws_jax import errors, published
from nws_jax.store import snapshots

ARCH = published.Architecture(3, 3, 2, 4, 16)
LAYOUT = published.layout(ARCH)
NUM_WEIGHTS = LAYOUT.num_weights
NUM_NETWORKS = 5


def make_vectors(seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(NUM_NETWORKS, NUM_WEIGHTS)).astype(np.float32)


def save(path, tree):
  writer = snapshots.Writer()
  writer.save(path, tree)
  writer.wait()


@pytest.fixture(scope='module')
def snapshot(tmp_path_factory):
  """A snapshot that no test changes, and the vectors in it."""
  path = tmp_path_factory.mktemp('zoo') / 'snapshots' / 'u' / '0'
  weights_MxP = make_vectors()
  save(path, LAYOUT.to_variables(weights_MxP))
  return path, weights_MxP


@pytest.fixture
def copy(snapshot, tmp_path):
  """A copy of it to damage."""
  return shutil.copytree(snapshot[0], tmp_path / 'copy')


def data_files(path):
  """The files with the values, largest first."""
  files = [f for f in path.rglob('d/*') if f.is_file()]
  return sorted(files, key=lambda f: -f.stat().st_size)


def test_rows_in_any_order_are_those_written(snapshot):
  path, weights_MxP = snapshot
  assert len(np.unique(weights_MxP[:, 0])) == NUM_NETWORKS
  for rows in ([0], [4, 0, 2], [3, 3, 1], range(NUM_NETWORKS), []):
    found = snapshots.read_vectors(path, LAYOUT, rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, weights_MxP[list(rows)])


def test_window_is_the_slice_of_the_vector_it_names(snapshot):
  path, weights_MxP = snapshot
  rng = np.random.default_rng(1)
  edges = [s.start for s in LAYOUT.spans] + [NUM_WEIGHTS]
  windows = [(0, 1), (NUM_WEIGHTS - 1, NUM_WEIGHTS), (0, NUM_WEIGHTS), (7, 7)]
  windows += [tuple(sorted(rng.choice(edges, 2))) for _ in range(5)]
  windows += [tuple(sorted(rng.choice(NUM_WEIGHTS, 2))) for _ in range(10)]
  for start, stop in windows:
    found = snapshots.read_vectors(
        path, LAYOUT, [2, 0], snapshots.Window(start, stop))
    np.testing.assert_array_equal(found, weights_MxP[[2, 0], start:stop])


def test_leaves_on_disk_are_flax_variables(snapshot):
  """The other route: Orbax's own reader, and the tree by its own names."""
  path, weights_MxP = snapshot
  variables = LAYOUT.to_variables(weights_MxP)
  found = snapshots.restore(path, variables)
  assert type(found['params']['conv1_1']['kernel']) is np.ndarray
  np.testing.assert_array_equal(LAYOUT.to_vector(found), weights_MxP)


def test_one_network_or_window_does_not_read_the_rest(copy, snapshot):
  """Spoils every other network's kernel of fc1, then reads around it."""
  import tensorstore as ts
  store = ts.open(
      {'driver': 'zarr3', 'kvstore': {
          'driver': 'ocdbt', 'base': f'file://{copy}/',
          'path': 'params.fc1.kernel/'}}, open=True).result()
  assert store.chunk_layout.read_chunk.shape[0] == 1
  assert store.chunk_layout.read_chunk.shape[1:] == store.shape[1:]
  weights_MxP = snapshot[1]
  # A store without anything but the leaves of conv1_1 still gives its window.
  kvstore = ts.KvStore.open(
      {'driver': 'ocdbt', 'base': f'file://{copy}/'}).result()
  for key in kvstore.list().result():
    if b'conv1_1' not in key:
      kvstore.delete_range(ts.KvStore.KeyRange(key, key + b'\0')).result()
  stop = next(s.start for s in LAYOUT.spans if s.layer == 'conv2_1')
  found = snapshots.read_vectors(
      copy, LAYOUT, [3, 1], snapshots.Window(0, stop))
  np.testing.assert_array_equal(found, weights_MxP[[3, 1], :stop])
  with pytest.raises(errors.Damaged):
    snapshots.read_vectors(copy, LAYOUT, [3, 1], snapshots.Window(0, stop + 1))


def test_other_dtypes_and_structures_come_back(tmp_path):
  tree = {
      'momentum': (np.arange(6.0).reshape(3, 2), np.arange(3, dtype=np.int32)),
      'key': np.arange(6, dtype=np.uint32).reshape(3, 2),
      'stopped': np.array([True, False, True]),
      'loss': np.array([np.nan, np.inf, -0.0], np.float32)}
  save(tmp_path / 'state', tree)
  found = snapshots.restore(tmp_path / 'state', tree)
  assert set(found) == set(tree)
  for name in ('key', 'stopped', 'loss'):
    assert found[name].dtype == tree[name].dtype
    np.testing.assert_array_equal(found[name], tree[name])
  np.testing.assert_array_equal(np.signbit(found['loss']), [0, 0, 1])
  assert found['momentum'][0].dtype == np.float64
  np.testing.assert_array_equal(found['momentum'][0], tree['momentum'][0])


def test_restore_of_another_shape_is_damaged(tmp_path):
  save(tmp_path / 'state', {'x': np.zeros((3, 2))})
  for like in ({'x': np.zeros((4, 2))}, {'x': np.zeros((3, 2), np.float32)},
               {'y': np.zeros((3, 2))}):
    with pytest.raises(errors.Damaged, match='state is damaged'):
      snapshots.restore(tmp_path / 'state', like)
  with pytest.raises(errors.Damaged, match='none is damaged'):
    snapshots.restore(tmp_path / 'none', {'x': np.zeros((3, 2))})


def test_arrays_may_change_after_save_returns(tmp_path):
  array = make_vectors()
  writer = snapshots.Writer()
  variables = LAYOUT.to_variables(array)  # views of `array`
  writer.save(tmp_path / '0', variables)
  array[:] = 7
  writer.wait()
  np.testing.assert_array_equal(
      snapshots.read_vectors(tmp_path / '0', LAYOUT, range(NUM_NETWORKS)),
      make_vectors())


def test_several_saves_at_once(tmp_path):
  writer = snapshots.Writer()
  for seed in range(4):
    writer.save(tmp_path / str(seed),
                LAYOUT.to_variables(make_vectors(seed)))
  writer.wait()
  for seed in range(4):
    np.testing.assert_array_equal(
        snapshots.read_vectors(tmp_path / str(seed), LAYOUT, [1]),
        make_vectors(seed)[[1]])


def test_folders_of_any_name(tmp_path):
  path = tmp_path / 'my zoo #1?50%20é' / '0'
  save(path, LAYOUT.to_variables(make_vectors()))
  np.testing.assert_array_equal(
      snapshots.read_vectors(path, LAYOUT, [1]), make_vectors()[[1]])
  snapshots.restore(path, LAYOUT.to_variables(make_vectors()))


def test_saved_again_replaces(tmp_path):
  for seed in (0, 1):
    save(tmp_path / '0', LAYOUT.to_variables(make_vectors(seed)))
  found = snapshots.read_vectors(tmp_path / '0', LAYOUT, [2])
  np.testing.assert_array_equal(found, make_vectors(1)[[2]])


@pytest.mark.parametrize('damage', ['missing', 'empty', 'cut', 'no manifest'])
def test_lost_data_is_damaged(copy, damage):
  files = data_files(copy)
  if damage == 'missing':
    for f in files:
      f.unlink()
  elif damage == 'empty':
    for f in files:
      f.write_bytes(b'')
  elif damage == 'cut':
    for f in files:
      f.write_bytes(f.read_bytes()[:f.stat().st_size // 2])
  else:
    (copy / 'manifest.ocdbt').unlink()
  with pytest.raises(errors.Damaged, match='copy is damaged.*run the com'):
    snapshots.read_vectors(copy, LAYOUT, [4])


def test_missing_folder_is_damaged(tmp_path):
  with pytest.raises(errors.Damaged, match='it is not there'):
    snapshots.read_vectors(tmp_path / '9', LAYOUT, [0])


def test_another_architecture_is_damaged(snapshot):
  other = published.Architecture(3, 3, 2, 4, 32)
  with pytest.raises(errors.Damaged, match='fc1 kernel is float32'):
    snapshots.read_vectors(snapshot[0], published.layout(other), [0])
  with pytest.raises(errors.Damaged, match='OUT_OF_RANGE|out of'):
    snapshots.read_vectors(snapshot[0], LAYOUT, [NUM_NETWORKS])


def test_digests_tell_networks_apart():
  weights_MxP = make_vectors()
  digests = snapshots.digests(weights_MxP)
  assert len(set(digests)) == NUM_NETWORKS
  assert digests[3] == snapshots.digest(weights_MxP[3].astype('>f4'))
  assert snapshots.digest(np.ones(2)) == hashlib.blake2b(
      bytes.fromhex('0000803f' * 2), digest_size=8).hexdigest()
  weights_MxP.view(np.uint32)[3, 100] ^= 1  # one bit
  assert [a == b for a, b in zip(digests, snapshots.digests(weights_MxP))] == [
      True, True, True, False, True]


def test_no_room_says_so_and_the_place_can_be_used_again(tmp_path, monkeypatch):
  variables = LAYOUT.to_variables(make_vectors())
  writer = snapshots.Writer()
  with monkeypatch.context() as m:
    m.setattr(shutil, 'disk_usage', lambda _: shutil._ntuple_diskusage(9, 9, 9))
    with pytest.raises(errors.Damaged, match='No space left.*Make room'):
      writer.save(tmp_path / '0', variables)
  assert os.listdir(tmp_path) == []
  writer.save(tmp_path / '0', variables)
  writer.wait()
  assert snapshots.read_vectors(tmp_path / '0', LAYOUT, [0]).any()


def test_what_fails_in_the_background_is_raised_by_wait(tmp_path, monkeypatch):
  import orbax.checkpoint as ocp
  def fail(self):
    raise ValueError('RESOURCE_EXHAUSTED: No space left on device')
  writer = snapshots.Writer()
  writer.save(tmp_path / '0', LAYOUT.to_variables(make_vectors()))
  with monkeypatch.context() as m:
    m.setattr(ocp.AsyncCheckpointer, 'wait_until_finished', fail)
    with pytest.raises(errors.Damaged, match='0 could not be saved.*Make room'):
      writer.wait()


FULL_DISK = '''
import shutil, sys
import numpy as np
from nws_jax import errors
from nws_jax.store import snapshots
shutil.disk_usage = lambda _: shutil._ntuple_diskusage(1e9, 0, 1e9)
writer = snapshots.Writer()
try:
  noise = np.random.default_rng(0).normal(size=(9, 1 << 16))
  writer.save(sys.argv[1], {'x': noise})
  writer.wait()
except errors.Damaged as e:
  print(e)
'''


def test_disk_that_fills_up_while_writing(tmp_path):
  """On a real small disk, where one can be mounted."""
  disk = tmp_path / 'disk'
  disk.mkdir()
  mount = subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk],
      capture_output=True)
  if mount.returncode:
    pytest.skip('needs the right to mount a file system')
  try:
    done = subprocess.run(
        [sys.executable, '-c', FULL_DISK, disk / '0'], capture_output=True,
        text=True)
  finally:
    subprocess.run(['umount', disk], check=True)
  assert done.returncode == 0, done.stderr
  assert 'No space left' in done.stdout and 'Make room' in done.stdout
  assert 'absl' not in done.stderr


KILLED = '''
import os, sys
import numpy as np
from nws_jax.store import snapshots
writer = snapshots.Writer()
writer.save(sys.argv[1], {'x': np.ones((64, 1 << 16), np.float32)})
while not os.listdir(os.path.dirname(sys.argv[1])):
  pass
os._exit(9)
'''


def test_killed_before_the_wait_leaves_no_half(tmp_path):
  """What was begun is no snapshot, and does not stand in the way."""
  path = tmp_path / '0'
  done = subprocess.run([sys.executable, '-c', KILLED, path],
                        capture_output=True, text=True)
  assert done.returncode == 9, done.stderr
  assert done.stderr == ''
  begun = os.listdir(tmp_path)
  if begun == ['0']:  # it was faster than the kill: then it is whole
    snapshots.restore(path, {'x': np.ones((64, 1 << 16), np.float32)})
  else:
    assert begun and '0' not in begun
  tree = {'x': np.arange(6.0).reshape(3, 2)}
  save(path, tree)
  np.testing.assert_array_equal(snapshots.restore(path, tree)['x'], tree['x'])
  assert os.listdir(tmp_path) == ['0']


def test_saving_and_reading_print_nothing(tmp_path):
  code = '''
import sys
import numpy as np
from nws_jax.store import snapshots
writer = snapshots.Writer()
writer.save(sys.argv[1], {'x': np.ones((4, 3), np.float32)})
writer.wait()
snapshots.restore(sys.argv[1], {'x': np.ones((4, 3), np.float32)})
'''
  done = subprocess.run(
      [sys.executable, '-W', 'error', '-c', code, tmp_path / '0'],
      capture_output=True, text=True)
  assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
