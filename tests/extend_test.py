"""What is new comes in through the tables alone, and works end to end."""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import nws_jax
from configs import meta as meta_presets
from configs import zoo as presets
from nws_jax import errors, layout, space, verify
from nws_jax.meta import making, running, settings, summary
from nws_jax.meta import request as requests
from nws_jax.meta.answers import answer, controls
from nws_jax.meta.answers.controls import control, roles
from nws_jax.meta.answers.controls import table as controls_table
from nws_jax.meta.classifiers import interface, table
from nws_jax.meta.data import descriptions, regions
from nws_jax.meta.identify import predict, saved
from nws_jax.store import sealed
from nws_jax.zoo import driver, families, optimizers, recipe
from nws_jax.zoo.families import interface as networks
from nws_jax.zoo.families import layers, mlp
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
  old = space.OPTIMIZER
  new = dataclasses.replace(old, others=(*old.others, 'toy'))
  cnn = families.FAMILIES['cnn']
  monkeypatch.setitem(families.FAMILIES, 'cnn', dataclasses.replace(
      cnn, properties=tuple(new if p is old else p for p in cnn.properties)))
  monkeypatch.setitem(optimizers.RULES, 'toy', optimizers.Rule(
      _trace, {'trace_P': 0.0}))
  space.check_table(new, optimizers.RULES)


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


@dataclasses.dataclass(frozen=True, order=True)
class _Arch:
  family: ClassVar[str] = 'toy'
  rank: int

  @property
  def name(self):
    return f'rank-{self.rank}'


@functools.cache
def _lay_out(arch):
  return layout.build(arch.name, [
      *layout.layer('encode', (3072, arch.rank), False),
      *layout.layer('decode', (arch.rank, 10), False)])


def _run(parts, x, own, arch, mode):
  x = x.reshape(len(x), -1).astype(jnp.float32)
  x = own['gain'] * layers.dense(x, parts['encode'], mode.form)
  return layers.dense(x, parts['decode'], mode.form), {}


class _LowRank(nn.Module):
  """The same in plain Flax."""
  rank: int
  gain: float

  @nn.compact
  def __call__(self, x, train=False):
    x = self.gain * nn.Dense(self.rank, name='encode')(x.reshape(len(x), -1))
    return nn.Dense(10, name='decode')(x)


def _predict(arch, row, vector_P, images):
  x = images.reshape(*images.shape[:2], -1) / np.float32(255)
  return _run(_lay_out(arch).split(vector_P), x, {'gain': row['gain']}, arch,
              networks.Mode((), layers.Form()))[0]


GAINS = (1.0, 2.0)
TRAINED = (space.DATASET, space.LEARNING_RATE, space.BATCH_SIZE,
           space.AUGMENTATION, space.OPTIMIZER, space.WEIGHT_DECAY)
LOW_RANK = dataclasses.replace(
    mlp.FAMILY, name='toy', properties=(
        *TRAINED, space.Property('rank', space.SHAPE, (2, 4),
                                 allowed=space.Range(1, 64)),
        space.Property('gain', space.TRACED, (1.0,), continuous=True,
                       allowed=space.Range(0, 8))),
    architecture=lambda row: _Arch(int(row['rank'])),
    parse=lambda record: _Arch(**record), layout=_lay_out,
    settings=lambda choices, rows, shape: {
        'gain': np.array([row['gain'] for row in rows], np.float32)},
    options=lambda choices: (), own_mask=lambda shape, own: None,
    init=lambda key, own, arch: 0.05 * jax.random.normal(
        key, (_lay_out(arch).num_weights,)),
    apply=_run, module=lambda arch, row: _LowRank(arch.rank, row['gain']),
    predict=_predict, cost=lambda arch: networks.Cost(3e4, 3e3, 3e3))


def test_a_family_of_the_table_is_trained_kept_and_read(tmp_path, monkeypatch):
  """With properties that no other family has, by none that others have."""
  monkeypatch.setitem(families.FAMILIES, 'toy', LOW_RANK)
  config = presets.get_config('smoke')
  for p in families.FAMILIES['cnn'].properties:
    if p not in LOW_RANK.properties and p.name in config:
      del config[p.name]
  config.family, config.networks, config.batch_size = 'toy', 40, (32,)
  config.rank, config.gain, config.epochs = (2,), GAINS, 1
  config.learning_rate, config.optimizer = (0.002,), ('adam', 'momentum')
  path = str(tmp_path / 'zoo')
  assert driver.run(recipe.from_config(config), path, Silent())
  zoo = nws_jax.open_zoo(path)
  assert list(zoo.members)[9:17] == [p.name for p in LOW_RANK.properties]
  assert zoo.verify() == 40 * 2 and zoo.architecture(3) == _Arch(2)
  assert [p.name for p in zoo.properties] == [
      p.name for p in LOW_RANK.properties]
  images, labels = zoo.images('digits', 'test')
  logits = zoo.apply(3, 1, images)
  np.testing.assert_allclose(
      zoo.module(3).apply(zoo.variables(3, 1), images / np.float32(255)),
      logits, atol=1e-4)
  assert (logits.argmax(-1) == labels).mean() == pytest.approx(
      zoo.members.test_accuracy[3], abs=0.01)
  verify.verify(zoo, 4)
  assert not driver.run(recipe.from_config(config), path, Silent())
  request = requests.make(zoo, 'gain', settings.from_config(
      meta_presets.get_config()))
  assert not request.target.classes and request.target.role == space.TRACED
  with pytest.raises(errors.Wrong, match='depth_fc is not possible; .*rank'):
    requests.make(zoo, 'depth_fc', settings.from_config(
        meta_presets.get_config()))


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
