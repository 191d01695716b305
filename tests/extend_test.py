"""What is new comes in through the tables alone, and works end to end."""

import dataclasses

import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn

import nws_jax
from configs import meta as meta_presets
from configs import zoo as presets
from nws_jax import space
from nws_jax.meta import making, running, settings, summary
from nws_jax.meta import request as requests
from nws_jax.meta.answers import answer, controls
from nws_jax.meta.answers.controls import control, roles
from nws_jax.meta.answers.controls import table as controls_table
from nws_jax.meta.classifiers import interface, table
from nws_jax.meta.data import descriptions, regions
from nws_jax.meta.identify import predict, saved
from nws_jax.store import sealed
from nws_jax.zoo import driver, optimizers, recipe
from tests.meta import planted
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


class _Linear(nn.Module):
  """One dense layer on standardised statistics."""
  outputs: int

  @nn.compact
  def __call__(self, features_BxF, train):
    x = jnp.nan_to_num(features_BxF)
    center, scale = self.variable(
        'encoder', 'scale', lambda: jnp.stack([x.mean(0), x.std(0) + 1e-3])
    ).value
    return nn.Dense(self.outputs)((x - center[None]) / scale[None])


TOY = interface.Classifier(
    name='toy',
    inputs=descriptions.FEATURES,
    training=interface.Gradients(
        lambda outputs, shape: _Linear(outputs), learning_rate=1e-2,
        averages=True,
        count_features=lambda variables: (
            variables['encoder']['scale'].shape[-1])),
    requirements=interface.Requirements(1, False, None),
    attribution='nobody asked',
    seconds=lambda work: 1.0,
    compile_seconds=1.0,
    too_slow_on_cpu=False)


def test_a_classifier_of_the_table_reads_and_is_kept(tmp_path, monkeypatch):
  monkeypatch.setitem(table.CLASSIFIERS, 'toy', TOY)
  zoo = planted.PlantedZoo(effect=2.0)
  request = requests.make(zoo, 'optimizer', settings.from_config({
      **meta_presets.get_config('smoke'), 'classifier': 'toy', 'steps': 100,
      'controls': 'none'}))
  source = running.load(request)
  record, _, outcome = answer.run(request, source, lambda *at: None)
  assert record['classifier'] == 'toy'
  assert record['per_network']['accuracy'] > 0.9
  saved.write(str(tmp_path), request, source, outcome)
  again = saved.read(str(tmp_path / saved.MODEL))
  found = predict.answer(again, source.weights_MxExP[:10, -1], 'a')
  labels = [max(range(3), key=x.shares_K.__getitem__) for x in found]
  assert sum(labels == zoo.labels_M[:10]) >= 9
  with pytest.raises(TypeError, match='too_slow_on_cpu'):
    fields = dict(vars(TOY))
    del fields['too_slow_on_cpu']  # each field is required
    interface.Classifier(**fields)


def _read_labels(request, source):
  """The plan of a control that knows the label of every network."""
  return control.Plan(
      regions.Numbers(request.target.values_M[:, None]), [{'span': 1}],
      {'reads': 'labels'})


def test_a_control_of_the_table_stands_beside_the_score(tmp_path, monkeypatch):
  monkeypatch.setitem(controls_table.CONTROLS, 'toy', control.Control(
      'toy', roles.KNOWS_LITTLE, 'default', control.count_one,
      control.allow_all, _read_labels))
  assert 'toy' in controls.list_named('default')
  request = requests.make(
      planted.PlantedZoo(30), 'optimizer', settings.from_config({
          **meta_presets.get_config('smoke'), 'classifier': 'logistic',
          'controls': 'toy'}))
  where = making.Where(str(tmp_path), force=False, save=False)
  assert making.make(request, where, begin=0.0)
  path = making.find_record(str(tmp_path), request)
  record = sealed.read(path)
  assert list(record['controls']) == ['majority', 'toy']
  toy = record['controls']['toy']
  assert toy['accuracy'] == 1 and toy['reads'] == 'labels'
  assert any('toy explains the score' in w for w in record['warnings'])
  assert 'WARNING: toy explains' in summary.show(path)
