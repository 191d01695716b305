import pytest

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
        **presets.get_config('smoke'), 'permutations': 0, 'round_steps': 20,
        'steps': 200, **changed})
  return make

