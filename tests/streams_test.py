"""Where a command's output goes: closed, full, unread, in a narrow code."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMAND = '''
import os, sys, time
from absl import flags
from nws_jax import cli

def main():
  print('R²', end=' ')
  sys.stderr.write('2 × 3\\n')
  with open('opened', 'w') as f:
    assert f.fileno() > 2
  time.sleep(0.2)
  for n in range(int(os.environ.get('NUM_LINES', 1))):
    print(n)
  open('done', 'w').close()

cli.run(main, flags.FlagValues())
'''


@pytest.fixture
def call(tmp_path):
  """call(redirections, **environment) -> the command in a shell, ended."""
  (tmp_path / 'command.py').write_text(COMMAND)
  def call(redirections='', **environment):
    # As every command of the package: its first line is that of `nws_jax`.
    return subprocess.run(
        ['bash', '-c', f'{sys.executable} -m command {redirections}'],
        cwd=tmp_path, env={**os.environ, 'PYTHONPATH': ROOT,
                         'PYTHONUNBUFFERED': '', **environment},
        capture_output=True)
  return call


@pytest.mark.parametrize('encoding', ('ascii', 'latin-1', 'ascii:strict'))
def test_any_code_takes_any_text(call, encoding):
  done = call(PYTHONIOENCODING=encoding)
  assert done.returncode == 0
  square, times = (('R²', '×') if encoding == 'latin-1'
                   else (r'R\xb2', r'\xd7'))
  assert done.stdout.decode('latin-1') == f'{square} 0\n'
  assert done.stderr.decode('latin-1') == f'2 {times} 3\n'


def test_a_closed_stdout_is_told_when_all_is_done(call, tmp_path):
  done = call('>&-')
  assert done.returncode == 1
  assert done.stderr.decode() == (
      '2 × 3\ncommand: stdout is closed, and the output is lost. Redirect it '
      'to a file or to /dev/null.\n')
  assert (tmp_path / 'done').exists()
  assert (tmp_path / 'opened').read_bytes() == b''


def test_a_closed_stderr_is_no_failure(call, tmp_path):
  done = call('2>&-')
  assert done.returncode == 0 and done.stdout == 'R² 0\n'.encode()
  assert (tmp_path / 'opened').read_bytes() == b''
  assert call('>&- 2>&- <&-').returncode == 1
  assert (tmp_path / 'opened').read_bytes() == b''


def test_a_full_disk_under_stdout_is_told(call):
  done = call('> /dev/full')
  assert done.returncode == 1
  assert done.stderr.decode() == (
      '2 × 3\ncommand: the output could not be written: No space left on '
      'device. Make room on the disk, or send it elsewhere.\n')


@pytest.mark.parametrize('lines', ('1', '100000'))
@pytest.mark.parametrize('streams', ('', '2>&1'))
def test_a_reader_that_left_ends_it_quietly(call, lines, streams):
  done = call(f'{streams} | true; exit ${{PIPESTATUS[0]}}', NUM_LINES=lines)
  assert done.returncode == 141
  assert done.stderr.decode() == '2 × 3\n' * (not streams)
