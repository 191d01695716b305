"""What the commands say when they are misused, in real processes."""

import concurrent.futures
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ZOO = ('nws_jax.zoo', '--config=configs/zoo.py:smoke')


def call(module, *args):
  return subprocess.run([sys.executable, '-m', module, *args], cwd=ROOT,
                        capture_output=True, text=True)


WRONG = [  # arguments, what the message must name
    (('nws_jax.zoo',), ['--config', 'configs/zoo.py']),
    (('nws_jax.zoo', '--config=configs/none.py'), ['none.py']),
    (('nws_jax.zoo', '--config=configs/zoo.py:huge'), ['huge', 'smoke']),
    ((*ZOO, '--confi.seed=1'), ['confi.seed']),
    ((*ZOO, '--config.sed=1'), ["no key 'sed'", "mean 'seed'"]),
    ((*ZOO, '--config.seed.x=1'), ["no key 'seed.x'"]),
    ((*ZOO, '--config.seed=one'), ['seed', 'one']),
    ((*ZOO, '--config.datasets=imagenet'), ['imagenet', 'fashion_mnist']),
    ((*ZOO, '--config.datasets=cifar10'), ['cifar10', 'tfds']),
    ((*ZOO, '--config.dataset_source=tfds', '--config.datasets=cifar10',
      '--config.data_dir=no/such'),
     ["'cifar10' is not prepared", 'no/such/cifar10/3.0.2',
      'nws_jax.data --prepare=cifar10 --data_dir=no/such']),
    ((*ZOO, '--config.learning_rate=0'), ['learning_rate', 'above 0']),
    ((*ZOO, '--config.learning_rate=nan'), ['learning_rate', 'above 0']),
    ((*ZOO, '--config.batch_size=4096'), ['4096', 'digits']),
    ((*ZOO, '--config.networks=0'), ['networks=0']),
    ((*ZOO, '--workdir=pyproject.toml'), ['pyproject.toml', 'file']),
    ((*ZOO, '--workdir=tests'), ['tests', 'not a zoo']),
    ((*ZOO, '--workdir=/proc/none'), ['/proc/none']),
    ((*ZOO, 'extra'), ['extra']),
    (('nws_jax.meta',), ['--target']),
    (('nws_jax.meta', '--target=dataset', '--config.windo=1'),
     ['windo', 'window']),
    (('nws_jax.meta', '--target=dataset', '--config=configs/meta.py:big'),
     ['big', 'published']),
    (('nws_jax.meta', '--target=dataset', '--ablate=layers'), ['layers']),
    (('nws_jax.meta', '--target=dataset', '--zoo=tests'),
     ['tests', 'not a zoo']),
    (('nws_jax.report', '--zoo=tests'), ['tests', 'not a zoo']),
    (('nws_jax.data', '--prepare=imagenet'), ['imagenet', 'cifar10']),
    (('nws_jax.zoo', '--config=configs/meta.py'),
     ['lacks networks', 'has', 'those of configs/zoo.py']),
    (('nws_jax.meta', '--config=configs/zoo.py', '--target=dataset'),
     ['lacks window', 'has', 'those of configs/meta.py']),
    (('nws_jax.zoo', '--config.seed=1'), ['--config is missing']),
    ((*ZOO, '--workdir=gs://bucket/zoo', '--plan'),
     ['gs://bucket/zoo', 'mount']),
    ((*ZOO, '--config.data_dir=gs://bucket'), ['data_dir=gs://bucket']),
    (('nws_jax.meta', '--target=data\udcffset'), ["'--target=data\\udcffset'"]),
    (('nws_jax.identify', 'x\udcff.npz'), ["'x\\udcff.npz'"]),
]


@pytest.fixture(scope='module')
def answers():
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    return dict(zip((args for args, _ in WRONG), pool.map(
        lambda case: call(*case[0]), WRONG)))


@pytest.mark.parametrize('args, names', WRONG,
                         ids=lambda x: ascii(' '.join(x)))
def test_a_wrong_request_ends_with_one_message_and_2(answers, args, names):
  done = answers[args]
  assert done.returncode == 2, done.stderr
  assert not done.stdout and 'Traceback' not in done.stderr
  lines = done.stderr.strip().splitlines()
  assert len(lines) == 1 and lines[0].startswith(f'{args[0]}: '), lines
  for name in names:
    assert name in lines[0]


@pytest.mark.parametrize('module', ('zoo', 'meta', 'report', 'data'))
def test_help_teaches_and_is_quick(module):
  seconds = []
  for _ in range(2):  # the first may write byte code
    begin = sum(os.times()[2:4])
    done = call(f'nws_jax.{module}', '--help')
    seconds.append(sum(os.times()[2:4]) - begin)
  assert done.returncode == 0 and not done.stderr
  assert f'python -m nws_jax.{module}' in done.stdout
  assert '--workdir' in done.stdout or '--out' in done.stdout or (
      '--data_dir' in done.stdout)
  assert min(seconds) < 2


def test_a_zoo_in_use_is_left_alone(tmp_path):
  from nws_jax.store import folder
  workdir = str(tmp_path / 'zoo')
  with folder.lock(workdir):
    done = call(*ZOO, f'--workdir={workdir}')
    assert os.listdir(workdir) == ['lock']
  assert done.returncode == 2 and str(os.getpid()) in done.stderr


def test_a_refused_request_leaves_nothing(tmp_path):
  done = call(*ZOO, '--config.disk_gb=1e-6',
              f'--workdir={tmp_path / "runs" / "zoo"}')
  assert done.returncode == 2 and 'disk_gb' in done.stderr
  assert not os.listdir(tmp_path)


def test_a_fault_of_the_program_is_one_line(tmp_path):
  """And `NWS_JAX_TRACEBACK` shows where it is."""
  (tmp_path / 'command.py').write_text(
      'from absl import flags\nfrom nws_jax import cli\n'
      'def main():\n  {}["x"]\ncli.run(main, flags.FlagValues())\n')
  for traceback in ('', '1'):
    done = subprocess.run(
        [sys.executable, '-m', 'command'], cwd=tmp_path, capture_output=True,
        text=True, env={**os.environ, 'PYTHONPATH': ROOT,
                        'NWS_JAX_TRACEBACK': traceback})
    *before, last = done.stderr.splitlines()
    assert done.returncode == 1 and last == (
        "command: unexpected KeyError: 'x' (command.py, line 4). This is a "
        'bug in the program; NWS_JAX_TRACEBACK=1 shows the traceback.')
    assert bool(before) == bool(traceback)
