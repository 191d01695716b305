"""Launchers hold no logic: they start commands that exist."""

import json
import pathlib
import re
import subprocess

import pytest

LAUNCH = pathlib.Path(__file__).parents[1] / 'launch'


def read(path):
  if path.suffix == '.ipynb':
    cells = json.loads(path.read_text())['cells']
    return '\n'.join(''.join(c['source']) for c in cells)
  return path.read_text()


@pytest.mark.parametrize('path', sorted(LAUNCH.iterdir()), ids=lambda p: p.name)
def test_launchers_start_commands_that_exist(path):
  modules = re.findall(r'python -m nws_jax\.(\w+)', read(path))
  assert modules
  package = LAUNCH.parent / 'nws_jax'
  for module in modules:
    assert (package / f'{module}.py').exists() or (
        package / module / '__main__.py').exists(), module


@pytest.mark.parametrize('path', sorted(LAUNCH.glob('*.sh')),
                         ids=lambda p: p.name)
def test_scripts_parse(path):
  subprocess.run(['bash', '-n', path], check=True)
