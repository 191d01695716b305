"""Lock files: one process at a time works on a folder.

The operating system releases a lock when its process ends, even if the process
is killed. Some file systems do not support `flock` (a Drive mounted on Colab).
There, a second lock file, in this machine's folder for temporary files, keeps
out other processes of this machine. The name of the holder in the lock file
itself keeps out processes of other machines.
"""

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import socket
import sys
import tempfile
from collections.abc import Iterator

from nws_jax import errors, say
from nws_jax.store import disks


@contextlib.contextmanager
def hold(path: str | os.PathLike[str], wait: bool = False) -> Iterator[None]:
  """Holds a lock file, which one thread of one process can do at a time.

  The operating system releases the lock however the process ends. On exit the
  lock file is removed, together with the folders that were created for it and
  are still empty.

  Args:
    path: the lock file: `FOLDER/lock`, or `THING.lock` beside a thing.
    wait: whether to wait while another process holds the lock; if False, that
      is an error.

  Raises:
    errors.Wrong: another process holds the lock, or the lock file cannot be
      created.
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
      with contextlib.suppress(OSError):  # it is not empty, or does not exist
        os.rmdir(folder)


def _list_missing(folder: str) -> list[str]:
  """Those of a folder and its parents that do not exist, the deepest first."""
  missing = []
  while folder and not os.path.lexists(folder):
    missing.append(folder)
    folder = os.path.dirname(folder)
  return missing


def _take(path: str, wait: bool, stack: contextlib.ExitStack) -> None:
  """Acquires the lock; `stack` releases it."""
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
  with contextlib.suppress(OSError):  # a full disk: the name is missing then
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n'.encode())


def _has_flock(path: str) -> bool:
  """Whether the file system can lock files, found by locking one beside `path`.
  """
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


def _lock(path: str, what: str, wait: bool) -> io.FileIO:
  """Opens and locks the file at `path`.

  Args:
    path: the file that is locked.
    what: the lock file that the caller asked for, which messages name.
    wait: whether to wait while another process holds the lock.
  """
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
      # The previous holder removes the file when it ends: then this process has
      # locked a file that nobody else can open, and tries again.
      if _is_at(file, path):
        stack.pop_all()
        return file


def _claim(path: str) -> io.FileIO:
  """Opens the lock file, unless a process of another machine has created it.

  Processes of this machine are kept out by another lock already, so a lock file
  of one of them is a remnant.
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


def _open(path: str, flags: int = 0, tries: int = 100) -> io.FileIO:
  """Opens a file, which is created, with its folder, if it does not exist."""
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  try:
    # Links are not followed: the target of one would lose its content.
    return os.fdopen(os.open(
        path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | flags,
        0o666), 'r+b', buffering=0)
  except FileNotFoundError:  # another process removed the folder meanwhile
    if not tries:
      raise
    return _open(path, flags, tries - 1)


def _is_at(file: io.FileIO, path: str) -> bool:
  """Whether an open file is the one that `path` names now."""
  with contextlib.suppress(FileNotFoundError):
    return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
  return False


def _remove(file: io.FileIO, path: str) -> None:
  with contextlib.suppress(OSError):  # a remnant is harmless
    if _is_at(file, path):
      os.unlink(path)


def _read(path: str) -> str:
  """The holder of a lock, as named in the lock file."""
  with contextlib.suppress(OSError), open(path, 'rb') as f:
    return f.read(200).decode(errors='replace').strip() or 'another process'
  return 'another process'


def _name(path: str) -> str:
  """The folder or thing that a lock file is for."""
  return path.removesuffix('lock').rstrip('./') or '.'
