"""stdout and stderr of a command: closed, full, unread, or of another code."""

import contextlib
import os
import sys

from nws_jax import errors, say


def occupy():
  """Keeps files from getting the number of a stream that is closed.

  What is meant for the stream would be written into them.
  """
  while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
    pass
  os.close(fd)


def prepare():
  """Has both streams take any text; returns whether stdout was open."""
  is_open = sys.stdout is not None
  for name in ('stdout', 'stderr'):
    if getattr(sys, name) is None:
      setattr(sys, name, open(os.devnull, 'w', encoding='utf-8'))
    if hasattr(getattr(sys, name), 'reconfigure'):  # a notebook's has not
      getattr(sys, name).reconfigure(errors='backslashreplace')
  return is_open


def finish(was_open):
  """Writes what is still to be written.

  Raises:
    BrokenPipeError: nobody reads it.
    errors.Damaged: it cannot be written.
  """
  try:
    sys.stdout.flush()
  except OSError as e:
    if isinstance(e, BrokenPipeError):
      raise
    raise errors.Damaged(f'the output could not be written: {e.strerror}. '
                         f'{say.advise(e)}, or send it elsewhere.') from e
  if not was_open:
    raise errors.Damaged('stdout is closed: what was printed is lost. Send it '
                         'to a file, or to /dev/null.')


def drop():
  """Sends what cannot be written nowhere: at its end Python would try again."""
  for stream in (sys.stdout, sys.stderr):
    try:
      stream.flush()
    except OSError:
      null = os.open(os.devnull, os.O_WRONLY)
      os.dup2(null, stream.fileno())
      os.close(null)
      with contextlib.suppress(OSError):
        stream.flush()
