import importlib
import sys

import pytest

from nws_jax import api, cli
from nws_jax.meta import __main__ as command
from tests.meta import planted


@pytest.fixture
def plant():
  """Makes a planted zoo."""
  return planted.PlantedZoo


@pytest.fixture
def settle():
  """Makes `Settings` of the smoke preset with some keys changed."""
  from configs import meta as presets
  from nws_jax.meta import settings

  def make(**changed):
    return settings.from_config({
        **presets.get_config('smoke'), 'controls': 'none', 'round_steps': 20,
        'steps': 200, **changed})
  return make


@pytest.fixture
def call(plant, monkeypatch, capsys, tmp_path):
  """Runs the command on a planted zoo: (exit code, stdout, stderr)."""
  monkeypatch.setattr(api, 'Zoo', lambda path: plant(effect=2.0))

  def run(*arguments):
    fresh = importlib.reload(command)  # with flags that nobody has set
    monkeypatch.setattr(sys, 'argv', [
        'meta', '--config=configs/meta.py:smoke', f'--workdir={tmp_path}',
        *arguments])
    with pytest.raises(SystemExit) as exit:
      cli.run(fresh.main, fresh._FLAGS)
    return exit.value.code, *capsys.readouterr()
  return run
