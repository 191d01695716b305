"""What is new comes in through the tables alone, and works end to end."""

import dataclasses

import optax
import pytest

import nws_jax
from configs import zoo as presets
from nws_jax import space
from nws_jax.zoo import driver, optimizers, recipe
from tests.zoo.driver_test import Silent


def _trace(gradient_P, slots, rate, step):
  """A transformation of optax, whose state is one slot."""
  update_P, state = optax.trace(0.8).update(
      gradient_P, optax.TraceState(slots['trace_P']))
  return -rate * update_P, {'trace_P': state.trace}


@pytest.fixture
def toy(monkeypatch):
  """An optimizer `toy` through the two tables: its word, and its rule."""
  old = space.BY_NAME['optimizer']
  new = dataclasses.replace(old, others=(*old.others, 'toy'))
  monkeypatch.setitem(space.BY_NAME, 'optimizer', new)
  monkeypatch.setattr(space, 'ALL', tuple(
      new if p is old else p for p in space.ALL))
  monkeypatch.setitem(optimizers.RULES, 'toy', optimizers.Rule(
      _trace, {'trace_P': 0.0}))
  space.check_table('optimizer', optimizers.RULES)


def test_an_optimizer_of_the_table_trains(tmp_path, toy):
  """Beside an optimizer of each other rule, in one program."""
  config = presets.get_config('smoke')
  config.networks, config.batch_size, config.dropout = 4, (32,), (0.0,)
  config.optimizer = ('adam', 'nesterov', 'lion', 'toy')
  config.learning_rate = (0.002,)
  config.depth_fc, config.width_conv, config.width_fc = (1,), (2,), (32,)
  assert driver.run(recipe.from_config(config), str(tmp_path), Silent())
  zoo = nws_jax.open_zoo(tmp_path)
  assert zoo.verify() == 4 * 3
  members = zoo.members.set_index('optimizer')
  assert sorted(members.index) == sorted(config.optimizer)
  assert len(zoo.members.unit.unique()) == 1
  assert (members.test_accuracy > 0.5).all(), members.test_accuracy
