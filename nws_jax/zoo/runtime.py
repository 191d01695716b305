"""What has to be set before jax starts: CPU devices, flags, the cache."""

import contextlib
import os
import re
import shutil
import warnings
from typing import Any

# What jax says of a cached program that cannot be read.
_UNREADABLE = 'Error reading persistent compilation cache entry'


def start(devices: int | None = None) -> tuple[str, int]:
  """Sets jax up: (platform, how many devices share the networks).

  On CPU every core becomes a device of its own: two devices use two cores
  better than one device uses two threads, and it is the same program as on
  several accelerators. XLA divides loops among the threads of its pool, which
  changes the last bits, so the pool has a thread a device however many cores
  there are.

  Args:
    devices: CPU devices to emulate, as a plan has it; one a core if None.
  """
  if devices is None:
    devices = len(os.sched_getaffinity(0)) if hasattr(
        os, 'sched_getaffinity') else os.cpu_count() or 1
  flags = os.environ.get('XLA_FLAGS', '')
  if 'xla_cpu_multi_thread_eigen' not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} --xla_cpu_multi_thread_eigen=false'
  os.environ['PJRT_NPROC'] = str(devices)
  _replace_unreadable()
  import jax
  if jax.config.jax_num_cpu_devices != devices:
    jax.config.update('jax_num_cpu_devices', devices)
  jax.config.update('jax_default_matmul_precision', 'highest')
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update('jax_compilation_cache_dir', cache_folder())
  return jax.default_backend(), len(jax.devices())


def find_memory() -> float:
  """Bytes that networks may take: of the accelerators, or half of what the
  system could give without swapping."""
  import jax
  import psutil
  limits = [(d.memory_stats() or {}).get('bytes_limit')
            for d in jax.devices()]
  if all(limits):
    return 0.9 * sum(limits)
  return 0.5 * psutil.virtual_memory().available


def find_disk(workdir: str, disk_gb: float) -> float:
  """Bytes that a zoo may take more: what is free, or the budget's rest."""
  path = os.path.abspath(workdir)
  while not os.path.isdir(path):
    path = os.path.dirname(path)
  free = shutil.disk_usage(path).free
  if not disk_gb:
    return free
  return min(free, disk_gb * 1e9 - size_folder(workdir))


def size_folder(folder: str) -> int:
  """Bytes of all files under a folder, which may not be there."""
  return sum(os.lstat(os.path.join(where, name)).st_size
             for where, _, names in os.walk(folder) for name in names)


def cache_folder() -> str:
  """Where compiled programs are kept between runs."""
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return os.path.join(home, 'nws_jax', 'programs')


def _replace_unreadable() -> None:
  """Has jax replace an entry of its cache that it cannot read.

  Jax warns of it and compiles again, but writes no entry that is there; so the
  entry is removed when jax warns.
  """
  show = warnings.showwarning
  if getattr(show, 'replaces', False):
    return

  def remove(message: Warning | str, *args: Any, **options: Any) -> None:
    found = re.match(f"{_UNREADABLE} for '(\\w+)'", str(message))
    if found:
      forget_programs(found[1])
    else:
      show(message, *args, **options)
  remove.replaces = True
  warnings.showwarning = remove
  warnings.filterwarnings('always', f'{_UNREADABLE}.*')


def forget_programs(name: str) -> None:
  """Removes the cached programs of a module, as `jit_epoch`."""
  import jax
  folder = jax.config.jax_compilation_cache_dir
  for entry in os.listdir(folder):
    if entry.startswith(f'{name}-'):
      with contextlib.suppress(FileNotFoundError):  # another process was first
        os.unlink(os.path.join(folder, entry))
