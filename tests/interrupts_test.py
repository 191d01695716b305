"""A signal ends a command, whatever it does at the moment."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BEGIN = '''
import ctypes, gc, os, signal, sys, time
from nws_jax import errors, interrupts
interrupts.listen('me')
def ready():
  print('ready', flush=True)
'''
BUSY = {
    'python': 'ready()\nwhile True: pass',
    'a callback': '''
class A:
  def __del__(self):
    ready()
    while True: pass
A()''',
    'a collector': '''
def collect(*_):
  ready()
  time.sleep(60)
gc.callbacks.append(collect)
gc.collect()''',
    'whoever catches all': '''
ready()
while True:
  try: time.sleep(60)
  except BaseException: pass''',
    'native code': 'ready()\nwhile True: ctypes.CDLL(None).sleep(60)',
    'a save': '''
def save():
  time.sleep(0.3)
  print('saved', flush=True)
with interrupts.saving(save):
  ready()
  time.sleep(60)''',
}


@contextlib.contextmanager
def begin(body):
  """A process that runs `body`, once it says that it is ready."""
  with subprocess.Popen(
      [sys.executable, '-c', BEGIN + body], cwd=ROOT, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
    try:
      assert run.stdout.readline() == 'ready\n', run.communicate()
      yield run
    finally:
      run.kill()


@pytest.mark.parametrize('number', (signal.SIGINT, signal.SIGTERM))
@pytest.mark.parametrize('doing', BUSY)
def test_it_ends_whatever_it_does(doing, number):
  with begin(BUSY[doing]) as run:
    time.sleep(0.02)
    run.send_signal(number)
    out, said = run.communicate(timeout=20)
  assert (run.returncode, said) == (130, 'me: interrupted\n')
  assert out == 'saved\n' * (doing == 'a save')


def test_who_cannot_save_says_so():
  with begin('''
def save():
  raise errors.Damaged('no room')
with interrupts.saving(save):
  ready()
  time.sleep(60)''') as run:
    run.terminate()
    assert run.communicate(timeout=20)[1] == (
        'me: interrupted, and not saved: no room\n')
  assert run.returncode == 1


def test_a_second_signal_does_not_wait_for_the_save():
  with begin('with interrupts.saving(lambda: time.sleep(60)):\n'
             '  ready()\n  time.sleep(60)') as run:
    run.terminate()
    run.terminate()  # with the first one, as `timeout` does: it is the same
    time.sleep(0.7)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    assert run.wait(20) == 130


def test_who_waits_to_write_ends_too():
  """Its reader reads no more."""
  with begin('ready()\nwhile True: print("x" * 10000)') as run:
    time.sleep(0.2)
    run.terminate()
    assert run.wait(20) == 130


def test_what_the_parent_ignores_is_ignored():
  with contextlib.ExitStack() as stack:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a child inherits it
    try:
      run = stack.enter_context(begin('ready()\ntime.sleep(60)'))
    finally:
      signal.signal(signal.SIGINT, before)
    run.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert run.poll() is None
    run.terminate()
    assert run.wait(20) == 130


def test_a_forked_process_is_as_others():
  with begin('''
child = os.fork()
if not child:
  time.sleep(60)
ready()
time.sleep(0.1)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))''') as run:
    assert run.communicate(timeout=20)[0] == '-15\n'


def is_listening(run):
  """Whether a process has set its own answer to SIGTERM."""
  with open(f'/proc/{run.pid}/status') as f:
    caught = next(line for line in f if line.startswith('SigCgt'))
  return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1


@pytest.mark.skipif(sys.platform != 'linux', reason='it looks into /proc')
@pytest.mark.parametrize('module', ('zoo', 'meta'))
@pytest.mark.parametrize('number', (signal.SIGINT, signal.SIGTERM))
def test_a_command_listens_from_its_first_line(tmp_path, module, number):
  """While it imports, what an exception would have broken."""
  run = subprocess.Popen(
      [sys.executable, '-m', f'nws_jax.{module}', f'--workdir={tmp_path}',
       *(['--config=configs/zoo.py'] if module == 'zoo'
         else ['--target=dataset'])],
      cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
  while run.poll() is None and not is_listening(run):
    time.sleep(0.001)
  if module == 'meta':
    time.sleep(0.3)
  run.send_signal(number)
  out, said = run.communicate(timeout=20)
  assert (run.returncode, out, said) == (
      130, '', f'nws_jax.{module}: interrupted\n')


def test_importing_the_package_leaves_signals_alone():
  done = subprocess.run([sys.executable, '-c', '''
import signal
before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
import nws_jax, nws_jax.report
assert before == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
'''], cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
