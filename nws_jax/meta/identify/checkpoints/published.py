"""The published format: .bin files of one vector, and the folder of a run."""

import os
import re
from typing import NoReturn

import numpy as np

from nws_jax import errors
from nws_jax.meta.identify.checkpoints import arrays

_TYPES = ('<f8', '<f4')  # as published, and single precision


def is_bin(path: str, head: bytes) -> bool:
  """By the end of its name."""
  return path.endswith('.bin')


def read_bin(path: str, lengths: set[int]) -> arrays.Arrays:
  """One flat vector, of the type that gives it a known length."""
  arrays.check_plain(path)
  size = os.path.getsize(path)
  dtypes = [np.dtype(t) for t in _TYPES]
  dtype = next((d for d in dtypes if size / d.itemsize in lengths), dtypes[0])
  if size % dtype.itemsize:
    raise ValueError(f'it has {size:,} bytes, which is not a multiple of a '
                     'float64')
  return arrays.make(
      path, {'values': ((size // dtype.itemsize,), dtype)},
      lambda names: {name: np.fromfile(path, dtype) for name in names})


def is_run(path: str) -> bool:
  """Whether a folder has snapshots."""
  return bool(_list_snapshots(path))


def read_run(path: str, lengths: set[int]) -> arrays.Arrays:
  """The last snapshot; the path of a file names another."""
  return read_bin(os.path.join(path, _list_snapshots(path)[-1]), lengths)


def is_table(path: str) -> bool:
  """Whether a folder has tables of networks."""
  return any(n.startswith('nws_') and n.endswith('.csv')
             for n in os.listdir(path))


def refuse_table(path: str, lengths: set[int]) -> NoReturn:
  """Raises `errors.Wrong`: it holds many networks."""
  raise errors.Wrong(f'{path} holds networks in the published format: name one '
                     f'of them, as {os.path.join(path, "00012")}.')


def _list_snapshots(path: str) -> list[str]:
  """The snapshots of a run folder, ascending."""
  inner = os.path.join(path, 'weights')
  names = os.listdir(inner) if os.path.isdir(inner) else ()
  return sorted((os.path.join('weights', n) for n in names
                 if re.fullmatch(r'\d{1,9}\.bin', n)),
                key=lambda n: int(os.path.basename(n).removesuffix('.bin')))
