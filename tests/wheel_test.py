"""Every command works from a wheel, in a folder that holds nothing."""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# Parts that are not of the wheel, or make it from what an earlier one left.
_OTHERS = ('.git', '.venv', 'build', '*.egg-info', '__pycache__', 'runs',
           'shared')


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """The folder that a wheel of this clone was installed into."""
  try:
    version = importlib.metadata.version('setuptools')
  except importlib.metadata.PackageNotFoundError:
    version = '0'
  if int(version.split('.')[0]) < 77:
    pytest.skip('building a wheel needs setuptools 77 or newer: '
                "pip install -e '.[test]'")
  path = tmp_path_factory.mktemp('wheel')
  shutil.copytree(ROOT, path / 'source', symlinks=True,
                  ignore=shutil.ignore_patterns(*_OTHERS))
  for step in (['wheel', '--no-build-isolation', '-w', path, path / 'source'],
               ['install', '--target', path / 'installed']):
    pip(*step, *path.glob('*.whl'), '--no-deps', '--no-index')
  return path / 'installed'


def pip(*arguments):
  done = subprocess.run([sys.executable, '-m', 'pip', '-q', *arguments],
                        capture_output=True, text=True)
  assert done.returncode == 0, done.stderr


def call(installed, folder, *arguments):
  return subprocess.run(
      [sys.executable, *arguments], cwd=folder, capture_output=True,
      text=True, env={**os.environ, 'PYTHONPATH': str(installed)})


def test_every_folder_is_named_as_a_package():
  """Those of the package are not looked for: configs lie beside it."""
  with open(ROOT / 'pyproject.toml', 'rb') as f:
    named = tomllib.load(f)['tool']['setuptools']['packages']
  folders = {p.parent for p in (ROOT / 'nws_jax').rglob('*.py')}
  assert sorted(named) == sorted(
      {'.'.join(p.relative_to(ROOT).parts) for p in folders}
      | {'nws_jax.configs'})


def test_it_holds_every_module(installed):
  def list_all(root, under):
    return {str(p.relative_to(root)) for p in (root / under).rglob('*')
            if p.is_file() and p.suffix != '.pyc'}
  ours = list_all(ROOT, 'nws_jax') | {
      f'nws_jax/{name}' for name in list_all(ROOT, 'configs')}
  assert list_all(installed, 'nws_jax') == ours


def test_commands_find_their_configs(installed, tmp_path):
  plan = call(installed, tmp_path, '-m', 'nws_jax.zoo',
              '--config=configs/zoo.py:smoke', '--plan')
  assert plan.returncode == 0 and '100 networks' in plan.stdout, plan.stderr
  own = installed / 'nws_jax' / 'configs' / 'zoo.py'
  assert plan.stderr.splitlines()[0] == (
      f'configs/zoo.py is not in this folder; using the one of the package, '
      f'{own}')
  meta = call(installed, tmp_path, '-m', 'nws_jax.meta',
              '--target=batch_size', '--config.seed=1')
  assert meta.returncode == 2 and 'runs/zoo is no folder' in meta.stderr
  found = call(
      installed, tmp_path, '-c', 'from nws_jax import report\n'
      "print(report._find_changed('zoo', {'epochs': 10, 'seed': 3}))")
  assert found.stdout == "{'config.seed': 3}\n", found.stderr
  assert not os.listdir(tmp_path)


@pytest.mark.parametrize('module', (
    'zoo', 'meta', 'report', 'verify', 'convert', 'data', 'identify'))
def test_commands_teach(installed, tmp_path, module):
  done = call(installed, tmp_path, '-m', f'nws_jax.{module}', '--help')
  assert done.returncode == 0 and f'python -m nws_jax.{module}' in done.stdout
