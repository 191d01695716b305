"""Sets what JAX must know before it starts: CPU devices, flags, the cache."""

import contextlib
import dataclasses
import os
import re
import shutil
import warnings
from collections.abc import Callable
from typing import Any

# How JAX warns of a cached program that it cannot read.
_UNREADABLE = 'Error reading persistent compilation cache entry'


def start(devices: int | None = None) -> tuple[str, int]:
  """Sets up JAX.

  On CPU every core becomes a device of its own: two devices use two cores
  better than one device uses two threads, and the program is that for several
  accelerators. XLA divides loops among the threads of its pool, which changes
  the last bits. The pool therefore has one thread per device, whatever the
  number of cores.

  Args:
    devices: CPU devices to emulate, as recorded in a plan; None: one per core.

  Returns:
    (platform, number of devices that share the networks).
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
  config: Any = jax.config  # JAX adds the attributes at run time
  if config.jax_num_cpu_devices != devices:
    config.update('jax_num_cpu_devices', devices)
  config.update('jax_default_matmul_precision', 'highest')
  if config.jax_compilation_cache_dir is None:
    config.update('jax_compilation_cache_dir', cache_folder())
  return jax.default_backend(), len(jax.devices())


def find_memory() -> float:
  """Bytes of memory that networks may take: most of the accelerators', or half
  of what the system has available without swapping."""
  import jax
  import psutil
  limits = [(d.memory_stats() or {}).get('bytes_limit') or 0
            for d in jax.devices()]
  if all(limits):
    return 0.9 * sum(limits)
  return 0.5 * psutil.virtual_memory().available


def find_disk(workdir: str, disk_gb: float) -> float:
  """Bytes by which a zoo may grow: what is free, or what is left of its budget.

  Args:
    workdir: the zoo's folder, which need not exist.
    disk_gb: its budget; 0: none.
  """
  path = os.path.abspath(workdir)
  while not os.path.isdir(path):
    path = os.path.dirname(path)
  free = shutil.disk_usage(path).free
  if not disk_gb:
    return free
  return min(free, disk_gb * 1e9 - size_folder(workdir))


def size_folder(folder: str) -> int:
  """Bytes of all files under a folder; 0 if it does not exist."""
  return sum(os.lstat(os.path.join(where, name)).st_size
             for where, _, names in os.walk(folder) for name in names)


def cache_folder() -> str:
  """Where compiled programs are kept between runs."""
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return os.path.join(home, 'nws_jax', 'programs')


def _replace_unreadable() -> None:
  """Makes JAX replace entries of its cache that it cannot read.

  JAX warns and compiles again, but does not overwrite an existing entry.
  """
  if not isinstance(warnings.showwarning, _Remover):
    warnings.showwarning = _Remover(warnings.showwarning)
    warnings.filterwarnings('always', f'{_UNREADABLE}.*')


@dataclasses.dataclass(frozen=True)
class _Remover:
  """Removes the entry that JAX warns of; shows all other warnings."""
  show: Callable[..., None]

  def __call__(self, message: Warning | str, *args: Any, **options: Any
               ) -> None:
    found = re.match(f"{_UNREADABLE} for '(\\w+)'", str(message))
    if found:
      forget_programs(found[1])
    else:
      self.show(message, *args, **options)


def forget_programs(name: str) -> None:
  """Removes the cached programs of a module, such as `jit_epoch`."""
  import jax
  config: Any = jax.config
  folder = config.jax_compilation_cache_dir
  for entry in os.listdir(folder):
    if entry.startswith(f'{name}-'):
      with contextlib.suppress(FileNotFoundError):  # another process was first
        os.unlink(os.path.join(folder, entry))
