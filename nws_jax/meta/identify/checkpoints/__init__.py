"""Weights that someone else made, read with care into one flat vector.

What a file says of itself is compared with the architectures that are known
before anything of that size is allocated, and nothing is ever unpickled.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors, say
from nws_jax.meta.identify.checkpoints import (
  arrays,
  checkpoints,
  matching,
  msgpack,
  numpy_files,
  pickles,
  published,
  safetensors,
)

_HEAD = 16  # first bytes of a file, by which its format is told


class Format(NamedTuple):
  """A kind of file or folder."""
  name: str  # as messages list it; empty if it is only refused
  matches: Callable  # (path, first bytes) of a file, (path) of a folder
  read: Callable  # (path, lengths of vectors that are known) -> arrays.Arrays


# The first that matches reads.
FILES = (
    Format('', pickles.is_pickle, pickles.read),
    Format('.npz', numpy_files.is_npz, numpy_files.read_npz),
    Format('.npy', numpy_files.is_npy, numpy_files.read_npy),
    Format('.safetensors', safetensors.matches, safetensors.read),
    Format('NWS .bin', published.is_bin, published.read_bin),
    Format('.msgpack of Flax', msgpack.matches, msgpack.read),
)
FOLDERS = (
    Format('a run folder of the published format', published.is_run,
           published.read_run),
    Format('', published.is_table, published.refuse_table),
    Format('an Orbax folder', lambda path: True, checkpoints.read),
)
_KINDS = ('a snapshot of a zoo (FOLDER:ID or FOLDER:ID:EPOCH), a file ('
          + ', '.join(f.name for f in FILES if f.name) + ') or a folder ('
          + ', '.join(f.name for f in FOLDERS if f.name) + ')')


class Stranger(NamedTuple):
  """A network to identify."""
  name: str
  vector_P: Any  # float32
  architecture: str
  ignored: tuple = ()  # what else was in the file
  rounded: bool = False  # whether the file held half precision


def read(path: str, known: dict) -> Stranger:
  """Reads a file or folder.

  Args:
    path: of the checkpoint.
    known: {architecture: its `layouts.Tensor`s} that classifiers can read.

  Returns:
    `Stranger`.

  Raises:
    errors.Wrong: it is not of a known architecture, not finite, a pickle, or
      nothing that can be read.
  """
  if not os.path.exists(path):
    raise errors.Wrong(f'{path}: there is no such file or folder. Give '
                       f'{_KINDS}.')
  if not os.path.isdir(path):
    arrays.check_plain(path)
  if os.path.exists(os.path.join(path, 'members.csv')):
    raise errors.Wrong(f'{path} is a zoo: name a network of it, as {path}:7, '
                       f'or one after an epoch, as {path}:7:10.')
  try:
    there = _find_format(path).read(
        path, {tensors[-1].stop for tensors in known.values()})
    found = matching.find(there, known)
  except errors.Wrong:
    raise
  except arrays.Unknown as e:
    raise errors.Wrong(f'{path}: {str(e).rstrip(".")}.') from e
  except Exception as e:  # a stranger's file may make a reader raise anything
    raise errors.Wrong(f'{path} cannot be read: {say.first(e)}. Give '
                       f'{_KINDS}.') from e
  return check(there.path, found.vector_P, found.architecture)._replace(
      ignored=found.ignored, rounded=found.rounded)


def check(path: str, vector_P: np.ndarray, name: str) -> Stranger:
  """A `Stranger` of finite weights; raises `Wrong` for others."""
  with np.errstate(over='ignore'):  # becomes infinite, and is told
    vector_P = np.asarray(vector_P, np.float32)
  bad = int((~np.isfinite(vector_P)).sum())
  if bad:
    raise errors.Wrong(f'{path} cannot be identified: {bad:,} of its '
                       f'{vector_P.size:,} weights are NaN or infinite.')
  return Stranger(path, vector_P, name)


def _find_format(path: str) -> Format:
  if os.path.isdir(path):
    return next(f for f in FOLDERS if f.matches(path))
  with open(path, 'rb') as f:
    head = f.read(_HEAD)
  for some in FILES:
    if some.matches(path, head):
      return some
  raise ValueError('it is none of the kinds that can be read')
