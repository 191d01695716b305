"""One process at a time, by lock files that a killed process does not hold.

Where the file system has no `flock` (a Drive mounted on Colab), a lock in this
machine's folder for temporary files keeps out the processes of this machine,
and the name in the lock file those of others.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import sys
import tempfile

from nws_jax import errors, say
from nws_jax.store import disks


@contextlib.contextmanager
def hold(path, wait=False):
  """Holds a lock file for this process alone, and for one of its threads.

  The system frees it however the process ends. At the end the file goes, and
  so do folders that were made for it and are still empty.

  Args:
    path: of the lock file: `FOLDER/lock`, or `THING.lock` beside a thing.
    wait: for another process to end; otherwise that is an error.

  Raises:
    errors.Wrong: another process holds it, or it cannot be made.
  """
  path = os.fspath(path)
  missing = _list_missing(os.path.dirname(path))
  try:
    with contextlib.ExitStack() as stack:
      try:
        _take(path, wait, stack)
      except OSError as e:
        raise errors.Wrong(f'{_name(path)} cannot be used: {e.strerror}. '
                           f'{say.advise(e)}, or name another folder.') from e
      yield
  finally:
    for folder in missing:
      with contextlib.suppress(OSError):  # it is used, or was not made
        os.rmdir(folder)


def _list_missing(folder):
  """A folder and those above it that are not there, the deepest first."""
  missing = []
  while folder and not os.path.lexists(folder):
    missing.append(folder)
    folder = os.path.dirname(folder)
  return missing


def _take(path, wait, stack):
  """Takes the lock; `stack` gives it back."""
  if _has_flock(path):
    file, place = _lock(path, path, wait), path
  else:
    digest = hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:16]
    place = os.path.join(tempfile.gettempdir(), f'nws_jax_{digest}.lock')
    if not _has_flock(place):
      raise OSError(errno.ENOLCK, 'neither its file system nor that of '
                    f'{tempfile.gettempdir()} has locks; TMPDIR names another '
                    'folder for them')
    file = _lock(place, path, wait)
  stack.enter_context(file)
  stack.callback(_remove, file, place)
  if place != path:
    file = stack.enter_context(_claim(path))
    stack.callback(_remove, file, path)
    print(f'{_name(path)} is on a file system without locks: processes on '
          'other machines are kept out by the name in its lock file alone',
          file=sys.stderr)
  with contextlib.suppress(OSError):  # a full disk has no room for a name
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n'.encode())


def _has_flock(path):
  """Whether the file system of a path can lock files, by trying it beside."""
  aside = f'{path}.{os.getpid()}.tmp'
  with _open(aside) as file:
    try:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as e:
      if e.errno not in disks.NO_LOCKS:
        raise
      return False
    finally:
      _remove(file, aside)
  return True


def _lock(path, what, wait):
  """The open file at `path`, locked; it stands for the lock `what`."""
  while True:
    with contextlib.ExitStack() as stack:
      file = stack.enter_context(_open(path))
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError as e:
        if not wait:
          raise errors.Wrong(f'{_name(what)} is in use by {_read(what)}. Wait '
                             'until it ends, stop it, or name another '
                             'folder.') from e
        print(f'waiting for {_read(what)}, which works on {_name(what)}',
              file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
      if _is_at(file, path):  # who held it before removes it
        stack.pop_all()
        return file


def _claim(path):
  """The open lock file, unless it is of a process of another machine.

  Those of this one are kept out already: what they left is theirs no more.
  """
  try:
    return _open(path, os.O_EXCL)
  except FileExistsError as e:
    holder = _read(path)
    if not holder.endswith(f' on {socket.gethostname()}'):
      raise errors.Wrong(
          f'{_name(path)} is in use by {holder}, or was when that was stopped: '
          'its file system has no locks. If nothing works on it any more, '
          f'delete {path}.') from e
  return _open(path)


def _open(path, flags=0, tries=100):
  """The file at a path, which is made, and its folder with it."""
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  try:
    # A link might lead to a file that would lose its content.
    return os.fdopen(os.open(
        path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | flags,
        0o666), 'r+b', buffering=0)
  except FileNotFoundError:  # another process removed the folder meanwhile
    if not tries:
      raise
    return _open(path, flags, tries - 1)


def _is_at(file, path):
  """Whether an open file is the one at a path."""
  with contextlib.suppress(FileNotFoundError):
    return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
  return False


def _remove(file, path):
  with contextlib.suppress(OSError):  # it is harmless
    if _is_at(file, path):
      os.unlink(path)


def _read(path):
  """Who holds a lock, as its file names them."""
  with contextlib.suppress(OSError), open(path, 'rb') as f:
    return f.read(200).decode(errors='replace').strip() or 'another process'
  return 'another process'


def _name(path):
  """What a lock file is for."""
  return path.removesuffix('lock').rstrip('./') or '.'
