"""Pins or records everything outside the program that can change a bit.

JAX reads its settings from environment variables named JAX_*. Those that could
change a number are removed before JAX is imported (`pin`), so that a recipe and
its seed give one zoo. Versions, the processor and the compiler's flags cannot
be pinned: they are recorded with every zoo (`describe`), and compared when a
run is resumed or repeated (`compare`).
"""

import dataclasses
import functools
import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Any

from nws_jax import say

_PACKAGES = ('nws_jax', 'jax', 'jaxlib', 'flax', 'numpy', 'optax',
             'orbax-checkpoint', 'scipy', 'tensorstore')
_DECIDING = ('nws_jax', 'jax', 'jaxlib')  # packages that can change the bits
# Settings of JAX that choose devices, caches, logs and processes, and change no
# number; all others are removed.
_HARMLESS = (
    'PLATFORMS', 'PLATFORM_NAME', 'CUDA_VISIBLE_DEVICES',
    'ROCM_VISIBLE_DEVICES', 'ENABLE_COMPILATION_CACHE', 'COMPILATION_CACHE_',
    'PERSISTENT_CACHE_', 'RAISE_PERSISTENT_CACHE_ERRORS', 'LOG_', 'LOGGING_',
    'DEBUG_LOG_MODULES', 'TRACEBACK_', 'EXPLAIN_CACHE_MISSES', 'DUMP_',
    'COORDINATOR_', 'NUM_PROCESSES', 'PROCESS_ID', 'LOCAL_DEVICE_IDS',
    'CHECK_PROXY_ENVS')
_RECORDED = ('XLA_FLAGS', 'LIBTPU_INIT_ARGS', 'NVIDIA_TF32_OVERRIDE')
_MACHINE = ('processor', 'devices')
# Flags of XLA that write files, or that `zoo.runtime` sets.
_OWN_FLAGS = ('--xla_dump', '--xla_force_host_platform_device_count',
              '--xla_cpu_multi_thread_eigen=false')
_FEATURES = ('avx', 'avx2', 'fma', 'avx512f', 'avx512vl', 'avx512_bf16',
             'amx_tile', 'asimd', 'sve', 'sve2')  # of a processor


def pin() -> str:
  """Removes the settings of JAX that could change a number.

  Must be called before JAX is imported.

  Returns:
    a message that names what was removed; empty if nothing was.
  """
  names = sorted(n for n in os.environ if n.startswith('JAX_') and not
                 n.removeprefix('JAX_').startswith(_HARMLESS))
  removed = ', '.join(f'{name}={os.environ.pop(name)}' for name in names)
  return removed and (
      f'{removed} could change the results and is ignored, so that the same '
      'request gives the same results everywhere.')


def describe() -> dict[str, Any]:
  """A record of what can change the bits and cannot be pinned.

  Initialises JAX. Keys: versions {package: version}, processor, devices (their
  kind), variables {name: value}, revision (of this program's source).
  """
  import jax
  variables = {name: _list_flags(os.environ.get(name, ''))
               for name in _RECORDED}
  return {
      'versions': find_versions(), 'revision': find_revision(),
      'processor': find_processor(), 'devices': jax.devices()[0].device_kind,
      'variables': {name: value for name, value in variables.items() if value}}


def find_versions() -> dict[str, str | None]:
  """Versions of Python and the packages; None if one is not installed."""
  return {'python': platform.python_version(),
          **{name: _find_version(name) for name in _PACKAGES}}


@functools.cache
def _find_version(package: str) -> str | None:
  try:
    return metadata.version(package)
  except metadata.PackageNotFoundError:  # run from its source folder
    return None


@functools.cache
def find_revision() -> str | None:
  """The Git revision of the running source; None outside a repository."""
  root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
  if not shutil.which('git') or not os.path.exists(os.path.join(root, '.git')):
    return None
  done = subprocess.run(['git', '-C', root, 'describe', '--always', '--dirty'],
                        capture_output=True, text=True)
  return done.stdout.strip() or None


@functools.cache
def find_processor() -> str:
  """Architecture, family and vector instructions of the processor.

  XLA chooses instructions by them, and the last bits of results depend on that.
  """
  try:
    with open('/proc/cpuinfo', encoding='utf-8', errors='replace') as f:
      lines = f.read().split('\n\n')[0].splitlines()
  except OSError:
    return f'{platform.machine()} {platform.processor()}'.strip()
  pairs = (line.split(':', 1) for line in lines if ':' in line)
  fields = {key.strip(): value.strip() for key, value in pairs}
  there = (fields.get('flags') or fields.get('Features') or '').split()
  family = [fields[key] for key in ('vendor_id', 'cpu family', 'model')
            if key in fields]
  return ' '.join([platform.machine(), *family,
                   *(f for f in _FEATURES if f in there)])


def _list_flags(text: str) -> str:
  """The flags of a variable, sorted, without those that change no result."""
  try:
    flags = shlex.split(text)
  except ValueError:
    flags = text.split()
  return ' '.join(sorted(f for f in flags if not f.startswith(_OWN_FLAGS)))


@dataclasses.dataclass(frozen=True)
class Difference:
  """One entry in which a recorded environment differs from this one."""
  name: str
  there: Any
  here: Any

  @property
  def decides(self) -> bool:
    """Whether it can change the bits of a network."""
    return self.name in _DECIDING + _RECORDED + _MACHINE

  @property
  def fix(self) -> str:
    """How to get the recorded value here."""
    if self.name in _RECORDED:
      return (f'set {self.name}={shlex.quote(self.there)}' if self.there
              else f'unset {self.name}')
    if self.name in _MACHINE:
      return f'resume on a machine where {self.name} is {self.there}'
    return f"pip install '{self.name}=={self.there}'"

  def __str__(self) -> str:
    return (f'{self.name} was {self.there or "not set"}, and is '
            f'{self.here or "not set"} here')


def compare(there: dict[str, Any], here: dict[str, Any]) -> list[Difference]:
  """The entries in which a recorded environment differs from this one.

  Args:
    there: the recorded result of `describe`. Entries that a record of an older
      version lacks are not compared.
    here: the result of `describe`.
  """
  old, new = _flatten(there), _flatten(here)
  return [Difference(name, value, new[name]) for name, value in old.items()
          if name in new and value != new[name]]


def _flatten(record: dict[str, Any]) -> dict[str, Any]:
  parts = {name: record[name] for name in ('revision',) + _MACHINE
           if name in record}
  if 'variables' in record:  # unset ones are not recorded
    parts |= {name: '' for name in _RECORDED} | record['variables']
  return record.get('versions', {}) | parts


def explain() -> str | None:
  """A message about why JAX finds no device; None if it finds one.

  Called after any error: which exception JAX raises depends on the missing
  device and on the function that asked first, and JAX hides its own frames.
  """
  if 'jax' not in sys.modules:
    return None
  try:
    sys.modules['jax'].devices()
    return None
  except Exception as e:
    reason = str(e).partition('. (set')[0] or 'the device is not available'
  wanted = os.environ.get('JAX_PLATFORMS') or os.environ.get(
      'JAX_PLATFORM_NAME', '')
  return (f'JAX_PLATFORMS={wanted} is not possible: {say.first(reason)}. Unset '
          'it, set JAX_PLATFORMS=cpu, or install the JAX that supports the '
          'device (BUILD.md).')
