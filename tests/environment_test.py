"""The same request gives the same numbers whatever the environment says."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from nws_jax import environment

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HERE = {'versions': {'jax': '1', 'flax': '1', 'python': '3'}, 'revision': 'a',
        'processor': 'x86', 'devices': 'cpu', 'variables': {}}
HOSTILE = {
    'JAX_ENABLE_X64': '1', 'JAX_DEFAULT_PRNG_IMPL': 'rbg',
    'JAX_THREEFRY_PARTITIONABLE': '0', 'JAX_RANDOM_SEED_OFFSET': '7',
    'JAX_DISABLE_JIT': '1', 'JAX_DEBUG_NANS': '1',
    'JAX_NUMPY_DTYPE_PROMOTION': 'strict', 'JAX_DEFAULT_DTYPE_BITS': '64',
    'JAX_DEFAULT_MATMUL_PRECISION': 'bfloat16', 'JAX_NUM_CPU_DEVICES': '5',
    'JAX_TRANSFER_GUARD': 'disallow'}


def call(*args, cores=None, **variables):
  """Runs a command, on `cores` alone if they are given."""
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, cores or before)  # a child inherits them
  try:
    return subprocess.run(
        [sys.executable, '-m', *args], cwd=ROOT, capture_output=True,
        text=True, env=os.environ | variables)
  finally:
    os.sched_setaffinity(0, before)


def train(zoo, **environment_):
  return call('nws_jax.zoo', '--config=configs/zoo.py:smoke',
              '--config.networks=2', '--config.epochs=1',
              '--config.batch_size=32', f'--workdir={zoo}', **environment_)


def read(path):
  return json.loads(path.read_text())


@pytest.fixture(scope='module')
def quiet(tmp_path_factory):
  zoo = tmp_path_factory.mktemp('quiet') / 'zoo'
  done = train(zoo)
  assert done.returncode == 0, done.stderr
  return zoo


def begin(zoo, copy):
  """Begins a zoo by the plan of another."""
  copy.mkdir()
  for name in ('config.json', 'plan.json'):
    shutil.copy(zoo / name, copy)


@pytest.mark.parametrize('pool', [4, 8])
def test_neither_variables_nor_cores_change_a_bit(quiet, tmp_path, pool):
  begin(quiet, tmp_path / 'zoo')
  one = {min(os.sched_getaffinity(0))}
  done = train(tmp_path / 'zoo', cores=one, NPROC=str(pool),
               PJRT_NPROC=str(pool), **HOSTILE)
  assert done.returncode == 0, done.stderr
  for name, value in HOSTILE.items():
    assert f'{name}={value}' in done.stderr
  assert (read(tmp_path / 'zoo' / 'checksums.json')['zoo']
          == read(quiet / 'checksums.json')['zoo'])


def test_what_chooses_devices_caches_and_logs_is_kept(monkeypatch):
  for name in [n for n in os.environ if n.startswith('JAX_')]:
    monkeypatch.delenv(name)
  kept = {'JAX_PLATFORMS': 'cpu', 'JAX_COMPILATION_CACHE_DIR': '/x',
          'JAX_LOG_COMPILES': '1', 'JAX_PROCESS_ID': '0'}
  for name, value in (kept | HOSTILE).items():
    monkeypatch.setenv(name, value)
  message = environment.pin()
  left = {n: v for n, v in os.environ.items() if n.startswith('JAX_')}
  assert left == kept
  assert all(name in message for name in HOSTILE)
  assert environment.pin() == ''


@pytest.mark.parametrize('platform', ['cuda', 'none'])
@pytest.mark.parametrize('args', [
    ('nws_jax.zoo', '--config=configs/zoo.py:smoke', '--plan'),
    ('nws_jax.verify',)], ids=lambda args: args[0])
def test_a_device_that_is_not_here_is_named(quiet, platform, args):
  flag = '--workdir' if args[0] == 'nws_jax.zoo' else '--zoo'
  place = quiet.parent / 'new' if args[0] == 'nws_jax.zoo' else quiet
  done = call(*args, f'{flag}={place}', JAX_PLATFORMS=platform)
  assert done.returncode == 2
  assert f'JAX_PLATFORMS={platform}' in done.stderr and 'cpu' in done.stderr
  assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('changed, name, decides', [
    ({'versions': {'jax': '2'}}, 'jax', True),
    ({'versions': {'flax': '2'}}, 'flax', False),
    ({'revision': 'b'}, 'revision', False),
    ({'processor': 'arm'}, 'processor', True),
    ({'variables': {'XLA_FLAGS': '--a'}}, 'XLA_FLAGS', True)],
    ids=lambda x: str(x))
def test_differences_say_whether_they_decide_bits(changed, name, decides):
  there = {**HERE, **changed, 'versions': {
      **HERE['versions'], **changed.get('versions', {})}}
  assert environment.compare(HERE, HERE) == []
  for a, b in ((there, HERE), (HERE, there)):
    (found,) = environment.compare(a, b)
    assert (found.name, found.decides) == (name, decides)
    assert name in str(found) and name in found.fix


def test_an_older_record_is_compared_by_what_it_has():
  assert environment.compare({'versions': {'jax': '1'}}, HERE) == []
  (found,) = environment.compare({'versions': {'jax': '0'}}, HERE)
  assert found.fix == "pip install 'jax==0'"
  assert environment.compare({}, HERE) == []


def test_flags_that_change_nothing_are_not_recorded(monkeypatch):
  environment.describe()  # jax reads the flags when it starts, and only then
  monkeypatch.setenv('XLA_FLAGS', '--xla_b=1 --xla_dump_to=/x --xla_a=2')
  assert environment.describe()['variables'] == {
      'XLA_FLAGS': '--xla_a=2 --xla_b=1'}
  monkeypatch.setenv(
      'XLA_FLAGS', '--xla_cpu_multi_thread_eigen=false')
  assert environment.describe()['variables'] == {}
