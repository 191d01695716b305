"""Checkpoints of any origin, read into one flat vector.

A file is not trusted: the shapes that it claims are compared with the known
architectures before anything of that size is allocated, and nothing is ever
unpickled.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nws_jax import errors, say
from nws_jax.meta.data import layouts
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

_HEAD = 16  # first bytes of a file, which identify its format


class Format(NamedTuple):
  """A kind of file or folder."""
  name: str  # as messages list it; empty if it is only refused
  # (path, first bytes) of a file, (path) of a folder -> whether it is one
  matches: Callable[..., bool]
  # (path, lengths of the known vectors) -> its arrays
  read: Callable[[str, set[int]], arrays.Arrays]


# The first that matches is used.
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
Known = dict[str, tuple[layouts.Tensor, ...]]  # tensors of each architecture
_KINDS = ('a snapshot of a zoo (FOLDER:ID or FOLDER:ID:EPOCH), a file ('
          + ', '.join(f.name for f in FILES if f.name) + ') or a folder ('
          + ', '.join(f.name for f in FOLDERS if f.name) + ')')


class Checkpoint(NamedTuple):
  """A network to identify."""
  name: str
  vector_P: np.ndarray  # float32
  architecture: str
  ignored: tuple[str, ...] = ()  # what else is in the file
  rounded: bool = False  # whether the file is in half precision


def read(path: str, known: Known) -> Checkpoint:
  """Reads a file or folder.

  Args:
    path: of the checkpoint.
    known: the architectures that classifiers can read.

  Raises:
    errors.Wrong: it is not of a known architecture, not finite, a pickle, or
      not readable.
  """
  if not os.path.exists(path):
    raise errors.Wrong(f'{path}: there is no such file or folder. Give '
                       f'{_KINDS}.')
  if not os.path.isdir(path):
    arrays.check_plain(path)
  if os.path.exists(os.path.join(path, 'members.csv')):
    raise errors.Wrong(f'{path} is a zoo: name one of its networks, as '
                       f'{path}:7, or a snapshot of one, as {path}:7:10.')
  try:
    held = _find_format(path).read(
        path, {tensors[-1].stop for tensors in known.values()})
    found = matching.find(held, known)
  except errors.Wrong:
    raise
  except arrays.Unknown as e:
    raise errors.Wrong(f'{path}: {str(e).rstrip(".")}.') from e
  except Exception as e:  # a reader may raise anything at a damaged file
    raise errors.Wrong(f'{path} cannot be read: {say.first(e)}. Give '
                       f'{_KINDS}.') from e
  return check(held.path, found.vector_P, found.architecture)._replace(
      ignored=found.ignored, rounded=found.rounded)


def check(path: str, vector_P: np.ndarray, architecture: str) -> Checkpoint:
  """A `Checkpoint` of finite weights; raises `Wrong` for others."""
  with np.errstate(over='ignore'):  # what overflows is counted below
    vector_P = np.asarray(vector_P, np.float32)
  bad = int((~np.isfinite(vector_P)).sum())
  if bad:
    raise errors.Wrong(f'{path} cannot be identified: {bad:,} of its '
                       f'{vector_P.size:,} weights are NaN or infinite.')
  return Checkpoint(path, vector_P, architecture)


def _find_format(path: str) -> Format:
  if os.path.isdir(path):
    return next(f for f in FOLDERS if f.matches(path))
  with open(path, 'rb') as f:
    head = f.read(_HEAD)
  for format in FILES:
    if format.matches(path, head):
      return format
  raise ValueError('its format is unknown')
