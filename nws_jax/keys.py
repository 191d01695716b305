"""Checks that a config has exactly the keys that the program reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from nws_jax import errors


def check(config: Mapping[str, Any], known: Sequence[str],
          example: str) -> None:
  """Raises `Wrong` unless a config has exactly the known keys.

  Args:
    config: a mapping.
    known: the keys that it must have.
    example: a config file that has them.
  """
  wrong = {'lacks': [k for k in known if k not in config],
           'has': [k for k in config if k not in known]}
  problem = ' and '.join(f'{verb} {_list(keys)}'
                         for verb, keys in wrong.items() if keys)
  if problem:
    raise errors.Wrong(f'the config {problem}: its keys must be those of '
                       f'{example}.')


def _list(keys: Sequence[str], most: int = 4) -> str:
  more = f' and {len(keys) - most} more keys' if len(keys) > most else ''
  return ', '.join(map(str, keys[:most])) + more
