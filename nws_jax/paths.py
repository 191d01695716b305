"""Checks and expands the paths that a user gives."""

import os
import re
import unicodedata
from typing import Any

from nws_jax import errors


def expand(path: Any, what: str = 'the path') -> str:
  """The file or folder that a path means; it need not exist.

  Args:
    path: str, bytes or `os.PathLike`; `~` and `~name` are home folders.
    what: how messages call it, for example `--workdir`.

  Returns:
    the path without trailing slashes.

  Raises:
    errors.Wrong: it cannot be a path on this machine; names the fix.
  """
  try:
    text = os.fsdecode(path)
  except TypeError as e:
    raise errors.Wrong(f'{what}={path!r} is not a path; give one such as '
                       "'runs/zoo'.") from e
  if not text.strip():
    raise errors.Wrong(f'{what} is empty; name a file or folder such as '
                       'runs/zoo.')
  if not is_text(text) or any(unicodedata.category(c) == 'Cc' for c in text):
    raise errors.Wrong(f'{what}={text!r} holds characters that are not text; '
                       'give it another name.')
  if text.startswith('-'):
    raise errors.Wrong(f'{what}={text} looks like an option, not like a path. '
                       f'If a file or folder has this name, write ./{text}.')
  if re.match(r'[A-Za-z][A-Za-z0-9+.-]+:/', text):
    raise errors.Wrong(
        f'{what}={text} is an address, not a path on this machine. Copy its '
        'content to a local folder, or mount it as one, and name that folder.')
  found = os.path.expanduser(text)
  if found.startswith('~'):
    name = found.split('/')[0]
    raise errors.Wrong(f'{what}={text}: there is no home folder {name}. If a '
                       f'folder has this name, write ./{text}.')
  return found.rstrip('/') or '/'


def check_saving(path: str, what: str) -> None:
  """Raises `Wrong` if the name of a folder prevents saving weights in it.

  Orbax looks up what it wrote by a glob pattern, in which these characters are
  wildcards, and takes gs: for a bucket.
  """
  _refuse(path, what, r'[*?\[\\]|(?<=/)gs:(?=/)')


def check_reading(path: str, what: str) -> None:
  """Raises `Wrong` if the name of a folder prevents reading weights from it:
  TensorStore takes a backslash for a slash."""
  _refuse(path, what, r'\\')


def _refuse(path: str, what: str, pattern: str) -> None:
  full = os.path.abspath(path)
  if found := re.search(pattern, full + '/'):
    raise errors.Wrong(f'{what}={path}: weights cannot be kept in {full}, '
                       f'because {found[0]} is in its name. Rename the folder, '
                       'or name another.')


def is_text(name: str) -> bool:
  """Whether a name from the system can be encoded for a file or terminal."""
  try:
    name.encode()
  except UnicodeEncodeError:
    return False
  return True
