"""Named image sets -> uint8 arrays, all [N, 32, 32, 3].

There are two sources. `embedded` has small real sets inside the package,
`tfds` the full ones that `python -m nws_jax.data` (or TensorFlow Datasets
itself) prepared. Names are those of TensorFlow Datasets.
"""

import hashlib
import importlib.resources
import zipfile
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors, space

SIDE = 32
EMBEDDED = ('fashion_mnist', 'mnist', 'digits')
FULL: tuple[str, ...] = space.DATASET.choices
SOURCES = {'embedded': EMBEDDED, 'tfds': FULL}
# The published run read these two by TensorFlow's old MNIST reader, which omits
# the first 5,000 training images (docs/recipe.md, 8). Only this module does so,
# and only for full sets: 55,000 images remain.
_SET_ASIDE = {'mnist': 5000, 'fashion_mnist': 5000}


Shape = tuple[int, int, int]  # height, width, channels


class ImageSet(NamedTuple):
  """A named set: uint8 images [N, 32, 32, 3], int32 labels [N] in 0..9."""
  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray


def load(name: str, source: str = 'embedded', data_dir: str | None = None
         ) -> ImageSet:
  """Loads a set as the networks take it, before division by 255.

  Args:
    name: a name of `SOURCES[source]`.
    source: 'embedded' or 'tfds'.
    data_dir: where the full sets were prepared; None is the default folder of
      TensorFlow Datasets. Embedded sets ignore it.

  Raises:
    errors.Wrong: the source is unknown or has no such set, or the set is not
      prepared in `data_dir`, or its images or classes cannot be used.
    errors.Damaged: the set's file is corrupt.
  """
  check(name, source)
  if source == 'embedded':
    found = _read_embedded(name)
  else:
    from nws_jax.zoo import prepared
    found = ImageSet(*prepared.read(name, data_dir)[:4])
  _check_labels(name, found.train_labels, found.test_labels)
  if source != 'embedded':
    aside = _SET_ASIDE.get(name, 0)
    found = found._replace(train_images=found.train_images[aside:],
                           train_labels=found.train_labels[aside:])
  if name == 'digits':  # counts of 0 to 16 -> bytes; 127.5 becomes 128
    scale = np.rint(np.arange(17) * 255 / 16).astype(np.uint8)
    found = found._replace(train_images=scale[found.train_images],
                           test_images=scale[found.test_images])
  return ImageSet(
      resize(found.train_images), found.train_labels.astype(np.int32),
      resize(found.test_images), found.test_labels.astype(np.int32))


def digest(image_set: ImageSet) -> str:
  """The SHA-256 of a set, by which a zoo recognises its images."""
  sha256 = hashlib.sha256()
  for array in image_set:
    sha256.update(np.ascontiguousarray(array).data)
  return sha256.hexdigest()


def check(name: str, source: str) -> None:
  """Raises `errors.Wrong` unless `source` has a set called `name`."""
  if source not in SOURCES:
    raise errors.impossible('dataset_source', source, ', '.join(SOURCES))
  if name not in SOURCES[source]:
    others = [s for s in SOURCES if name in SOURCES[s]]
    raise errors.Wrong(
        f'dataset={name!r} is not available from source {source!r}, which has '
        f'{", ".join(SOURCES[source])}.'
        + ''.join(f' Use dataset_source={s!r}.' for s in others))


def _check_labels(name: str, train_labels: np.ndarray, test_labels: np.ndarray
                  ) -> None:
  """Raises `errors.Wrong` unless the set has the number of classes for which
  epochs are balanced and chance is computed."""
  found = np.unique(np.concatenate([train_labels, test_labels])).tolist()
  if found != list(range(space.NUM_CLASSES)) or (
      len(np.unique(train_labels)) < len(found)):
    raise errors.Wrong(
        f'{name} has {len(found)} classes, labelled {found[0]} to {found[-1]}; '
        f'possible are {space.NUM_CLASSES}, labelled 0 to '
        f'{space.NUM_CLASSES - 1}, each with training images. Leave classes '
        'out, or join some.')


def cut(counts: Any) -> Any:
  """How many images of each class are for training: nine in ten, rounded down.

  Args:
    counts: images of each class; an int, or integers of NumPy or JAX.
  """
  return counts * 9 // 10


def an_epoch(image_set: ImageSet) -> int:
  """The number of training images of an epoch: as many of every class as the
  smallest class has."""
  counts = np.bincount(image_set.train_labels, minlength=space.NUM_CLASSES)
  return int(cut(counts).min()) * space.NUM_CLASSES


def resize(images_NxHxWxC: np.ndarray) -> np.ndarray:
  """uint8 [N, side, side, 1 or 3] -> uint8 [N, 32, 32, 3].

  Sides below 32, which must be multiples of 4, are resized by the legacy grid;
  multiples of 32 by the mean over squares of pixels. Values are rounded, halves
  to even. A single channel is copied to all three.

  Raises:
    errors.Wrong: the images have another type or shape.
  """
  _check_size(images_NxHxWxC)
  side = images_NxHxWxC.shape[1]
  if side == SIDE and images_NxHxWxC.shape[-1] == 3:
    return np.ascontiguousarray(images_NxHxWxC)
  out = np.empty((len(images_NxHxWxC), SIDE, SIDE, 3), np.uint8)
  for start in range(0, len(out), 1000):  # to bound the memory of the floats
    x = images_NxHxWxC[start:start + 1000].astype(np.float32)
    if side < SIDE:
      grid_SxH = legacy_grid(side)
      x = np.moveaxis(
          grid_SxH @ np.moveaxis(x, -1, 1) @ grid_SxH.T, 1, -1)
    elif side > SIDE:
      k = side // SIDE
      x = x.reshape(-1, SIDE, k, SIDE, k, x.shape[-1]).mean((2, 4))
    out[start:start + 1000] = np.rint(x)
  return out


def _check_size(images: np.ndarray) -> None:
  shape, dtype = np.shape(images), getattr(images, 'dtype', type(images))
  if (dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2]
      or shape[3] not in (1, 3) or not shape[1]
      or shape[1] % (4 if shape[1] < SIDE else SIDE)):
    raise errors.Wrong(
        f'images are {dtype} {list(shape)}; possible are uint8 [N, side, side, '
        f'1 or 3] with a side of 4, 8, ... 28, or {SIDE}, {2 * SIDE}, ...: '
        'crop or pad them.')


def check_input(images: Any, shape: Shape = (SIDE, SIDE, 3)) -> np.ndarray:
  """Images as networks take them: uint8 [N, *shape].

  Args:
    images: whole numbers from 0 to 255, of any type.
    shape: of one image.

  Raises:
    errors.Wrong: the images have other values or another shape; the message
      says how to convert them.
  """
  try:
    x = np.asarray(images)
  except ValueError as e:
    raise errors.Wrong(f'images are no array: {e}.') from e
  if fix := _fix_layout(x.shape, shape) or _fix_values(x):
    raise errors.Wrong(
        f'images are {x.dtype} {list(x.shape)}, but networks take uint8 [N, '
        f'{", ".join(map(str, shape))}], 0 to 255: {fix}.')
  return x.astype(np.uint8, copy=False)


def _fix_layout(found: tuple[int, ...], shape: Shape) -> str | None:
  """How to give images the shape [N, *shape]; None if they have it."""
  height, width, channels = shape
  if found[1:] == shape:
    return None
  if found == shape:
    return 'give one image as images[None]'
  if found[1:] == (channels, height, width):
    return 'give channels last, as images.transpose(0, 2, 3, 1)'
  if found == (channels, height, width):
    return ('give one image, channels last, as '
            'images.transpose(1, 2, 0)[None]')
  return ('make uint8 [N, side, side, 1 or 3] of another size such by '
          'nws_jax.zoo.images.resize(images)')


def _fix_values(x: np.ndarray) -> str | None:
  """How to make values whole numbers from 0 to 255; None if they are."""
  low, high = (x.min(), x.max()) if x.size else (0, 0)
  inside = x.dtype.kind in 'iuf' and 0 <= low and high <= 255
  if x.dtype.kind != 'f' and inside:
    return None
  if inside and high <= 1:
    return ('they are divided by 255 afterwards, so give '
            "(images * 255).round().astype('uint8')")
  if inside:
    return "give images.round().astype('uint8')"
  return 'undo what was done to the values since they were bytes'


def legacy_grid(side: int) -> np.ndarray:
  """The matrix float32 [32, side] of TensorFlow 1's bilinear resize.

  Output i reads input side/32 * i, clamped at the edge, without a half-pixel
  shift. All values are multiples of 1/8, so that products in float32 are exact.
  """
  at_S = np.arange(SIDE) * (side / SIDE)
  low_S = at_S.astype(int)
  high_S = np.minimum(low_S + 1, side - 1)
  grid_SxH = np.zeros((SIDE, side), np.float32)
  rows = np.arange(SIDE)
  np.add.at(grid_SxH, (rows, low_S), 1 - (at_S - low_S))
  np.add.at(grid_SxH, (rows, high_S), at_S - low_S)
  return grid_SxH


def _read_embedded(name: str) -> ImageSet:
  """The stored arrays of an embedded set, at their original size."""
  path = importlib.resources.files('nws_jax.zoo') / 'embedded' / f'{name}.npz'
  try:
    with path.open('rb') as f, np.load(f, allow_pickle=False) as arrays:
      return ImageSet(*(arrays[field] for field in ImageSet._fields))
  except (OSError, ValueError, KeyError, zipfile.BadZipFile) as e:
    raise errors.Damaged(f'{path} is missing or corrupt ({e}); install the '
                         'package again.') from e
