"""Snapshots on a file system that lacks locks, or `fsync` of folders."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

# Functions of the C library that fail under a folder, as on such a file system.
LACKING = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int lacks(int fd, const char *what) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  const char *under = getenv("UNDER");
  if (n < 0 || !strstr(getenv("LACKS"), what)) return 0;
  path[n] = 0;
  if (strncmp(path, under, strlen(under))) return 0;
  errno = atoi(getenv("ERRNO"));
  return 1;
}

int flock(int fd, int how) {
  return lacks(fd, "locks") ? -1
      : ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, how);
}

int fsync(int fd) {
  struct stat s;
  return !fstat(fd, &s) && S_ISDIR(s.st_mode) && lacks(fd, "syncs") ? -1
      : ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

static int control(const char *name, int fd, int how, void *p) {
  int locks = how == F_OFD_SETLK || how == F_OFD_SETLKW || how == F_SETLK
      || how == F_SETLKW;
  return locks && lacks(fd, "locks") ? -1
      : ((int (*)(int, int, ...))dlsym(RTLD_NEXT, name))(fd, how, p);
}

#define CONTROL(name) int name(int fd, int how, ...) { \
  va_list rest; va_start(rest, how); void *p = va_arg(rest, void *); \
  va_end(rest); return control(#name, fd, how, p); }
CONTROL(fcntl)
CONTROL(fcntl64)
'''
SAVE = '''
import sys
import numpy as np
from nws_jax.store import locks, snapshots, tables
tree = {'a': np.arange(6.0).reshape(2, 3)}
with locks.hold(f'{sys.argv[1]}/lock'):
  writer = snapshots.Writer()
  writer.save(f'{sys.argv[1]}/0', tree)
  writer.wait()
  tables.write_text(f'{sys.argv[1]}/record', 'done')
print((snapshots.restore(f'{sys.argv[1]}/0', tree)['a'] == tree['a']).all())
'''


@pytest.fixture(scope='module')
def library(tmp_path_factory):
  if sys.platform != 'linux' or not shutil.which('gcc'):
    pytest.skip('such a file system can be made on Linux alone, with gcc')
  path = tmp_path_factory.mktemp('library')
  (path / 'lacking.c').write_text(LACKING)
  subprocess.run(['gcc', '-shared', '-fPIC', '-o', path / 'lacking.so',
                  path / 'lacking.c', '-ldl'], check=True)
  return path / 'lacking.so'


@pytest.mark.parametrize('lacks, code', [
    ('locks', errno.ENOSYS), ('syncs', errno.EINVAL),
    ('locks and syncs', errno.EOPNOTSUPP)])
def test_snapshots_are_saved_all_the_same(library, tmp_path, lacks, code):
  zoo = tmp_path / 'zoo'
  done = subprocess.run(
      [sys.executable, '-c', SAVE, zoo], capture_output=True, text=True,
      env={**os.environ, 'LD_PRELOAD': str(library), 'UNDER': str(zoo),
           'LACKS': lacks, 'ERRNO': str(code)})
  assert done.stdout == 'True\n', done.stderr
  assert ('without locks' in done.stderr) == ('locks' in lacks)
  assert sorted(os.listdir(zoo)) == ['0', 'record']
