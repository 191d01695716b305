"""safetensors: 8 bytes of length, a JSON header, the arrays.

The format is that small, so the library of that name would only add a compiled
dependency. It makes the same checks, but parses headers of up to 100 MB.
"""

import json
import math
import os

import numpy as np

from nws_jax.meta.identify.checkpoints import arrays

_HEADER = 1 << 20  # bytes, at most
_TYPES = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2', 'BF16': '<u2',
          'I64': '<i8', 'I32': '<i4', 'I16': '<i2', 'I8': 'i1', 'U8': 'u1',
          'BOOL': '?'}


def matches(path: str, head: bytes) -> bool:
  """By the end of its name, or where its header begins."""
  return path.endswith('.safetensors') or head[8:10] == b'{"'


def read(path: str, lengths: set[int]) -> arrays.Arrays:
  """Arrays by their names; raises `ValueError` for an inconsistent header."""
  size = os.path.getsize(path)
  with open(path, 'rb') as f:
    length = int.from_bytes(f.read(8), 'little')
    if not 2 <= length <= min(_HEADER, size - 8):
      raise ValueError(f'its header has {length:,} bytes')
    header = json.loads(f.read(length))
  header.pop('__metadata__', None)
  entries, begins = {}, {}
  for name, entry in header.items():
    if entry['dtype'] not in _TYPES:
      raise ValueError(f'{name[:100]} is of type {str(entry["dtype"])[:20]}; '
                       f'allowed: {", ".join(_TYPES)}')
    shape = tuple(int(n) for n in entry['shape'])
    dtype = np.dtype(_TYPES[entry['dtype']])
    begin, end = (int(n) for n in entry['data_offsets'])
    if min(shape, default=0) < 0 or not (
        0 <= begin <= end <= size - 8 - length
        and end - begin == dtype.itemsize * math.prod(shape)):
      raise ValueError(f'{name[:100]} has the offsets {begin} to {end}, which '
                       f'do not fit its shape {shape} or the file')
    entries[name] = shape, (
        arrays.BFLOAT16 if entry['dtype'] == 'BF16' else dtype)
    begins[name] = dtype, 8 + length + begin

  def load(names: list[str]) -> dict[str, np.ndarray]:
    found = {}
    for name in names:
      shape, (dtype, begin) = entries[name][0], begins[name]
      found[name] = np.fromfile(
          path, dtype, math.prod(shape), offset=begin).reshape(shape)
    return found
  return arrays.make(path, entries, load)
