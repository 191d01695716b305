"""The publishers' archives: binary formats -> uint8 images and labels."""

import gzip
import math
import os
import struct
import zlib

import numpy as np

from nws_jax import errors

IDX_FILES = {
    'train': ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte'),
    'test': ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'),
}


def find(folder, file):
  """The path of `file` or `file`.gz in `folder`; None if neither is there."""
  for name in (file, f'{file}.gz'):
    path = os.path.join(folder, name)
    if os.path.isfile(path):
      return path
  return None


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
  try:
    with open(path, 'rb') as f:
      data = f.read()
    return gzip.decompress(data) if data[:2] == b'\x1f\x8b' else data
  except (EOFError, zlib.error, gzip.BadGzipFile) as e:
    raise errors.Damaged(f'{path} is cut short or corrupt ({e}); '
                         'get it again.') from e
