"""Bytes, seconds and errors in words for people."""

import errno
import math
import re

_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), 'Make room on the disk'),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS),
                    'Check its permissions'),
    **dict.fromkeys((errno.EEXIST, errno.ENOTEMPTY),
                    'See whether another process works there'),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
                    'Check its path'),
    errno.ENAMETOOLONG: 'Name a shorter path'}
FULL = re.compile(r'(No space left|Disk quota exceeded)[^][\n]*')


def size(num_bytes: float) -> str:
  if num_bytes >= 1e9:
    return f'{num_bytes / 1e9:,.2f} GB'
  return f'{num_bytes / 1e6:.1f} MB'


def time(seconds: float) -> str:
  if seconds < 90:
    return f'{math.ceil(seconds)} s'
  if seconds < 90 * 60:
    return f'{seconds / 60:.0f} min'
  if seconds < 72 * 3600:
    return f'{seconds / 3600:.1f} h'
  return f'{seconds / 86400:.1f} days'


def first(error: BaseException | str) -> str:
  """The first line of an exception's message; its type if that is empty.

  It has no full stop at its end, since callers put it into a sentence.
  """
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return lines[0][:300].rstrip('.')


def advise(error: BaseException) -> str:
  """What to do about an error in writing, without a full stop."""
  # The errors of some libraries have the reason only in their text.
  if FULL.search(str(error)):
    return _ADVICE[errno.ENOSPC]
  return _ADVICE.get(getattr(error, 'errno', None) or 0, 'Check the disk')
