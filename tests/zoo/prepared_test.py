"""Prepared sets: read back equal, whole or absent, readable by TFDS itself."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from nws_jax import data, errors
from nws_jax.zoo import archives, images, prepared


def _prepare(name, tmp_path, publish, **kwargs):
  """Publishes and prepares a small set; returns (source, data_dir)."""
  source = publish(name, tmp_path / 'archives' / name, **kwargs)
  data_dir = str(tmp_path / 'data')
  data.prepare([name], str(tmp_path / 'archives'), data_dir, _accept)
  return source, data_dir


def _accept(name, file, path):
  """In place of the comparison with published checksums."""


@pytest.mark.parametrize('name', prepared.VERSIONS)
def test_prepared_set_is_the_source(name, tmp_path, publish):
  """As arrays, as the networks see it, and record by record from TFDS."""
  source, data_dir = _prepare(name, tmp_path, publish)
  back = prepared.read(name, data_dir)
  for expected, x in zip(source, back, strict=False):
    np.testing.assert_array_equal(x, expected)

  seen = images.load(name, 'tfds', data_dir)
  np.testing.assert_array_equal(seen.test_images, images.resize(source[2]))
  np.testing.assert_array_equal(seen.test_labels, source[3])
  num_train = 0 if 'mnist' in name else 50  # the first 5,000 are set aside
  assert seen.train_images.shape == (num_train, 32, 32, 3)
  assert seen.train_labels.dtype == np.int32

  import tensorflow_datasets as tfds
  official = tfds.builder_cls(name)(data_dir=data_dir)
  assert os.fspath(official.data_dir) == prepared.folder(name, data_dir)
  records = tfds.data_source(name, data_dir=data_dir,
                             builder_kwargs={'file_format': 'array_record'})
  for split, x, y in (('train', *source[:2]), ('test', *source[2:])):
    hasher = tfds.core.hashing.Hasher(split)
    order = sorted(range(len(y)), key=hasher.hash_key)
    assert len(records[split]) == len(y)
    for i, example in zip(order, records[split]):
      np.testing.assert_array_equal(example['image'], x[i])
      assert example['label'] == y[i]
      assert example.keys() == official.info.features.keys()
      if 'id' in example:
        digits = {'cifar10': 5, 'svhn_cropped': 6}[name]
        assert example['id'] == f'{split}_{i:0{digits}}'.encode()
  assert 'tensorflow' not in sys.modules


def test_label_names_are_kept(tmp_path, publish):
  import tensorflow_datasets as tfds
  _, data_dir = _prepare('cifar10', tmp_path, publish)
  info = tfds.builder_from_directory(prepared.folder('cifar10', data_dir)).info
  assert info.features['label'].names[:2] == ['airplane', 'automobile']
  assert info.supervised_keys == ('image', 'label')


def test_first_images_in_the_publishers_order_are_set_aside(
    tmp_path, publish, monkeypatch):
  monkeypatch.setattr(images, '_SET_ASIDE', {'mnist': 7})
  source, data_dir = _prepare('mnist', tmp_path, publish)
  seen = images.load('mnist', 'tfds', data_dir)
  np.testing.assert_array_equal(seen.train_labels, source[1][7:])
  np.testing.assert_array_equal(seen.train_images, images.resize(source[0][7:]))


def test_array_file_is_used_checked_and_made_again(
    tmp_path, publish, monkeypatch):
  source, data_dir = _prepare('mnist', tmp_path, publish)
  cache = os.path.join(prepared.folder('mnist', data_dir), 'nws_jax.npz')
  with open(cache, 'rb') as f:
    whole = f.read()

  def fail(*args):
    raise AssertionError('decoded again')
  with monkeypatch.context() as m:
    m.setattr(prepared, '_decode', fail)
    prepared.read('mnist', data_dir)

  middle = len(whole) // 2
  for damaged in (whole[:middle], b'', whole[:middle]
                  + bytes([whole[middle] ^ 1]) + whole[middle + 1:]):
    with open(cache, 'wb') as f:
      f.write(damaged)
    for _ in range(2):
      for expected, x in zip(source, prepared.read('mnist', data_dir)):
        np.testing.assert_array_equal(x, expected)
    with open(cache, 'rb') as f:
      assert f.read() == whole
  assert len(os.listdir(prepared.folder('mnist', data_dir))) == 5

  rng = np.random.default_rng(0)  # any byte, so headers and checksums too
  places = [*rng.integers(0, len(whole), 20), *range(-900, 0, 30)]
  for place in places:
    bad = bytearray(whole)
    bad[place] ^= 0xff
    with open(cache, 'wb') as f:
      f.write(bad)
    for expected, x in zip(source, prepared.read('mnist', data_dir)):
      np.testing.assert_array_equal(x, expected)


def test_array_file_of_other_records_is_not_used(tmp_path, publish):
  _, data_dir = _prepare('mnist', tmp_path / '1', publish, seed=1)
  source, other = _prepare('mnist', tmp_path / '2', publish, num=(60, 30))
  stale = os.path.join(prepared.folder('mnist', data_dir), 'nws_jax.npz')
  os.replace(stale,
             os.path.join(prepared.folder('mnist', other), 'nws_jax.npz'))
  np.testing.assert_array_equal(prepared.read('mnist', other)[1], source[1])


def test_a_missing_set_names_the_command_and_the_folder(tmp_path, monkeypatch):
  for call in (prepared.read, lambda n, d: images.load(n, 'tfds', d)):
    with pytest.raises(errors.Wrong) as e:
      call('cifar10', str(tmp_path))
    assert 'python -m nws_jax.data --prepare=cifar10' in str(e.value)
    assert os.path.join(tmp_path, 'cifar10', '3.0.2') in str(e.value)
    assert 'datasets' not in str(e.value)
  for name in ('fashion_mnist', 'mnist'):
    os.makedirs(prepared.folder(name, str(tmp_path)))
  with pytest.raises(errors.Wrong, match='datasets=mnist,fashion_mnist$'):
    prepared.read('stl10', str(tmp_path))
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'there'))
  assert prepared.folder('mnist').startswith(str(tmp_path / 'there'))
  monkeypatch.delenv('TFDS_DATA_DIR')
  assert prepared.folder('mnist').startswith(os.path.expanduser('~'))


def test_damaged_folders_are_refused(tmp_path, publish):
  _, data_dir = _prepare('mnist', tmp_path, publish)
  path = prepared.folder('mnist', data_dir)
  info = os.path.join(path, 'dataset_info.json')
  with open(info) as f:
    text = f.read()
  shard = next(os.path.join(path, f) for f in os.listdir(path) if 'train' in f)

  def expect(error, words):
    with pytest.raises(error, match=words) as e:
      prepared.read('mnist', data_dir)
    assert path in str(e.value)

  with open(info, 'w') as f:
    f.write(text.replace('array_record', 'tfrecord'))
  expect(errors.Wrong, 'another --data_dir')
  for bad in ('', '{}', text[:-20], text.replace('"train"', '"trial"')):
    with open(info, 'w') as f:
      f.write(bad)
    expect(errors.Damaged, 'remove it and prepare')
  os.remove(info)
  expect(errors.Damaged, 'remove it and prepare')
  with open(info, 'w') as f:
    f.write(text)

  with open(shard, 'r+b') as f:  # other records than the array file's
    f.truncate(os.path.getsize(shard) // 2)
  expect(errors.Damaged, 'records of train .*cut short.*remove it')
  os.remove(shard)
  expect(errors.Damaged, 'records of train .*0 of 1 files')


def test_a_cut_set_is_not_taken_for_a_prepared_one(tmp_path, publish, capsys,
                                                   monkeypatch):
  """At once: before any record is decoded."""
  _, data_dir = _prepare('mnist', tmp_path, publish)
  path = prepared.folder('mnist', data_dir)
  shard = next(os.path.join(path, f) for f in os.listdir(path) if 'test' in f)
  with open(shard, 'rb') as f:
    whole = f.read()
  monkeypatch.setattr(prepared, '_decode', None)
  for size in (len(whole) - 1, len(whole) // 2, 8, 0):
    with open(shard, 'wb') as f:
      f.write(whole[:size])
    for go in (lambda: prepared.read('mnist', data_dir),
               lambda: data.prepare(['mnist'], data_dir=data_dir)):
      with pytest.raises(errors.Damaged, match='cut short.*remove it') as e:
        go()
      assert os.path.basename(shard) in str(e.value)
  with open(shard, 'wb') as f:
    f.write(whole)
  assert prepared.exists('mnist', data_dir)


def test_another_set_under_the_name_is_refused(tmp_path, publish):
  _, data_dir = _prepare('fashion_mnist', tmp_path, publish)
  os.rename(os.path.join(data_dir, 'fashion_mnist'),
            os.path.join(data_dir, 'mnist'))
  for go in (prepared.read, prepared.exists):
    with pytest.raises(errors.Damaged, match='fashion_mnist, not mnist'):
      go('mnist', data_dir)


def test_a_prepared_set_without_a_class_is_refused(tmp_path, publish,
                                                   monkeypatch):
  with monkeypatch.context() as m:
    m.setattr(archives, 'check', lambda *_: None)
    m.setitem(archives._READERS, 'mnist', lambda *p, f=archives._read_mnist:
              f(*p)._replace(test_labels=np.arange(20, dtype=np.uint8) % 9))
    _, data_dir = _prepare('mnist', tmp_path, publish)
  with pytest.raises(errors.Damaged, match='test part has no .*9; remove it'):
    images.load('mnist', 'tfds', data_dir)


def test_a_kill_leaves_nothing_that_counts(tmp_path, publish):
  """Killed while it writes; then removed, and prepared as if never begun."""
  source = publish('mnist', tmp_path / 'archives')
  data_dir = str(tmp_path / 'data')
  code = f'''
import os, signal
from nws_jax import data
from nws_jax.zoo import prepared
plain, calls = prepared._to_png, []
def to_png(x):
  calls.append(1)
  if len(calls) == 40:
    os.kill(os.getpid(), signal.SIGKILL)
  return plain(x)
prepared._to_png = to_png
data.prepare(['mnist'], {str(tmp_path / 'archives')!r}, {data_dir!r},
             lambda *_: None)
'''
  run = subprocess.run([sys.executable, '-c', code], capture_output=True)
  assert run.returncode == -signal.SIGKILL, run.stderr
  parent = os.path.join(data_dir, 'mnist')
  assert os.listdir(parent)  # what the kill left
  assert not prepared.exists('mnist', data_dir)
  data.prepare(['mnist'], str(tmp_path / 'archives'), data_dir, _accept)
  assert os.listdir(parent) == ['3.0.1']
  np.testing.assert_array_equal(prepared.read('mnist', data_dir)[0], source[0])


@pytest.mark.parametrize('error', (KeyboardInterrupt, OSError(28, 'full')))
def test_an_interruption_cleans_up(error, tmp_path, publish, monkeypatch):
  publish('mnist', tmp_path / 'archives')

  def fail(image):
    raise error
  monkeypatch.setattr(prepared, '_to_png', fail)
  with pytest.raises((KeyboardInterrupt, errors.Damaged)):
    data.prepare(['mnist'], str(tmp_path / 'archives'), str(tmp_path / 'data'),
                 _accept)
  assert os.listdir(tmp_path) == ['archives']


def test_a_set_that_reads_back_otherwise_does_not_appear(
    tmp_path, publish, monkeypatch):
  monkeypatch.setattr(prepared, '_to_png', lambda x, f=prepared._to_png: f(
      np.minimum(x, 254)))
  with pytest.raises(errors.Damaged, match='reads back other'):
    _prepare('mnist', tmp_path, publish)
  assert not prepared.exists('mnist', str(tmp_path / 'data'))


def test_two_at_once_are_refused(tmp_path):
  with prepared.hold('mnist', str(tmp_path)):
    with pytest.raises(errors.Wrong, match='mnist.* is in use by'):
      with prepared.hold('mnist', str(tmp_path)):
        pass
  with prepared.hold('mnist', str(tmp_path)):
    pass


def test_archives_of_a_read_only_set_still_read(tmp_path, publish,
                                                monkeypatch):
  source, data_dir = _prepare('mnist', tmp_path, publish)
  os.remove(os.path.join(prepared.folder('mnist', data_dir), 'nws_jax.npz'))

  def fail(*args, **kwargs):
    raise OSError(30, 'Read-only file system')
  monkeypatch.setattr(np, 'savez', fail)
  np.testing.assert_array_equal(prepared.read('mnist', data_dir)[1], source[1])
  assert len(os.listdir(prepared.folder('mnist', data_dir))) == 4
