"""What a file holds, before it is loaded: the names, shapes and types of its
arrays."""

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

import ml_dtypes
import numpy as np

from nws_jax import errors

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_MOST = 5000  # arrays in a file; a network with its optimizer has hundreds


class Arrays(NamedTuple):
  """The arrays of a file or folder."""
  entries: dict  # {name, its parts joined by /: (shape, dtype)}
  load: Callable  # (list of names) -> {name: array}
  path: str  # of what is read, where that is one of several in a folder


class Unknown(ValueError):
  """It is of an architecture that no classifier knows."""


def make(path: str, entries: dict, load: Callable) -> Arrays:
  """`Arrays` of names that may be joined by dots.

  Args:
    path: of the file or folder that they are in.
    entries: {name: (shape, dtype)}.
    load: (list of such names) -> {name: array}.

  Raises:
    ValueError: there are too many, or two have one name.
  """
  if len(entries) > _MOST:
    raise ValueError(f'it holds {len(entries):,} arrays, and at most {_MOST:,} '
                     'are looked at')
  names = {name.replace('.', '/'): name for name in entries}
  if len(names) < len(entries):
    raise ValueError('two of its arrays have the same name')

  def load_named(wanted: list[str]) -> dict[str, np.ndarray]:
    found = load([names[name] for name in wanted])
    return {name: found[names[name]] for name in wanted}
  return Arrays({name: (tuple(shape), _read_type(dtype)) for name, (
      shape, dtype) in zip(names, entries.values())}, load_named, path)


def check_plain(path: str) -> None:
  """Raises `Wrong` for what is neither a plain file nor a folder of such:
  reading a pipe or a device may never end."""
  for folder, _, names in os.walk(path):
    for name in names:
      check_plain(os.path.join(folder, name))
  mode = os.stat(path).st_mode
  kind = next((words for is_it, words in _SPECIAL if is_it(mode)), None)
  if kind:
    raise errors.Wrong(f'{path} is a {kind}, and no file: it is not read. Save '
                       'what comes from it as a file, and name that.')


_SPECIAL = ((stat.S_ISFIFO, 'pipe'), (stat.S_ISSOCK, 'socket'),
            (stat.S_ISCHR, 'device'), (stat.S_ISBLK, 'device'))


def _read_type(dtype: np.dtype) -> np.dtype:
  """NumPy writes bfloat16, which it does not know, as two bytes of anything."""
  return BFLOAT16 if dtype == np.dtype('V2') else np.dtype(dtype)


def view(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
  """An array as of the type that `Arrays` says."""
  return array.view(BFLOAT16) if dtype == BFLOAT16 else array
