""".npy and .npz files. Arrays of Python objects are pickles, and not loaded."""

import zipfile
from typing import IO

import numpy as np

from nws_jax import errors
from nws_jax.meta.identify.checkpoints import arrays, pickles


def is_npy(path: str, head: bytes) -> bool:
  """By the first bytes of a file."""
  return head.startswith(b'\x93NUMPY')


def is_npz(path: str, head: bytes) -> bool:
  """By the first bytes of a file; PyTorch's own files begin so, too."""
  return head.startswith(b'PK\3\4')


def read_npy(path: str, lengths: set[int]) -> arrays.Arrays:
  """One flat vector; raises `ValueError` for any other array."""
  with open(path, 'rb') as f:
    shape, dtype = _read_header(f, path)
  if len(shape) != 1:
    raise ValueError(f'its array has the shape {shape}: give one flat vector, '
                     'or an .npz file of all arrays by their names')

  def load(names: list[str]) -> dict[str, np.ndarray]:
    with open(path, 'rb') as f:
      return {name: np.lib.format.read_array(f, allow_pickle=False)
              for name in names}
  return arrays.make(path, {'values': (shape, dtype)}, load)


def read_npz(path: str, lengths: set[int]) -> arrays.Arrays:
  """Arrays by their names, or one flat vector of any name.

  Raises:
    errors.Wrong: there is a pickle in it.
    ValueError: there is something else, or a header that may be too long.
  """
  with zipfile.ZipFile(path) as archive:
    names = archive.namelist()
    if any(n.endswith(('.pkl', '.pickle')) for n in names):
      raise pickles.refuse(path)  # PyTorch's files are such
    entries = {}
    for name in names:
      if not name.endswith('.npy'):
        raise ValueError(f'{name[:100]!r} in it is not an array')
      with archive.open(name) as f:
        entries[name.removesuffix('.npy')] = _read_header(f, name)

  def load(wanted: list[str]) -> dict[str, np.ndarray]:
    found = {}
    with zipfile.ZipFile(path) as archive:
      for name in wanted:
        with archive.open(f'{name}.npy') as f:
          found[name] = np.lib.format.read_array(f, allow_pickle=False)
    return found
  return arrays.make(path, entries, load)


def _read_header(f: IO[bytes], name: str) -> tuple[tuple, np.dtype]:
  version = np.lib.format.read_magic(f)
  if version != (1, 0):  # the length of later ones is not bounded
    raise ValueError(f'{name[:100]!r} has a header of version {version}')
  shape, _, dtype = np.lib.format.read_array_header_1_0(f)
  if dtype.hasobject:
    raise errors.Wrong(f'{name[:100]} holds Python objects, which are pickled: '
                       'it is not loaded. Save plain arrays.')
  return shape, dtype
