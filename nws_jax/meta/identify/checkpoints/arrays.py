"""The names, shapes and types of the arrays in a file, before they are loaded.
"""

import os
import stat
from collections.abc import Callable, Mapping
from typing import NamedTuple

import ml_dtypes
import numpy as np

from nws_jax import errors

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_MOST = 5000  # arrays in a file; a network with its optimizer has hundreds


class Arrays(NamedTuple):
  """The arrays of a file or folder."""
  entries: dict[str, tuple[tuple, np.dtype]]  # by keys joined by /
  load: Callable[[list[str]], dict[str, np.ndarray]]  # by their names
  path: str  # of what is read, where that is one of several in a folder


class Unknown(ValueError):
  """The architecture is one that no classifier knows."""


def make(path: str, entries: Mapping[str, tuple],
         load: Callable[[list[str]], dict[str, np.ndarray]]) -> Arrays:
  """`Arrays` of names that may be joined by dots.

  Args:
    path: of the file or folder that they are in.
    entries: {name: (shape, dtype)}.
    load: (list of such names) -> {name: array}.

  Raises:
    ValueError: there are too many, or two have one name.
  """
  if len(entries) > _MOST:
    raise ValueError(f'it holds {len(entries):,} arrays, more than '
                     f'{_MOST:,}')
  names = {name.replace('.', '/'): name for name in entries}
  if len(names) < len(entries):
    raise ValueError('two of its arrays have the same name')

  def load_named(wanted: list[str]) -> dict[str, np.ndarray]:
    found = load([names[name] for name in wanted])
    return {name: found[names[name]] for name in wanted}
  return Arrays({name: (tuple(shape), _read_type(dtype)) for name, (
      shape, dtype) in zip(names, entries.values())}, load_named, path)


def check_plain(path: str) -> None:
  """Raises `Wrong` unless it is a regular file or a folder of regular files:
  reading from a pipe or a device may never end."""
  for folder, _, names in os.walk(path):
    for name in names:
      check_plain(os.path.join(folder, name))
  mode = os.stat(path).st_mode
  kind = next((words for is_it, words in _SPECIAL if is_it(mode)), None)
  if kind:
    raise errors.Wrong(f'{path} is a {kind}, which is not read. Save its '
                       'content as a file and give that.')


_SPECIAL = ((stat.S_ISFIFO, 'pipe'), (stat.S_ISSOCK, 'socket'),
            (stat.S_ISCHR, 'device'), (stat.S_ISBLK, 'device'))


def _read_type(dtype: np.dtype) -> np.dtype:
  """NumPy writes bfloat16, which it does not know, as two bytes of a void."""
  return BFLOAT16 if dtype == np.dtype('V2') else np.dtype(dtype)


def view(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
  """An array as the type that `Arrays` gives."""
  return array.view(BFLOAT16) if dtype == BFLOAT16 else array
