"""The real command: killed, interrupted, out of disk, and of any size.

  python -m pytest -m soak -s tests/zoo/soak_test.py
"""

import contextlib
import itertools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import nws_jax
from nws_jax.store import folder, schema

pytestmark = pytest.mark.soak
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
CONFIG = f'''
import runpy


def get_config():
  c = runpy.run_path({ROOT + '/configs/zoo.py'!r})['get_config']()
  c.update(dict(
      epochs=4, networks_per_program='2', test_part=100, datasets=('digits',),
      batch_size=(128,), augmentation=(False,), activation=('relu', 'tanh'),
      filter_size=(1,), depth_fc=(1,), width_conv=(1,), width_fc=(8,)))
  return c
'''
# Slots are filled again, architectures merged, snapshots thinned.
THINNED = ('--config.early_stopping=5', '--config.keep=3',
           '--config.width_fc=8,16')
# Several units of two programs, all snapshots of which are kept.
SEVERAL = ('--config.batch_size=64,128', '--config.epochs=3')
GROWTH = ('--config.networks=5', '--config.networks=8')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  path = tmp_path_factory.mktemp('config') / 'tiny.py'
  path.write_text(CONFIG)
  return str(path)


@pytest.fixture(scope='module')
def whole(config, tmp_path_factory):
  """A zoo of `THINNED` that was left alone."""
  path = tmp_path_factory.mktemp('zoo') / 'whole'
  finish(config, path, *THINNED, GROWTH[0])
  return path


def begin(config, zoo, *options):
  """Starts the command; what it says goes to a file beside the zoo."""
  with open(f'{zoo}.said', 'w') as f:
    return subprocess.Popen(
        [sys.executable, '-m', 'nws_jax.zoo', f'--config={config}',
         f'--workdir={zoo}', *options], cwd=ROOT, stdout=f, stderr=f)


def finish(config, zoo, *options):
  assert begin(config, zoo, *options).wait() == 0, said(zoo)


def said(zoo):
  return pathlib.Path(f'{zoo}.said').read_text()


def assert_equal_zoos(a, b):
  a, b = nws_jax.open_zoo(a), nws_jax.open_zoo(b)
  assert a.digest == b.digest
  assert a.metrics.equals(b.metrics) and a.layers.equals(b.layers)
  drop = list(schema.TIMES)
  assert a.members.drop(columns=drop).equals(b.members.drop(columns=drop))
  assert a.verify() == b.verify() > 0
  for id in a.members['id']:
    for epoch in a.epochs(id):
      np.testing.assert_array_equal(a.vector(id, epoch), b.vector(id, epoch))


def read_records(zoo):
  return {unit: folder.progress(zoo, unit) for unit in folder.units(zoo)}


class Watch:
  """Looks, while a run goes on, whether it trains again what was committed.

  The snapshots of a unit that is not done are its rounds: they may only go,
  and only once it is done. Those of a unit that is done stay as they are.
  """

  def __init__(self, zoo):
    self._zoo, self._begun = str(zoo), time.time_ns()
    records = read_records(zoo)
    self._done = {unit for unit, r in records.items() if r['done']}
    self._known = {(unit, number): self._identify(unit, number)
                   for unit, r in records.items() for number in r['digests']}
    assert all(self._known.values()), self._known

  def _identify(self, unit, number):
    path = folder.snapshot_path(self._zoo, unit, number)
    try:  # of a file: a kill may leave a part of a folder that goes
      found = os.stat(os.path.join(path, '_METADATA'))
    except FileNotFoundError:
      return None
    return found.st_ino, found.st_mtime_ns

  def look(self):
    """What the run has done so far: 'plan', 'commit', 'save', 'thin'."""
    for (unit, number), known in self._known.items():
      found = self._identify(unit, number)
      assert found == known or not found and unit not in self._done, (
          f'snapshot {number} of {unit} was written again')
    names = {'plan': ('plan.json',), 'commit': ('units/*/progress.json',),
             'save': ('snapshots/*/*tmp*',),
             'thin': ('snapshots/*/1', 'snapshots/*/1.*')}
    return {name for name, patterns in names.items() if any(
        self._is_new(path) for pattern in patterns
        for path in pathlib.Path(self._zoo).glob(pattern))}

  def _is_new(self, path):
    try:
      return path.stat().st_mtime_ns > self._begun
    except FileNotFoundError:
      return False

  def wait(self, run, moment):
    """Waits until the run has done something, or ends: whether it goes on."""
    while run.poll() is None and moment not in self.look():
      time.sleep(0.005)
    return run.poll() is None

  def end(self):
    """Looks again, and for what must not go when a unit is not done."""
    self.look()
    records = read_records(self._zoo)
    for unit, number in self._known:
      if not records[unit]['done']:
        assert number in records[unit]['digests']
    for unit, record in records.items():
      assert all(self._identify(unit, n) for n in record['digests']), unit


def draw_moments(seed, count, start):
  """[(what a run has done, seconds after it)] in an order of its own."""
  draw = random.Random(seed)
  some = {'begin': start, 'commit': 1.5, 'save': 0.03, 'thin': 0.2}
  moments = [(name, draw.uniform(0, some[name])) for name, _ in zip(
      itertools.cycle(('commit', 'thin', 'commit', 'save', 'begin')),
      range(count))]
  draw.shuffle(moments)
  return moments


def find_left(zoo):
  """What of an unfinished run lies in a zoo."""
  names = {'a file': '**/*.tmp', 'a table': '**/*.new',
           'a save': 'snapshots/*/*tmp*', 'a state': 'state'}
  left = {name for name, pattern in names.items()
          if any(pathlib.Path(zoo).glob(pattern))}
  for unit, record in read_records(zoo).items():
    found = set(os.listdir(os.path.join(zoo, 'snapshots', unit)))
    if found - set(map(str, record['digests'])):
      left.add('a snapshot')
    if found & {'1', '2'} and not record['done']:
      left.add('a thinned unit')
  return left


KILLED = {'thinned': (12, THINNED), 'several': (8, SEVERAL)}


@pytest.mark.parametrize('name', KILLED)
def test_killed_at_any_moment_and_gone_on_with(config, tmp_path, name):
  count, options = KILLED[name]
  whole = tmp_path / 'whole'
  for growth in GROWTH:
    seconds = -time.monotonic()
    finish(config, whole, *options, growth)
  seconds += time.monotonic()
  zoos, stage, left = [tmp_path / 'zoo0'], 0, set()
  moments = draw_moments(name, count, seconds)
  while moments:
    zoo, (moment, delay) = zoos[-1], moments[-1]
    watch = Watch(zoo)
    run = begin(config, zoo, *options, GROWTH[stage])
    if moment != 'begin':
      watch.wait(run, moment)
    with contextlib.suppress(subprocess.TimeoutExpired):
      run.wait(delay)
    run.kill()
    code = run.wait()
    watch.end()
    if code:
      assert code == -signal.SIGKILL, said(zoo)
      moments.pop()
      found = find_left(zoo)
      left |= {GROWTH[stage]} | found
      print(f'{name}, {GROWTH[stage]}: killed {delay:.2f} s after {moment}; '
            f'left: {", ".join(sorted(found))}')
      continue
    moments[-1] = moment, delay / 2  # it was faster
    if stage + 1 < len(GROWTH):
      stage += 1
    else:
      zoos, stage = zoos + [tmp_path / f'zoo{len(zoos)}'], 0
  for growth in GROWTH[stage:]:
    watch = Watch(zoos[-1])
    finish(config, zoos[-1], *options, growth)
    watch.end()
  for zoo in zoos:
    assert_equal_zoos(whole, zoo)
    assert not find_left(zoo)
  assert left >= {*GROWTH, 'a state', 'a snapshot', 'a thinned unit'}, left


def lines(zoo):
  """What a run said, but for its bar."""
  return [line for line in said(zoo).splitlines() if '|' not in line]


def is_listening(run):
  """Whether a process has set its own answer to SIGTERM."""
  with open(f'/proc/{run.pid}/status') as f:
    caught = next(line for line in f if line.startswith('SigCgt'))
  return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1


def interrupt(run, number):
  """(exit code, seconds that a process takes to end after a signal)."""
  seconds = -time.monotonic()
  run.send_signal(number)
  return run.wait(120), seconds + time.monotonic()


@pytest.mark.parametrize('number', (signal.SIGINT, signal.SIGTERM))
def test_interrupted_at_any_moment_it_ends_at_once(
    config, whole, tmp_path, number):
  options, zoos = (*THINNED, GROWTH[0]), [tmp_path / 'zoo0']
  moments = draw_moments(number, 5, 8)
  while moments:
    zoo, (moment, delay) = zoos[-1], moments[-1]
    watch = Watch(zoo)
    run = begin(config, zoo, *options)
    while run.poll() is None and not is_listening(run):
      time.sleep(0.01)
    if moment != 'begin':
      watch.wait(run, moment)
    with contextlib.suppress(subprocess.TimeoutExpired):
      run.wait(delay)
    code, seconds = interrupt(run, number)
    watch.end()
    if f'snapshots in {zoo}' in said(zoo):  # it was faster
      moments[-1] = moment, delay / 2
      zoos.append(tmp_path / f'zoo{len(zoos)}')
      continue
    moments.pop()
    print(f'{number.name} {delay:.2f} s after {moment}: {seconds:.1f} s')
    assert code == 130 and lines(zoo) == ['nws_jax.zoo: interrupted']
    assert seconds < 15
  for zoo in zoos:
    watch = Watch(zoo)
    finish(config, zoo, *options)
    watch.end()
    assert_equal_zoos(whole, zoo)


def test_an_interrupt_waits_for_no_device_and_no_compiler(tmp_path):
  """A round of the default zoo takes many seconds, as does a program."""
  zoo = tmp_path / 'zoo'
  watch = Watch(zoo)
  run = begin('configs/zoo.py', zoo)
  assert watch.wait(run, 'commit')
  time.sleep(1)
  code, seconds = interrupt(run, signal.SIGINT)
  print(f'{seconds:.1f} s')
  assert code == 130 and lines(zoo) == ['nws_jax.zoo: interrupted']
  assert seconds < 5


@pytest.mark.parametrize('module', ('zoo', 'meta'))
def test_none_of_sixty_signals_is_lost(config, whole, tmp_path, module):
  """At random moments of the first seconds, most of which are imports."""
  draw, slowest, options = random.Random(module), 0, {
      'zoo': [f'--config={config}', *THINNED, GROWTH[0]],
      'meta': [f'--zoo={whole}', '--target=activation',
               '--config=configs/meta.py:smoke']}[module]
  for n in range(60):
    said = tmp_path / f'said{n}'
    with open(said, 'w') as f:
      run = subprocess.Popen(
          [sys.executable, '-m', f'nws_jax.{module}', *options,
           f'--workdir={tmp_path / module}{n}'], cwd=ROOT, stdout=f, stderr=f)
    while run.poll() is None and not is_listening(run):
      time.sleep(0.001)
    with contextlib.suppress(subprocess.TimeoutExpired):
      run.wait(draw.uniform(0, 3))
    if run.poll() == 0:
      continue  # it was faster
    code, seconds = interrupt(run, draw.choice((signal.SIGINT, signal.SIGTERM)))
    slowest = max(slowest, seconds)
    text = said.read_text()
    assert code == 130 and text.endswith(f'nws_jax.{module}: interrupted\n'), (
        code, text)
    assert 'Traceback' not in text and 'ignored' not in text
  print(f'{module}: at most {slowest:.1f} s')
  assert slowest < 5  # one, where nothing else runs


@pytest.fixture
def disk(tmp_path):
  """(a small disk, resize(its new size in kB))."""
  path = tmp_path / 'zoo'
  path.mkdir()
  def resize(size, option='remount,'):
    return subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', f'{option}size={size}k', 'none',
         str(path)], capture_output=True).returncode
  if not shutil.which('mount') or resize(65536, ''):
    pytest.skip('no disk can be mounted here')
  yield path, resize
  subprocess.run(['umount', str(path)], check=True)


@pytest.mark.parametrize('moment', ('plan', 'commit', 'save', 'thin'))
def test_a_full_disk_is_told_and_gone_on_from(config, whole, disk, moment):
  """Filled by others while a run begins, trains, saves or thins."""
  options, (zoo, resize) = (*THINNED, GROWTH[0]), disk
  watch = Watch(zoo)
  run = begin(config, zoo, *options)
  assert watch.wait(run, moment)
  fill(zoo / 'others')
  code = run.wait()
  print(f'{moment}: {lines(zoo)}')
  assert code == 1 and 'Traceback' not in said(zoo)
  line, = lines(zoo)
  assert line.startswith('nws_jax.zoo: ') and 'No space left' in line
  assert 'Make room' in line
  watch.end()
  watch = Watch(zoo)
  assert begin(config, zoo, *options).wait() in (1, 2)
  line, = lines(zoo)
  print(f'again: {line}')
  watch.end()
  resize(131072)  # what fills it stays
  watch = Watch(zoo)
  finish(config, zoo, *options)
  watch.end()
  assert_equal_zoos(whole, zoo)


def fill(path):
  """Takes all that is left of a disk, and what is freed meanwhile."""
  with contextlib.suppress(OSError), open(path, 'wb', buffering=0) as f:
    while True:
      f.write(bytes(4096))


def measure_peak(config, zoo, *options):
  """Most bytes of memory that the command held."""
  run = begin(config, zoo, *options)
  _, status, usage = os.wait4(run.pid, 0)
  run.returncode = os.waitstatus_to_exitcode(status)
  assert run.returncode == 0, said(zoo)
  return usage.ru_maxrss * 1024


def test_memory_does_not_grow_with_networks(config, tmp_path):
  """Once the program is compiled, which takes more than to load it."""
  peaks = {}
  for name, networks in (('compiled', 64), ('few', 64), ('many', 640)):
    zoo = tmp_path / name
    peaks[name] = measure_peak(
        config, zoo, f'--config.networks={networks}', '--config.epochs=2',
        '--config.networks_per_program=64', '--config.keep=2')
    print(f'{name}, {networks} networks: {peaks[name] / 1e6:.0f} MB')
    assert len(nws_jax.open_zoo(zoo).members) == networks
  assert peaks['many'] < 1.1 * peaks['few']
