"""Checks of the numbers that callers of the Python interface give."""

import contextlib
import numbers
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from nws_jax import errors


def check_all(name: str, values: Any) -> list[int]:
  """Whole numbers as a list of ints."""
  if not isinstance(values, Iterable):
    raise errors.Wrong(f'{name}={values!r} is not possible: it must be a list '
                       'of whole numbers.')
  return [check_whole(name, value) for value in values]


def check_whole(name: str, value: Any) -> int:
  """A whole number as an int; allows NumPy's and 7.0, but not True."""
  if not isinstance(value, (bool, np.bool_)):
    with contextlib.suppress(TypeError):
      return operator.index(value)
    if isinstance(value, numbers.Real):
      whole: Any = value // 1
      if value == whole:
        return int(whole)
  raise errors.Wrong(f'{name}={value!r} is not possible: it must be a whole '
                     'number.')
