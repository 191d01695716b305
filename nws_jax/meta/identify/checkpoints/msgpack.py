"""Files of flax.serialization.to_bytes: nested dicts in msgpack."""

import os

import numpy as np

from nws_jax.meta.identify.checkpoints import arrays

# The most bytes of a file, a weight: float64, with an optimizer's two moments
# and room for a copy; and beside them, for names.
_BYTES_A_WEIGHT, _BYTES_BESIDE = 32, 1 << 20


def matches(path: str, head: bytes) -> bool:
  """By the first bytes: a map whose first key is a short string."""
  first, key = head[:1], head[1:2]
  if first == b'\xde':
    key = head[3:4]
  return (b'\x81' <= first <= b'\x8f' or first == b'\xde') and (
      b'\xa1' <= key <= b'\xbf')


def read(path: str, lengths: set[int]) -> arrays.Arrays:
  """The arrays of a nested dict.

  Raises:
    arrays.Unknown: it is larger than any known network.
    ValueError: Flax did not write it.
  """
  from flax import serialization, traverse_util
  most = _BYTES_BESIDE + _BYTES_A_WEIGHT * max(lengths)
  size = os.path.getsize(path)
  if size > most:
    raise arrays.Unknown(f'it has {size:,} bytes; a network that the '
                         f'classifiers know has at most {most:,}')
  with open(path, 'rb') as f:
    tree = serialization.msgpack_restore(f.read())
  leaves = {name: np.asarray(leaf) for name, leaf
            in traverse_util.flatten_dict(tree, sep='/').items()
            if isinstance(leaf, (np.ndarray, np.generic, int, float))}
  return arrays.make(
      path, {name: (x.shape, x.dtype) for name, x in leaves.items()},
      lambda names: {name: leaves[name] for name in names})
