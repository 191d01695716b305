"""What a file system can do, and how TensorStore writes where it can less.

Some (a Drive mounted on Colab) can neither lock files nor make a folder durable
by `fsync`. They write at once, or when they like: nothing can be done about it,
and a process that is killed loses nothing.
"""

import errno
import fcntl
import os
import tempfile
from typing import NamedTuple

NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK)
_NO_SYNC = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Disk(NamedTuple):
  """What a file system can do."""
  syncs: bool  # makes folders durable
  locks: bool


_known = {}  # device -> its `Disk`


def sync(fd):
  """Makes an open file or folder durable; whether its file system can."""
  try:
    os.fsync(fd)
  except OSError as e:
    if e.errno not in _NO_SYNC:
      raise
    return False
  return True


def sync_folder(path):
  """Makes what was renamed in a folder durable; whether that can be done."""
  folder = os.open(path, os.O_RDONLY)
  try:
    return sync(folder)
  finally:
    os.close(folder)


def adapt(path):
  """Has Orbax write under a folder as its file system can.

  TensorStore would give up where it can neither lock files nor make a folder
  durable, and Orbax has no option for that. Nothing is at risk without locks:
  no two processes write under one path (`locks`).
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


def _can_lock(folder):
  with tempfile.TemporaryFile(dir=folder) as f:
    try:
      fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
      fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
      if e.errno not in NO_LOCKS:
        raise
      return False
  return True
