"""The publishers' formats: what is read equals what was written."""

import gzip
import io
import sys
import tarfile
import tracemalloc
import types

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nws_jax import errors
from nws_jax.zoo import archives


def _find(name, folder):
  return {f: archives.find(folder, f) for f in archives.FILES[name]}


@pytest.mark.parametrize('name', archives.FILES)
def test_read_equals_the_source(name, tmp_path, publish):
  source = publish(name, tmp_path)
  archive = archives.read(name, _find(name, tmp_path))
  for expected, x in zip(source, archive):
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(x, expected)
  if name in ('cifar10', 'stl10'):
    assert len(archive.class_names) == 10 and archive.class_names[-1] == 'truck'
  else:
    assert archive.class_names == ()


@pytest.mark.parametrize('name', ('cifar10', 'svhn_cropped', 'stl10'))
def test_the_official_builder_reads_the_same(name, tmp_path, publish,
                                             monkeypatch):
  """Archive -> pixels by the code that TensorFlow Datasets has for it."""
  import tensorflow_datasets as tfds
  publish(name, tmp_path)
  paths = _find(name, tmp_path)

  def unpack(urls):
    if isinstance(urls, dict):
      return {k: str(tmp_path / u.rsplit('/', 1)[-1]) for k, u in urls.items()}
    [path] = paths.values()
    with tarfile.open(path) as tar:
      tar.extractall(tmp_path, filter='data')
    return str(tmp_path)

  builder = tfds.builder_cls(name)(data_dir=str(tmp_path / 'data'))
  plain_open = types.SimpleNamespace(GFile=open)  # all it has of TensorFlow
  monkeypatch.setattr(
      sys.modules[type(builder).__module__], 'tf', types.SimpleNamespace(
          io=types.SimpleNamespace(gfile=plain_open)), raising=False)
  splits = builder._split_generators(types.SimpleNamespace(
      download=unpack, download_and_extract=unpack))
  if not isinstance(splits, dict):
    splits = {s.name: builder._generate_examples(**s.gen_kwargs)
              for s in splits}
  archive = archives.read(name, paths)
  for split, images, labels in (('train', *archive[:2]),
                                ('test', *archive[2:4])):
    examples = [e for _, e in splits[split]]
    np.testing.assert_array_equal([e['image'] for e in examples], images)
    np.testing.assert_array_equal([e['label'] for e in examples], labels)


@settings(max_examples=30, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=3),
       zipped=st.booleans(), seed=st.integers(0, 99))
def test_idx_round_trip_and_every_cut(tmp_path, shape, zipped, seed):
  x = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
  data = (bytes([0, 0, 8, x.ndim]) + np.array(shape, '>u4').tobytes()
          + x.tobytes())
  path = tmp_path / 'x-ubyte'
  path.write_bytes(gzip.compress(data) if zipped else data)
  np.testing.assert_array_equal(archives.read_idx(path), x)
  for cut in range(len(data)):
    path.write_bytes(data[:cut])
    with pytest.raises(errors.Damaged, match='x-ubyte'):
      archives.read_idx(path)


@pytest.mark.parametrize('name', archives.FILES)
def test_cut_archives_are_named(name, tmp_path, publish):
  publish(name, tmp_path)
  paths = _find(name, tmp_path)
  for path in paths.values():
    with open(path, 'rb') as f:
      data = f.read()
    for part in (data[:len(data) * 2 // 3], data[:20], b''):
      with open(path, 'wb') as f:
        f.write(part)
      with pytest.raises(errors.Damaged) as e:
        archives.read(name, paths)
      assert path in str(e.value) and 'get it again' in str(e.value)
    with open(path, 'wb') as f:
      f.write(data)
  archives.read(name, paths)


def _write_svhn(folder, labels):
  from scipy import io as matlab
  for file in archives.FILES['svhn_cropped']:
    matlab.savemat(folder / file, {
        'X': np.zeros((32, 32, 3, len(labels)), np.uint8),
        'y': np.array(labels)[:, None]})


@pytest.mark.parametrize('labels, words', [
    ([1, 2, 3, 4, 5, 6, 7, 8, 9, 11], 'label out of its range'),
    ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 'label out of its range'),
    ([1, 2, 3, 4, 5, 6, 7, 8, 8, 10], 'no images of class 9'),
    ([1, 2, 3, 4, 5, 6, 7, 8, 9, 9], 'no images of class 0'),
])
def test_svhn_labels_are_checked(tmp_path, labels, words):
  _write_svhn(tmp_path, labels)
  with pytest.raises(errors.Damaged, match=words):
    archives.read('svhn_cropped', _find('svhn_cropped', tmp_path))


def test_svhn_ten_means_zero(tmp_path):
  _write_svhn(tmp_path, [10, *range(1, 10)])
  archive = archives.read('svhn_cropped', _find('svhn_cropped', tmp_path))
  assert archive.train_labels.tolist() == list(range(10))


def _rewrite_tar(path, change):
  """Applies change(name, bytes) -> bytes or None to a tar's members."""
  with tarfile.open(path) as tar:
    members = {m.name: tar.extractfile(m).read() for m in tar}
  with tarfile.open(path, 'w:gz') as tar:
    for name, data in members.items():
      data = change(name, data)
      if data is not None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize('name, member, change, words', [
    ('cifar10', 'data_batch_3.bin', lambda d: None, 'has no .*data_batch_3'),
    ('cifar10', 'test_batch.bin', lambda d: d[:-1], 'whole number of images'),
    ('cifar10', 'data_batch_1.bin', lambda d: b'\x0a' + d[1:], 'out of its'),
    ('stl10', 'train_y.bin', lambda d: b'\x00' + d[1:], 'out of its range'),
    ('stl10', 'test_y.bin', lambda d: b'\x0b' + d[1:], 'out of its range'),
    ('stl10', 'test_y.bin', lambda d: d[1:], '20 images, but 19 labels'),
    ('stl10', 'train_y.bin', lambda d: d.replace(b'\x0a', b'\x01'),
     'no images of class 9'),
    ('stl10', 'class_names.txt', lambda d: None, 'has no .*class_names'),
])
def test_wrong_members_are_named(name, member, change, words, tmp_path,
                                 publish):
  publish(name, tmp_path)
  [path] = _find(name, tmp_path).values()
  _rewrite_tar(path, lambda n, d: change(d) if n.endswith(member) else d)
  with pytest.raises(errors.Damaged, match=words):
    archives.read(name, _find(name, tmp_path))


def test_nothing_leaves_a_tar(tmp_path, publish):
  publish('cifar10', tmp_path / 'in')
  [path] = _find('cifar10', tmp_path / 'in').values()
  with tarfile.open(path) as tar:
    members = {m.name: tar.extractfile(m).read() for m in tar}
  test = 'cifar-10-batches-bin/test_batch.bin'
  with tarfile.open(path, 'w:gz') as tar:
    for name, data in {'../evil': b'x', '/tmp/evil': b'x', **members}.items():
      info = tarfile.TarInfo(name)
      if name == test:  # a link in place of the member
        info.type, info.linkname = tarfile.SYMTYPE, '../../secret'
        tar.addfile(info)
      else:
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
  before = sorted(tmp_path.rglob('*'))
  with pytest.raises(errors.Damaged, match='has no .*test_batch'):
    archives.read('cifar10', {'cifar-10-binary.tar.gz': path})
  assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('change, words', [
    ({'train_images': np.zeros((10, 28, 28, 3), np.uint8)}, 'of shape'),
    ({'test_labels': np.arange(9, dtype=np.uint8)}, '10 images, but 9 labels'),
    ({'test_labels': np.arange(1, 11, dtype=np.uint8)}, 'out of its range'),
    ({'train_labels': np.arange(10, dtype=np.uint8) % 9},
     'training part has no images of class 9')])
def test_wrong_arrays_are_told_with_their_place(change, words):
  images, labels = np.zeros((10, 28, 28, 1), np.uint8), np.arange(10)
  archive = archives.Archive(*(images, labels.astype(np.uint8)) * 2)
  archives.check('mnist', archive, 'x/50%s', 'try it')
  with pytest.raises(errors.Damaged, match=words) as e:
    archives.check('mnist', archive._replace(**change), 'x/50%s', 'try it')
  assert str(e.value).startswith('x/50%s: the t')
  assert str(e.value).endswith('; try it.')


def test_an_archive_that_unpacks_to_much_is_refused_in_little_memory(tmp_path):
  path = tmp_path / archives.FILES['mnist'][0]
  with gzip.open(path, 'wb', compresslevel=1) as f:
    for _ in range(64):
      f.write(bytes(2 ** 20))
  tracemalloc.start()
  found, expected = archives.hash_content('mnist', path.name, path)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert found != expected and peak < 2 ** 23


def test_content_digest_ignores_compression(tmp_path, publish):
  publish('mnist', tmp_path)
  file = archives.FILES['mnist'][0]
  zipped = tmp_path / file
  plain = tmp_path / 'plain'
  plain.write_bytes(gzip.decompress(zipped.read_bytes()))
  one, expected = archives.hash_content('mnist', file, zipped)
  two, _ = archives.hash_content('mnist', file, plain)
  other, _ = archives.hash_content('mnist', file,
                                   tmp_path / archives.FILES['mnist'][2])
  assert one == two != other
  assert one != expected  # this is not the published set
