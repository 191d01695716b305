"""A path that a user gave, as the system takes it: in this one place."""

import os
import re
import unicodedata

from nws_jax import errors


def expand(path, what='the path'):
  """The file or folder that a path means, which need not be there.

  Args:
    path: str, bytes or `os.PathLike`; `~` and `~name` are home folders.
    what: how messages name it, as `--workdir`.

  Returns:
    str, without slashes at its end.

  Raises:
    errors.Wrong: it cannot be of this machine; says what can.
  """
  try:
    text = os.fsdecode(path)
  except TypeError as e:
    raise errors.Wrong(f'{what}={path!r} is no path; give one, as '
                       "'runs/zoo'.") from e
  if not text.strip():
    raise errors.Wrong(f'{what} is empty; name a file or folder, as runs/zoo.')
  if not is_text(text) or any(unicodedata.category(c) == 'Cc' for c in text):
    raise errors.Wrong(f'{what}={text!r} holds characters that are not text; '
                       'give it another name.')
  if text.startswith('-'):
    raise errors.Wrong(f'{what}={text} looks like an option, not like a path. '
                       f'For a file or folder that is called so, write '
                       f'./{text}.')
  if re.match(r'[A-Za-z][A-Za-z0-9+.-]+:/', text):
    raise errors.Wrong(
        f'{what}={text} is an address, not a path of this machine. Copy what '
        'it holds to a local folder, or mount it as one, and name that.')
  found = os.path.expanduser(text)
  if found.startswith('~'):
    name = found.split('/')[0]
    raise errors.Wrong(f'{what}={text}: there is no home folder {name}. For a '
                       f'folder that is called so, write ./{text}.')
  return found.rstrip('/') or '/'


def check_saving(path, what):
  """Raises `Wrong` if weights cannot be saved under a folder for its name.

  Orbax finds again what it wrote by a pattern, in which these characters stand
  for others, and takes gs: for a remote place.
  """
  _refuse(path, what, r'[*?\[\\]|(?<=/)gs:(?=/)')


def check_reading(path, what):
  """Raises `Wrong` if weights cannot be read under a folder for its name:
  TensorStore takes a backslash for a slash."""
  _refuse(path, what, r'\\')


def _refuse(path, what, pattern):
  full = os.path.abspath(path)
  if found := re.search(pattern, full + '/'):
    raise errors.Wrong(f'{what}={path}: weights cannot be kept in {full}, for '
                       f'{found[0]} is in its name. Rename the folder, or name '
                       'another.')


def is_text(name):
  """Whether a name from the system can be written, to a file or terminal."""
  try:
    name.encode()
  except UnicodeEncodeError:
    return False
  return True
