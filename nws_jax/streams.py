"""Makes stdout and stderr safe: closed, full, unread, or of any encoding."""

import contextlib
import os
import sys

from nws_jax import errors, say


def occupy() -> None:
  """Opens /dev/null for each standard stream that is closed.

  Otherwise the next file that is opened would get the stream's number, and
  what is printed would be written into that file.
  """
  while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
    pass
  os.close(fd)


def prepare() -> bool:
  """Lets both streams take any text; returns whether stdout was open."""
  is_open = sys.stdout is not None
  for name in ('stdout', 'stderr'):
    if getattr(sys, name) is None:
      setattr(sys, name, open(os.devnull, 'w', encoding='utf-8'))
    if hasattr(getattr(sys, name), 'reconfigure'):  # not in a notebook
      getattr(sys, name).reconfigure(errors='backslashreplace')
  return is_open


def finish(was_open: bool) -> None:
  """Flushes stdout.

  Args:
    was_open: what `prepare` returned.

  Raises:
    BrokenPipeError: the reader has closed its end.
    errors.Damaged: the output could not be written.
  """
  try:
    sys.stdout.flush()
  except OSError as e:
    if isinstance(e, BrokenPipeError):
      raise
    raise errors.Damaged(f'the output could not be written: {e.strerror}. '
                         f'{say.advise(e)}, or send it elsewhere.') from e
  if not was_open:
    raise errors.Damaged('stdout is closed, and the output is lost. Redirect '
                         'it to a file or to /dev/null.')


def drop() -> None:
  """Discards output that cannot be written, so that Python, which flushes once
  more when it exits, does not fail there."""
  for stream in (sys.stdout, sys.stderr):
    try:
      stream.flush()
    except OSError:
      null = os.open(os.devnull, os.O_WRONLY)
      os.dup2(null, stream.fileno())
      os.close(null)
      with contextlib.suppress(OSError):
        stream.flush()
