"""Bytes, seconds and errors in words for people, in this one place."""

import errno
import math
import re

FULL = re.compile(r'(No space left|Disk quota exceeded)[^][\n]*')


def size(num_bytes):
  if num_bytes >= 1e9:
    return f'{num_bytes / 1e9:,.2f} GB'
  return f'{num_bytes / 1e6:.1f} MB'


def time(seconds):
  if seconds < 90:
    return f'{math.ceil(seconds)} s'
  if seconds < 90 * 60:
    return f'{seconds / 60:.0f} min'
  if seconds < 72 * 3600:
    return f'{seconds / 3600:.1f} h'
  return f'{seconds / 86400:.1f} days'


def first(error):
  """The first line of what an exception says; its kind, if it says nothing.

  Without a full stop: it goes on in a sentence.
  """
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return lines[0][:300].rstrip('.')


def advise(error):
  """What helps against an error in writing, without a full stop."""
  code = getattr(error, 'errno', None)  # libraries tell it in their text only
  if code in (errno.ENOSPC, errno.EDQUOT) or FULL.search(str(error)):
    return 'Make room on the disk'
  if code in (errno.EACCES, errno.EPERM, errno.EROFS):
    return 'Check its permissions'
  return 'Check the disk'
