"""Small archives in the publishers' formats, written by their descriptions."""

import gzip
import io
import tarfile

import numpy as np
import pytest

_SHAPES = {'mnist': (28, 28, 1), 'fashion_mnist': (28, 28, 1),
           'cifar10': (32, 32, 3), 'svhn_cropped': (32, 32, 3),
           'stl10': (96, 96, 3)}


@pytest.fixture
def publish():
  """publish(name, folder) writes a set's archives there.

  Returns (train_images, train_labels, test_images, test_labels): random
  bytes, every class twice or more, in mixed order.
  """
  return _publish


def _publish(name, folder, num=(50, 20), seed=0):
  rng = np.random.default_rng(seed)
  arrays = []
  for n in num:
    arrays.append(rng.integers(0, 256, (n, *_SHAPES[name]), np.uint8))
    arrays.append(rng.permutation(np.arange(n) % 10).astype(np.uint8))
  folder.mkdir(parents=True, exist_ok=True)
  _WRITERS[name](folder, *arrays)
  return tuple(arrays)


def _write_idx(folder, *arrays):
  files = ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte',
           't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte')
  for i, (file, x) in enumerate(zip(files, arrays)):
    x = x[..., 0] if x.ndim == 4 else x
    sizes = np.array(x.shape, '>u4')
    data = bytes([0, 0, 8, x.ndim]) + sizes.tobytes() + x.tobytes()
    if i < 3:  # gzipped and plain ones may be mixed
      (folder / f'{file}.gz').write_bytes(gzip.compress(data))
    else:
      (folder / file).write_bytes(data)


def _write_cifar10(folder, train_x, train_y, test_x, test_y):
  def records(images, labels):
    return b''.join(
        bytes([y]) + b''.join(x[:, :, c].tobytes() for c in range(3))
        for x, y in zip(images, labels))
  size = len(train_x) // 5
  members = {f'data_batch_{i + 1}.bin': records(
      train_x[i * size:(i + 1) * size], train_y[i * size:(i + 1) * size])
      for i in (4, 0, 1, 2, 3)}  # their order in a tar says nothing
  names = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog',
           'horse', 'ship', 'truck')
  members |= {'test_batch.bin': records(test_x, test_y),
              'readme.html': b'hello',
              'batches.meta.txt': '\n'.join([*names, '', '']).encode()}
  write_tar(folder / 'cifar-10-binary.tar.gz',
            {f'cifar-10-batches-bin/{k}': v for k, v in members.items()})


def _write_svhn(folder, train_x, train_y, test_x, test_y):
  from scipy import io as matlab
  for file, x, y in (('train_32x32.mat', train_x, train_y),
                     ('test_32x32.mat', test_x, test_y)):
    matlab.savemat(folder / file, {
        'X': np.stack(list(x), axis=-1),
        'y': np.where(y == 0, 10, y).astype(np.uint8)[:, None]})


def _write_stl10(folder, train_x, train_y, test_x, test_y):
  def columns(images):
    return b''.join(x[:, :, c].T.tobytes() for x in images for c in range(3))
  names = ('airplane', 'bird', 'car', 'cat', 'deer', 'dog', 'horse', 'monkey',
           'ship', 'truck')
  members = {
      'test_X.bin': columns(test_x), 'test_y.bin': (test_y + 1).tobytes(),
      'train_X.bin': columns(train_x), 'train_y.bin': (train_y + 1).tobytes(),
      'unlabeled_X.bin': bytes(3 * 96 * 96),
      'class_names.txt': ''.join(f'{n}\n' for n in names).encode(),
      'fold_indices.txt': b'0 1 2\n'}
  write_tar(folder / 'stl10_binary.tar.gz',
            {f'stl10_binary/{k}': v for k, v in members.items()})


def write_tar(path, members):
  with tarfile.open(path, 'w:gz') as tar:
    for name, data in members.items():
      info = tarfile.TarInfo(name)
      info.size = len(data)
      tar.addfile(info, io.BytesIO(data))


_WRITERS = {'mnist': _write_idx, 'fashion_mnist': _write_idx,
            'cifar10': _write_cifar10, 'svhn_cropped': _write_svhn,
            'stl10': _write_stl10}
