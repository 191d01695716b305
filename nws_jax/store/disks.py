"""What a file system supports, and how TensorStore writes where that is less.

Some file systems (a Drive mounted on Colab) support neither file locks nor
`fsync` of a folder. Nothing can make their writes durable at a given time, but
a process that is killed still loses nothing.
"""

import errno
import fcntl
import os
import tempfile
from typing import NamedTuple

NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK)
_NO_SYNC = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Disk(NamedTuple):
  """What a file system supports."""
  syncs: bool  # `fsync` of folders
  locks: bool  # file locks


_known: dict[int, Disk] = {}  # {device: what it supports}


def sync(fd: int) -> bool:
  """Makes an open file or folder durable.

  Returns:
    Whether the file system supports that.
  """
  try:
    os.fsync(fd)
  except OSError as e:
    if e.errno not in _NO_SYNC:
      raise
    return False
  return True


def sync_folder(path: str) -> bool:
  """Makes the names of the files in a folder durable.

  Returns:
    Whether the file system supports that.
  """
  folder = os.open(path, os.O_RDONLY)
  try:
    return sync(folder)
  finally:
    os.close(folder)


def adapt(path: str) -> None:
  """Has Orbax use only what the file system of a folder supports.

  By default TensorStore fails where it cannot lock files or make a folder
  durable, and Orbax has no option for that. It is safe without locks, because
  no two processes write under one path (see `locks`).
  """
  device = os.stat(path).st_dev
  if device not in _known:
    _known[device] = Disk(sync_folder(path), _can_lock(path))
  disk = _known[device]
  lacks = {**({} if disk.syncs else {'file_io_sync': False}),
           **({} if disk.locks else {'file_io_locking': {'mode': 'none'}})}
  if lacks:
    from orbax.checkpoint._src.serialization import tensorstore_utils
    for context in (tensorstore_utils._BASE_TS_CONTEXT,
                    tensorstore_utils._DEFAULT_OCDBT_TS_CONTEXT):
      context.update(lacks)


def _can_lock(folder: str) -> bool:
  """Whether files in a folder can be locked in both ways that there are."""
  with tempfile.TemporaryFile(dir=folder) as f:
    try:
      fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
      fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
      if e.errno not in NO_LOCKS:
        raise
      return False
  return True
