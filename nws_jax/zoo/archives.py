"""The publishers' archives: binary formats -> uint8 images and labels.

Nothing is downloaded or unpacked to disk. Wrong files raise `errors.Damaged`.
"""

import contextlib
import gzip
import hashlib
import io
import math
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax import bars, errors, space

IDX_FILES = {
    'train': ('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'),
    'test': ('t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'),
}
FILES: dict[str, tuple[str, ...]] = {  # names as published
    'mnist': IDX_FILES['train'] + IDX_FILES['test'],
    'fashion_mnist': IDX_FILES['train'] + IDX_FILES['test'],
    'cifar10': ('cifar-10-binary.tar.gz',),
    'svhn_cropped': ('train_32x32.mat', 'test_32x32.mat'),
    'stl10': ('stl10_binary.tar.gz',),
}
_SHAPES = {'mnist': (28, 28, 1), 'fashion_mnist': (28, 28, 1),
           'cifar10': (32, 32, 3), 'svhn_cropped': (32, 32, 3),
           'stl10': (96, 96, 3)}
# SHA-256 of the decompressed IDX files. The digest of an archive would refuse
# good copies, which are not compressed or differ in the header that gzip writes
# (time, file name).
_CONTENT = {
    'mnist': (
        'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
        '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
        '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
        'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2'),
    'fashion_mnist': (
        'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
        'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
        '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
        '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34'),
}


class Part(NamedTuple):
  """The training or test part of a set, uint8."""
  images: np.ndarray  # [N, H, W, C]
  labels: np.ndarray  # [N]


class Archive(NamedTuple):
  """A whole set as published: images [N, H, W, C], labels [N], all uint8."""
  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray
  class_names: tuple[str, ...] = ()  # if the archive itself names them

  @property
  def parts(self) -> dict[str, Part]:
    """{split: its images and labels}; `prepared` has the same names."""
    return {'train': Part(self.train_images, self.train_labels),
            'test': Part(self.test_images, self.test_labels)}


class Digest(NamedTuple):
  """The SHA-256 of an archive's content."""
  found: str
  published: str | None  # None: it is not known here


def find(folder: str, file: str) -> str | None:
  """The path of an archive in `folder`; None: it is not there.

  An IDX file may also be there without `.gz`.
  """
  plain = file.removesuffix('.gz') if file.endswith('-ubyte.gz') else file
  for path in (os.path.join(folder, f) for f in (file, plain)):
    if os.path.isfile(path):
      return path
  return None


def hash_content(name: str, file: str, path: str) -> Digest:
  """Computes the digest of the decompressed content of an IDX file, or else of
  the file itself, whose published digest TensorFlow Datasets has."""
  content, h = _CONTENT.get(name), hashlib.sha256()
  with (_open_content(path) if content
        else _open(path, f'{name}: checking {file}')) as f:
    while block := f.read(2 ** 20):
      h.update(block)
  return Digest(h.hexdigest(), content and content[FILES[name].index(file)])


def read(name: str, paths: Mapping[str, str]) -> Archive:
  """Reads a whole set.

  Args:
    name: a key of `FILES`.
    paths: {file: path} of its archives.

  Returns:
    The set, images in the publisher's order, labels from 0 to 9.

  Raises:
    errors.Damaged: a file violates its format, or a class has no images.
  """
  files = [paths[file] for file in FILES[name]]
  archive = _READERS[name](*files)
  check(name, archive, f'{name} of {", ".join(files)}', 'get it again')
  return archive


def check(name: str, archive: Archive, where: str, fix: str) -> None:
  """Checks the shapes and labels of a set.

  Args:
    name: a key of `FILES`.
    archive: the set.
    where: where it was read from, for the message.
    fix: what to do if it is wrong, for the message.

  Raises:
    errors.Damaged: an array is wrong.
  """
  for split, (images, labels) in archive.parts.items():
    of = f'{where}: the {"training" if split == "train" else split} part'
    if images.shape[1:] != _SHAPES[name]:
      raise errors.Damaged(f'{of} has images of shape {images.shape[1:]}, not '
                           f'{_SHAPES[name]}; {fix}.')
    if len(images) != len(labels):
      raise errors.Damaged(f'{of} has {len(images)} images, but {len(labels)} '
                           f'labels; {fix}.')
    if len(labels) and labels.max() >= space.NUM_CLASSES:
      raise errors.Damaged(f'{of} has a label out of its range; {fix}.')
    counts_K = np.bincount(labels, minlength=space.NUM_CLASSES)
    if not counts_K.all():
      raise errors.Damaged(f'{of} has no images of class '
                           f'{counts_K.argmin()}; {fix}.')


def read_idx(path: str) -> np.ndarray:
  """Reads the array of unsigned bytes in an IDX file, gzipped or not.

  The format: two zero bytes, the type (8: unsigned byte), the number of axes,
  the length of each axis as a big-endian uint32, and then the values, the last
  axis fastest.
  """
  data = read_bytes(path)
  axes = data[3] if len(data) > 3 and data[:3] == b'\0\0\x08' else 0
  start = 4 + 4 * axes
  shape = struct.unpack(f'>{axes}I', data[4:start].ljust(4 * axes, b'\0'))
  if not shape or math.prod(shape) != len(data) - start:
    raise errors.Damaged(f'{path} is not a whole IDX file of unsigned bytes; '
                         'get it again.')
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_bytes(path: str) -> bytes:
  """Reads a file, decompressed if it is gzipped."""
  with _open_content(path) as f:
    return f.read()


@contextlib.contextmanager
def _open_content(path: str) -> Iterator[gzip.GzipFile | io.BufferedReader]:
  """Opens a file for reading, decompressed if it is gzipped."""
  try:
    with open(path, 'rb') as f:
      zipped = f.read(2) == b'\x1f\x8b'
      f.seek(0)
      yield gzip.GzipFile(fileobj=f) if zipped else f
  except (EOFError, zlib.error, gzip.BadGzipFile) as e:
    raise errors.Damaged(f'{path} is cut short or corrupt ({e}); '
                         'get it again.') from e


@contextlib.contextmanager
def _open(path: str, task: str) -> Iterator[Any]:
  """Opens a large file to be read once, with a progress bar."""
  from tqdm import utils
  with open(path, 'rb') as f, bars.make(
      os.path.getsize(path), desc=task, unit='B', unit_scale=True) as bar:
    yield utils.CallbackIOWrapper(bar.update, f, 'read')


def _read_mnist(*paths: str) -> Archive:
  arrays = [read_idx(path) for path in paths]
  for path, x, axes in zip(paths, arrays, (3, 1, 3, 1)):
    if x.ndim != axes or x.shape[1:] != (28, 28)[:axes - 1]:
      raise errors.Damaged(f'{path} has shape {x.shape}; get it again.')
  return Archive(arrays[0][..., None], arrays[1], arrays[2][..., None],
                 arrays[3])


def _read_cifar10(path: str) -> Archive:
  """Reads records: a label byte, then red, green and blue planes by rows."""
  folder = 'cifar-10-batches-bin/'
  batches = [f'{folder}data_batch_{i}.bin' for i in range(1, 6)]
  test, names = f'{folder}test_batch.bin', f'{folder}batches.meta.txt'
  data = _read_tar(path, (*batches, test, names))
  train = [_cut(data[b], 1 + 3072, f'{path}: {b}') for b in batches]
  def split(x: np.ndarray) -> Part:
    images_NxCxHxW = x[:, 1:].reshape(-1, 3, 32, 32)
    return Part(images_NxCxHxW.transpose(0, 2, 3, 1), x[:, 0])

  return Archive(*split(np.concatenate(train)),
                 *split(_cut(data[test], 1 + 3072, path)),
                 _split_names(data[names]))


def _read_svhn(train: str, test: str) -> Archive:
  return Archive(*_read_mat(train), *_read_mat(test))


def _read_mat(path: str) -> Part:
  """Reads X [H, W, C, N] uint8 and y [N, 1] from 1 to 10, where 10 means 0."""
  import scipy.io
  try:
    mat = scipy.io.loadmat(path, variable_names=['X', 'y'])
    images, labels = mat['X'], mat['y'].reshape(-1)
  except Exception as e:  # scipy may raise any error for a truncated file
    raise errors.Damaged(f'{path} is not a whole MATLAB file with X and y '
                         f'({e}); get it again.') from e
  if images.dtype != np.uint8 or images.shape[:-1] != (32, 32, 3):
    raise errors.Damaged(f'{path}: X is {images.dtype} {images.shape}; '
                         'get it again.')
  if len(labels) and not 1 <= labels.min() <= labels.max() <= 10:
    raise errors.Damaged(f'{path} has a label out of its range; '
                         'get it again.')
  return Part(np.moveaxis(images, -1, 0), (labels % 10).astype(np.uint8))


def _read_stl10(path: str) -> Archive:
  """Reads images [C, W, H] (by columns), and label bytes from 1 to 10."""
  folder = 'stl10_binary/'
  files = [f'{folder}{f}.bin' for f in ('train_X', 'train_y', 'test_X',
                                        'test_y')]
  names = f'{folder}class_names.txt'
  data = _read_tar(path, (*files, names))
  def split(images: str, labels: str) -> Part:
    x = _cut(data[images], 3 * 96 * 96, f'{path}: {images}')
    images_NxCxWxH = x.reshape(-1, 3, 96, 96)
    y = np.frombuffer(data[labels], np.uint8)
    return Part(images_NxCxWxH.transpose(0, 3, 2, 1), y - np.uint8(1))  # 0: 255

  return Archive(*split(*files[:2]), *split(*files[2:]),
                 _split_names(data[names]))


_READERS: dict[str, Callable[..., Archive]] = {
    'mnist': _read_mnist,
    'fashion_mnist': _read_mnist,
    'cifar10': _read_cifar10,
    'svhn_cropped': _read_svhn,
    'stl10': _read_stl10,
}


def _read_tar(path: str, members: Sequence[str]) -> dict[str, bytes]:
  """Reads members of a tar file in one pass: {member: content}."""
  data: dict[str, bytes] = {}
  try:
    with (_open(path, f'reading {os.path.basename(path)}') as f,
          tarfile.open(fileobj=f, mode='r|*') as tar):
      for info in tar:
        name = info.name.removeprefix('./')
        if name in members and info.isfile():
          file = tar.extractfile(info)
          assert file is not None, 'only None for what is not a file'
          data[name] = file.read()
        if len(data) == len(members):
          break
  except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as e:
    raise errors.Damaged(f'{path} is cut short or corrupt ({e}); '
                         'get it again.') from e
  missing = [m for m in members if m not in data]
  if missing:
    raise errors.Damaged(f'{path} has no {", ".join(missing)}; get it again.')
  return data


def _cut(data: bytes, size: int, what: str) -> np.ndarray:
  """Splits data into records: uint8 [N, size]."""
  if len(data) % size:
    raise errors.Damaged(f'{what} is not a whole number of images; '
                         'get it again.')
  return np.frombuffer(data, np.uint8).reshape(-1, size)


def _split_names(data: bytes) -> tuple[str, ...]:
  return tuple(n for n in data.decode('utf-8', 'replace').split('\n') if n)
