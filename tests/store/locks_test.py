import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading

import pytest

from nws_jax import errors
from nws_jax.store import locks, tables

WITHOUT = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK)
# Takes the lock 50 times, and each time adds 1 to a number in a file.
COUNT = '''
import sys
from nws_jax.store import locks
%s
for _ in range(50):
  with locks.hold(sys.argv[1], wait=True):
    with open(sys.argv[2]) as f:
      number = int(f.read())
    with open(sys.argv[2], 'w') as f:
      f.write(str(number + 1))
'''
NO_FLOCK = '''
import errno, fcntl, os
plain, make = fcntl.flock, os.open
paths = {}
def note(path, *rest):
  fd = make(path, *rest)
  paths[fd] = str(path)
  return fd
def flock(file, kind):
  if 'nws_jax_' not in paths[file.fileno()]:
    raise OSError(errno.ENOSYS, 'Function not implemented')
  plain(file, kind)
fcntl.flock, os.open = flock, note
'''


@pytest.fixture(params=WITHOUT, ids=errno.errorcode.get)
def without(request, tmp_path, monkeypatch):
  """A file system without locks, but for the folder of temporary files."""
  (tmp_path / 'local').mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'local'))
  plain = fcntl.flock
  def flock(file, kind):
    if not any(os.path.samestat(os.fstat(file.fileno()), path.stat())
               for path in (tmp_path / 'local').iterdir()):
      raise OSError(request.param, os.strerror(request.param))
    plain(file, kind)
  monkeypatch.setattr(fcntl, 'flock', flock)


def take(path):
  with locks.hold(path):
    pass


def test_nothing_is_left(tmp_path):
  path = tmp_path / 'a' / 'b' / 'lock'
  with locks.hold(path):
    assert path.read_text().startswith(f'process {os.getpid()} on ')
  assert not os.listdir(tmp_path)
  with pytest.raises(KeyError), locks.hold(path):
    (path.parent / 'work').write_text('')
    raise KeyError
  assert os.listdir(path.parent) == ['work']


def test_one_at_a_time_without_flock_too(without, tmp_path, capsys):
  path = tmp_path / 'zoo' / 'lock'
  with locks.hold(path):
    assert f'{path.parent} is on a file system without' in (
        capsys.readouterr().err)
    with pytest.raises(errors.Wrong, match=f'{path.parent} is in use by '
                       f'process {os.getpid()} on .*another folder'):
      take(path)
    assert path.exists()
  assert not path.parent.exists() and not os.listdir(tmp_path / 'local')


def test_without_flock_a_name_of_this_machine_is_of_a_killed_one(
    without, tmp_path):
  (tmp_path / 'lock').write_text(f'process 1 on {socket.gethostname()}\n')
  take(tmp_path / 'lock')


@pytest.mark.parametrize('holder', ('process 1 on another.host\n', ''))
def test_without_flock_a_name_of_another_machine_keeps_out(
    without, tmp_path, holder):
  path = tmp_path / 'lock'
  path.write_text(holder)
  with pytest.raises(errors.Wrong, match=holder.strip() or
                     'another process') as e:
    take(path)
  assert str(e.value).endswith(f'delete {path}.')
  assert path.read_text() == holder
  path.unlink()  # as it says
  take(path)


def test_no_lock_at_all_is_told(tmp_path, monkeypatch):
  def flock(*_):
    raise OSError(errno.ENOSYS, 'Function not implemented')
  monkeypatch.setattr(fcntl, 'flock', flock)
  with pytest.raises(errors.Wrong, match='TMPDIR'):
    take(tmp_path / 'zoo' / 'lock')
  assert not (tmp_path / 'zoo').exists()


def test_who_waits_is_next(tmp_path, capsys):
  path, got = tmp_path / 'thing.lock', []
  def wait():
    with locks.hold(path, wait=True):
      got.append(True)
  with locks.hold(path):
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.2)
    assert not got
  thread.join(10)
  assert got
  assert f'waiting for process {os.getpid()}' in capsys.readouterr().err


@pytest.mark.parametrize('setup', ('', NO_FLOCK), ids=('flock', 'without'))
def test_many_that_wait_are_never_two_at_once(tmp_path, setup):
  """The file is removed and made anew all the time."""
  (tmp_path / 'number').write_text('0')
  runs = [subprocess.Popen(
      [sys.executable, '-c', COUNT % setup, tmp_path / 'lock',
       tmp_path / 'number'], stderr=subprocess.PIPE,
      env={**os.environ, 'TMPDIR': str(tmp_path)}) for _ in range(4)]
  for run in runs:
    said = run.communicate()[1].decode()
    assert run.returncode == 0, said
  assert (tmp_path / 'number').read_text() == '200'
  assert os.listdir(tmp_path) == ['number']


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path):
  (tmp_path / 'mine').write_text('precious')
  (tmp_path / 'lock').symlink_to(tmp_path / 'mine')
  with pytest.raises(errors.Wrong, match='cannot be used'):
    take(tmp_path / 'lock')
  assert (tmp_path / 'mine').read_text() == 'precious'


def test_where_nothing_can_be_made(tmp_path):
  for folder in ('/proc', '/proc/none', tmp_path / 'file' / 'zoo'):
    (tmp_path / 'file').write_text('')
    with pytest.raises(errors.Wrong, match=f'{folder} cannot be used: '):
      take(os.path.join(folder, 'lock'))


@pytest.mark.parametrize('code, fix', [
    (errno.EINVAL, None), (errno.ENOSYS, None), (errno.EOPNOTSUPP, None),
    (errno.ENOSPC, 'Make room'), (errno.EDQUOT, 'Make room'),
    (errno.EIO, 'Check the disk')])
def test_a_folder_that_cannot_be_synchronised(tmp_path, monkeypatch, code, fix):
  """Goes on where the file system has no such thing; else says what it was."""
  plain = os.fsync
  def fsync(fd):
    if stat.S_ISDIR(os.fstat(fd).st_mode):
      raise OSError(code, os.strerror(code))
    plain(fd)
  monkeypatch.setattr(os, 'fsync', fsync)
  if fix is None:
    tables.write_text(tmp_path / 'a', 'text')
    assert (tmp_path / 'a').read_text() == 'text'
    return
  with pytest.raises(errors.Damaged, match=f'{os.strerror(code)}. {fix}') as e:
    tables.write_text(tmp_path / 'a', 'text')
  assert ('Make room' in str(e.value)) == (code != errno.EIO)
