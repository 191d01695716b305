"""The publishers' archives: binary formats -> uint8 images and labels.

Nothing here downloads or unpacks to disk. Every reader checks what it reads;
a file that is not what it should be raises `errors.Damaged` with its name.
"""

import contextlib
import gzip
import hashlib
import math
import os
import struct
import tarfile
import zlib
from typing import NamedTuple

import numpy as np

from nws_jax import bars, errors, space

IDX_FILES = {
    'train': ('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'),
    'test': ('t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'),
}
FILES = {  # names as published
    'mnist': IDX_FILES['train'] + IDX_FILES['test'],
    'fashion_mnist': IDX_FILES['train'] + IDX_FILES['test'],
    'cifar10': ('cifar-10-binary.tar.gz',),
    'svhn_cropped': ('train_32x32.mat', 'test_32x32.mat'),
    'stl10': ('stl10_binary.tar.gz',),
}
_SHAPES = {'mnist': (28, 28, 1), 'fashion_mnist': (28, 28, 1),
           'cifar10': (32, 32, 3), 'svhn_cropped': (32, 32, 3),
           'stl10': (96, 96, 3)}
# SHA-256 of the decompressed IDX files. Their copies differ in the header that
# gzip writes (time, file name), so that a digest of the archive would refuse
# good ones, and plain ones too.
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


class Archive(NamedTuple):
  """A whole set as published: images [N, H, W, C], labels [N], all uint8."""
  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray
  class_names: tuple = ()  # where the archive itself names them


def find(folder, file):
  """The path of an archive in `folder`, None if it is not there.

  An IDX file may lie there without `.gz`, too.
  """
  plain = file.removesuffix('.gz') if file.endswith('-ubyte.gz') else file
  for path in (os.path.join(folder, f) for f in (file, plain)):
    if os.path.isfile(path):
      return path
  return None


def hash_content(name, file, path):
  """(SHA-256 of what identifies an archive, the published one if known here).

  That is the decompressed content of an IDX file, else the file itself, whose
  published digest is in TensorFlow Datasets.
  """
  content, h = _CONTENT.get(name), hashlib.sha256()
  with (_open_content(path) if content
        else _open(path, f'{name}: checking {file}')) as f:
    while block := f.read(2 ** 20):
      h.update(block)
  return h.hexdigest(), content and content[FILES[name].index(file)]


def read(name, paths):
  """Reads a whole set.

  Args:
    name: a key of `FILES`.
    paths: {file: path} of its archives.

  Returns:
    Archive, images in the publisher's order, labels 0 to 9.

  Raises:
    errors.Damaged: an archive is not what its format says, or a label is out
      of range, or a class has no images.
  """
  files = [paths[file] for file in FILES[name]]
  archive = _READERS[name](*files)
  check(name, archive, f'{name} of {", ".join(files)}', 'get it again')
  return archive


def check(name, archive, where, fix):
  """Raises `errors.Damaged` unless a set's arrays are what it consists of.

  Args:
    name: a key of `FILES`.
    archive: `Archive`.
    where: what it is from, for the message.
    fix: what to do about it, for the message.
  """
  for split, images, labels in (('training', *archive[:2]),
                                ('test', *archive[2:4])):
    of = f'{where}: the {split} part'
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


def read_idx(path):
  """The array of unsigned bytes in an IDX file, plain or gzipped.

  IDX: two zero bytes, type (8 is unsigned byte), number of axes, the length
  of each axis as a big-endian uint32, then the values, last axis fastest.
  """
  data = read_bytes(path)
  axes = data[3] if len(data) > 3 and data[:3] == b'\0\0\x08' else 0
  start = 4 + 4 * axes
  shape = struct.unpack(f'>{axes}I', data[4:start].ljust(4 * axes, b'\0'))
  if not shape or math.prod(shape) != len(data) - start:
    raise errors.Damaged(f'{path} is not a whole IDX file of unsigned bytes; '
                         'get it again.')
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_bytes(path):
  """The content of a file, decompressed if it is gzipped."""
  with _open_content(path) as f:
    return f.read()


@contextlib.contextmanager
def _open_content(path):
  """A file opened for its content, decompressed if it is gzipped."""
  try:
    with open(path, 'rb') as f:
      zipped = f.read(2) == b'\x1f\x8b'
      f.seek(0)
      yield gzip.GzipFile(fileobj=f) if zipped else f
  except (EOFError, zlib.error, gzip.BadGzipFile) as e:
    raise errors.Damaged(f'{path} is cut short or corrupt ({e}); '
                         'get it again.') from e


@contextlib.contextmanager
def _open(path, task):
  """A large file opened for one pass, with a progress bar."""
  from tqdm import utils
  with open(path, 'rb') as f, bars.make(
      os.path.getsize(path), desc=task, unit='B', unit_scale=True) as bar:
    yield utils.CallbackIOWrapper(bar.update, f, 'read')


def _read_mnist(*paths):
  arrays = [read_idx(path) for path in paths]
  for path, x, axes in zip(paths, arrays, (3, 1, 3, 1)):
    if x.ndim != axes or x.shape[1:] != (28, 28)[:axes - 1]:
      raise errors.Damaged(f'{path} has shape {x.shape}; get it again.')
  return Archive(arrays[0][..., None], arrays[1], arrays[2][..., None],
                 arrays[3])


def _read_cifar10(path):
  """Records of one byte of label, then red, green, blue planes, row by row."""
  folder = 'cifar-10-batches-bin/'
  batches = [f'{folder}data_batch_{i}.bin' for i in range(1, 6)]
  test, names = f'{folder}test_batch.bin', f'{folder}batches.meta.txt'
  data = _read_tar(path, (*batches, test, names))
  train = [_cut(data[b], 1 + 3072, f'{path}: {b}') for b in batches]
  parts = []
  for x in (np.concatenate(train), _cut(data[test], 1 + 3072, path)):
    images_NxCxHxW = x[:, 1:].reshape(-1, 3, 32, 32)
    parts += [images_NxCxHxW.transpose(0, 2, 3, 1), x[:, 0]]
  return Archive(*parts, _split_names(data[names]))


def _read_svhn(*paths):
  """MATLAB files: X [H, W, C, N] uint8, y [N, 1] from 1 to 10; 10 means 0."""
  from scipy import io
  parts = []
  for path in paths:
    try:
      mat = io.loadmat(path, variable_names=['X', 'y'])
      images, labels = mat['X'], mat['y'].reshape(-1)
    except Exception as e:  # scipy raises anything a cut file makes it meet
      raise errors.Damaged(f'{path} is not a whole MATLAB file with X and y '
                           f'({e}); get it again.') from e
    if images.dtype != np.uint8 or images.shape[:-1] != (32, 32, 3):
      raise errors.Damaged(f'{path}: X is {images.dtype} {images.shape}; '
                           'get it again.')
    if len(labels) and not 1 <= labels.min() <= labels.max() <= 10:
      raise errors.Damaged(f'{path} has a label out of its range; '
                           'get it again.')
    parts += [np.moveaxis(images, -1, 0), (labels % 10).astype(np.uint8)]
  return Archive(*parts)


def _read_stl10(path):
  """Images [C, W, H] (column by column); labels 1 to 10, one byte each."""
  folder = 'stl10_binary/'
  files = [f'{folder}{f}.bin' for f in ('train_X', 'train_y', 'test_X',
                                        'test_y')]
  names = f'{folder}class_names.txt'
  data = _read_tar(path, (*files, names))
  parts = []
  for images, labels in (files[:2], files[2:]):
    x = _cut(data[images], 3 * 96 * 96, f'{path}: {images}')
    images_NxCxWxH = x.reshape(-1, 3, 96, 96)
    y = np.frombuffer(data[labels], np.uint8)
    parts += [images_NxCxWxH.transpose(0, 3, 2, 1), y - np.uint8(1)]  # 0 -> 255
  return Archive(*parts, _split_names(data[names]))


_READERS = {
    'mnist': _read_mnist,
    'fashion_mnist': _read_mnist,
    'cifar10': _read_cifar10,
    'svhn_cropped': _read_svhn,
    'stl10': _read_stl10,
}


def _read_tar(path, members):
  """{member: bytes}, by name, in one pass; nothing is extracted to disk."""
  data = {}
  try:
    with (_open(path, f'reading {os.path.basename(path)}') as f,
          tarfile.open(fileobj=f, mode='r|*') as tar):
      for info in tar:
        name = info.name.removeprefix('./')
        if name in members and info.isfile():
          data[name] = tar.extractfile(info).read()
        if len(data) == len(members):
          break
  except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as e:
    raise errors.Damaged(f'{path} is cut short or corrupt ({e}); '
                         'get it again.') from e
  missing = [m for m in members if m not in data]
  if missing:
    raise errors.Damaged(f'{path} has no {", ".join(missing)}; get it again.')
  return data


def _cut(data, size, what):
  """uint8 [N, size] of a whole number of records."""
  if len(data) % size:
    raise errors.Damaged(f'{what} is not a whole number of images; '
                         'get it again.')
  return np.frombuffer(data, np.uint8).reshape(-1, size)


def _split_names(data):
  return tuple(n for n in data.decode('utf-8', 'replace').split('\n') if n)
