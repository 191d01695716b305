"""Every count of a config has a bound that is stated and checked at once."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from configs import meta as meta_presets
from configs import zoo as zoo_presets
from nws_jax import errors
from nws_jax.meta import price, running, settings
from nws_jax.meta import request as requests
from nws_jax.meta.data import descriptions
from nws_jax.meta.figures import intervals
from nws_jax.zoo import recipe
from tests.meta import planted

_TABLES = [
    (meta_presets, settings.BOUNDS, settings.from_config),
    (zoo_presets, recipe.BOUNDS, recipe.from_config)]
_CASES = [(presets, key, *bounds, make) for presets, table, make in _TABLES
          for key, bounds in table.items()]


@pytest.mark.parametrize('presets, table, make', _TABLES)
def test_every_count_has_one(presets, table, make):
  words = {'zoo': {'networks_per_program', 'keep'}}  # 'auto', 'all': or a count
  config = presets.get_config()
  counts = {k for k, v in config.items() if type(v) is int}
  assert set(table) == counts | words.get(presets.__name__.split('.')[1], set())
  for preset in presets.PRESETS:  # whatever is published is within them
    make(presets.get_config(preset))


@hypothesis.given(st.sampled_from(_CASES), st.integers(1, 10**12),
                  st.booleans())
@hypothesis.settings(max_examples=100, deadline=None)
def test_beyond_it_the_key_and_its_bounds_are_named(case, beyond, above):
  presets, key, low, high, make = case
  config = presets.get_config()
  # A word where it may be one.
  config[key] = type(config[key])(high + beyond if above else low - beyond)
  with pytest.raises(errors.Wrong) as told:
    make(config)
  assert f'{key}={config[key]!r}' in str(told.value)
  assert f'from {low} to {high}' in str(told.value)


@pytest.mark.parametrize('word', ['9' * 5000, '100001', '0'])
def test_a_word_that_is_a_count_too(word):
  for key in ('keep', 'networks_per_program'):
    config = zoo_presets.get_config()
    config[key] = word
    with pytest.raises(errors.Wrong, match=key):
      recipe.from_config(config)


def _request(**changed):
  return requests.make(planted.PlantedZoo(), 'optimizer', settings.from_config({
      **meta_presets.get_config('smoke'), 'controls': 'none', **changed}))


@pytest.mark.parametrize('window', [0, 20])
def test_what_is_counted_is_held(window):
  import jax
  request = _request(window=window, windows_per_network=7, windows_drawn=5)
  bank = descriptions.fill(running.make_place(
      request, running.load(request)), descriptions.FEATURES, jax.random.key(0))
  held = sum(x.nbytes for x in (bank if window else bank[:1]))
  assert held <= price.count_bytes(request) < 1.5 * held + 1e5


def test_what_memory_cannot_hold_is_refused(monkeypatch):
  monkeypatch.setattr(price, 'find_memory', lambda: 16e9)
  price.check_memory(_request())
  with pytest.raises(errors.Wrong, match='permutations=10000.*16.00 GB'):
    price.check_memory(_request(
        controls='shuffled', permutations=10_000, members=1000))


def test_resamples_are_the_same_however_many_are_held_at_once(monkeypatch):
  settings_M = np.arange(90) // 3
  whole, = intervals.resample(settings_M, 700, 5)
  monkeypatch.setattr(intervals, '_MOST_VALUES', 900)
  parts = list(intervals.resample(settings_M, 700, 5))
  assert len(parts) == 70
  np.testing.assert_array_equal(np.concatenate(parts), whole)
