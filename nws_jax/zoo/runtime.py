"""What has to be set before jax starts: CPU devices, flags, the cache."""

import os


def start(devices=None):
  """Sets jax up: (platform, how many devices share the networks).

  On CPU every core becomes a device of its own: two devices use two cores
  better than one device uses two threads, and it is the same program as on
  several accelerators.

  Args:
    devices: CPU devices to emulate, as a plan has it; one a core if None.
  """
  if devices is None:
    devices = len(os.sched_getaffinity(0)) if hasattr(
        os, 'sched_getaffinity') else os.cpu_count() or 1
  flags = os.environ.get('XLA_FLAGS', '')
  if 'xla_cpu_multi_thread_eigen' not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} --xla_cpu_multi_thread_eigen=false'
  import jax
  if jax.config.jax_num_cpu_devices != devices:
    jax.config.update('jax_num_cpu_devices', devices)
  jax.config.update('jax_default_matmul_precision', 'highest')
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update('jax_compilation_cache_dir', cache_folder())
  return jax.default_backend(), len(jax.devices())


def find_memory():
  """Bytes that networks may take: of the accelerators, or half of what is free
  of the machine's."""
  import jax
  limits = [(d.memory_stats() or {}).get('bytes_limit')
            for d in jax.devices()]
  if all(limits):
    return 0.9 * sum(limits)
  return 0.5 * os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def cache_folder():
  """Where compiled programs are kept between runs."""
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return os.path.join(home, 'nws_jax', 'programs')
