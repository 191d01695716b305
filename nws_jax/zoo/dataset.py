"""The image sets of a population as one pytree for the device."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nws_jax import space
from nws_jax.zoo import images


class Data(NamedTuple):
  """S image sets: the training images of all of them, then the test images."""
  images_NxHxWxC: jnp.ndarray
  labels_N: jnp.ndarray
  start_S: jnp.ndarray  # of the training images
  count_S: jnp.ndarray
  a_class_S: jnp.ndarray  # training images of each class in an epoch
  valid_S: jnp.ndarray  # validation images
  test_start_S: jnp.ndarray
  test_part_S: jnp.ndarray  # images looked at after every epoch
  test_count_S: jnp.ndarray

  @property
  def longest(self):
    """Images of the largest set: the size of arrays of indices."""
    return int(max(np.max(self.count_S), np.max(self.test_count_S)))


def pack(sets, test_part):
  """Puts image sets (each an `images.ImageSet`) into one `Data` of NumPy.

  Test images are put in an order whose first `test_part` are spread evenly.
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


def count_steps(a_class, batch_size):
  """Updates of an epoch that shows `a_class` images of every class."""
  return a_class * space.NUM_CLASSES // batch_size
