"""The image sets of a population as one pytree for the device."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from nws_jax import space
from nws_jax.zoo import images

Array = jax.Array | np.ndarray  # on the devices, or before


class Data(NamedTuple):
  """S image sets: the training images of all of them, then the test images."""
  images_NxHxWxC: Array  # uint8
  labels_N: Array  # integers, like all that follow
  start_S: Array  # first training image
  count_S: Array  # number of training images
  a_class_S: Array  # training images of each class in an epoch
  valid_S: Array  # number of validation images
  test_start_S: Array  # first test image
  test_part_S: Array  # number of test images evaluated after every epoch
  test_count_S: Array  # number of test images

  @property
  def longest(self) -> int:
    """Images of the largest set, which is the size of arrays of indices."""
    return int(max(np.max(self.count_S), np.max(self.test_count_S)))


def pack(sets: Iterable[images.ImageSet], test_part: int) -> Data:
  """Packs image sets into one `Data` of NumPy arrays.

  It orders test images so that the first `test_part` are spread evenly over
  the set.
  """
  sets, valid, order = list(sets), [], []
  for s in sets:
    counts = np.bincount(s.train_labels, minlength=space.NUM_CLASSES)
    valid.append(int((counts - images.cut(counts)).sum()))
    n = len(s.test_labels)
    part = np.unique(np.linspace(0, n - 1, min(test_part, n)).astype(int))
    order.append(np.concatenate([part, np.setdiff1d(np.arange(n), part)]))
  count = np.asarray([len(s.train_labels) for s in sets], np.int32)
  test_count = np.asarray([len(s.test_labels) for s in sets], np.int32)
  return Data(
      images_NxHxWxC=np.concatenate(
          [s.train_images for s in sets]
          + [s.test_images[o] for s, o in zip(sets, order)]),
      labels_N=np.concatenate(
          [s.train_labels for s in sets]
          + [s.test_labels[o] for s, o in zip(sets, order)]),
      start_S=np.cumsum(count, dtype=np.int32) - count,
      count_S=count,
      a_class_S=np.asarray(
          [images.an_epoch(s) // space.NUM_CLASSES for s in sets], np.int32),
      valid_S=np.asarray(valid, np.int32),
      test_start_S=(np.cumsum(test_count) - test_count
                    + count.sum()).astype(np.int32),
      test_part_S=np.minimum(test_count, test_part),
      test_count_S=test_count)


def count_steps(a_class: Any, batch_size: Any) -> Any:
  """Updates per epoch of `a_class` images of every class; integer or array."""
  return a_class * space.NUM_CLASSES // batch_size
