"""The multilayer perceptron: one network by two routes, and a small zoo."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nws_jax
from configs import meta as meta_presets
from configs import zoo as presets
from nws_jax import convert, errors, replay, space, verify
from nws_jax.meta import request as requests
from nws_jax.meta import settings
from nws_jax.zoo import driver, families, plan, population, recipe
from nws_jax.zoo.families import interface, layers, mlp
from tests.zoo.driver_test import Silent

MODE = interface.Mode(space.ACTIVATIONS, layers.Form())


def make(arch, seed=0):
  """A vector whose tensors all differ from their first values."""
  own = layers.Settings(jnp.int32(1), jnp.float32(0.3), jnp.int32(2))
  vector = mlp.init(jax.random.key(seed), own, arch)
  noise = jax.random.uniform(jax.random.key(seed + 1), vector.shape)
  return own, vector + 0.1 * noise


@pytest.mark.parametrize('arch', [
    mlp.Architecture(1, 5, False), mlp.Architecture(3, 7, True)],
                         ids=lambda a: a.name)
@pytest.mark.parametrize('train', [False, True])
def test_the_network_is_its_flax_module(arch, train):
  """Forward and gradient, by running and by batch statistics."""
  own, vector = make(arch)
  layout = mlp.layout(arch)
  assert layout.num_weights == sum(
      s.stop - s.start for s in layout.spans) and not layout.num_weights_conv
  net = mlp.Mlp(arch, space.ACTIVATIONS[1])
  x = jax.random.uniform(jax.random.key(5), (6, 32, 32, 3))
  labels = jnp.arange(6)

  def score(logits):
    return jax.nn.log_softmax(logits)[jnp.arange(6), labels].sum()

  def ours(vector):
    logits, batch = mlp.apply(
        layout.split(vector), x.reshape(6, 32, 96), own, arch,
        MODE._replace(batch_statistics=train))
    return score(logits), (logits, batch)

  def theirs(vector):
    variables = layout.to_variables(vector)
    logits, new = net.apply(variables, x, train=train,
                            mutable=['batch_stats'])
    return score(logits), (logits, {**variables, **new})

  ((_, (logits, batch)), gradient), ((_, (want, new)), other) = (
      jax.jit(jax.value_and_grad(f, has_aux=True))(vector)
      for f in (ours, theirs))
  np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-4)
  weights = ~layout.running
  np.testing.assert_allclose(
      gradient[weights], other[weights], rtol=1e-3, atol=1e-3)
  if train and arch.batch_norm:
    parts = layout.split(vector)
    for name, moved in layers.update_running(parts, batch).items():
      parts[name] |= moved
    np.testing.assert_allclose(
        layout.join(parts), layout.to_vector(new), rtol=1e-4, atol=1e-4)


def test_networks_mapped_are_networks_alone():
  arch = mlp.Architecture(2, 4, True)
  own = layers.Settings(np.arange(4, dtype=np.int32) % 2,
                     np.full(4, 0.2, np.float32), np.arange(4, dtype=np.int32))
  keys = jax.random.split(jax.random.key(0), 4)
  x = jax.random.uniform(jax.random.key(5), (3, 32, 96))

  def run(key, own):
    vector = mlp.init(key, own, arch)
    return vector, mlp.apply(
        mlp.layout(arch).split(vector), x, own, arch, MODE)[0]

  mapped = jax.jit(population.over(run, 'map'))(keys, own)
  for m in range(4):
    alone = jax.jit(run)(keys[m], layers.Settings(*(x[m] for x in own)))
    for a, b in zip(alone, mapped):
      np.testing.assert_array_equal(a, b[m])


@pytest.fixture(scope='module')
def zoo(tmp_path_factory):
  config = presets.get_config('mlp')
  config.networks, config.epochs, config.datasets = 20, 2, ('digits',)
  config.depth, config.width, config.batch_norm = (2,), (8,), (True,)
  config.optimizer, config.learning_rate = ('adam', 'momentum'), (0.002,)
  config.activation, config.initialization = ('relu',), ('glorot_uniform',)
  path = str(tmp_path_factory.mktemp('mlp') / 'zoo')
  assert driver.run(recipe.from_config(config), path, Silent())
  return nws_jax.open_zoo(path)


def test_a_zoo_is_trained_kept_verified_and_replayed(zoo, capsys):
  assert zoo.verify() == 20 * 3
  made = plan.read(f'{zoo.path}/plan.json')
  assert {u.archs for u in made.units} == {(mlp.Architecture(2, 8, True),)}
  assert list(zoo.members)[9:-11] == [p.name for p in mlp.PROPERTIES]
  assert zoo.members.test_accuracy.median() > 0.3
  assert zoo.variables(0, 2)['params']['fc1']['kernel'].shape == (3072, 8)
  images, _ = zoo.images('digits', 'test')
  np.testing.assert_allclose(
      zoo.apply(3, 2, images[:9]), zoo.module(3).apply(
          zoo.variables(3, 2), images[:9] / np.float32(255)), atol=1e-3)
  verify.verify(zoo, networks=3)
  replay.replay(zoo, 7)
  assert capsys.readouterr().out.count('equal, bit for bit') == 3


def test_a_zoo_is_read_by_its_own_properties(zoo):
  def read(target):
    return requests.make(
        zoo, target, settings.from_config(meta_presets.get_config())).target
  assert read('optimizer').classes == ('adam', 'momentum')
  with pytest.raises(errors.Wrong, match='depth cannot be read: all 20'):
    read('depth')
  with pytest.raises(errors.Wrong, match='filter_size is not possible'):
    read('filter_size')


def test_the_published_format_has_no_such_networks(zoo, tmp_path):
  with pytest.raises(errors.Wrong, match='family cnn only; its family is mlp'):
    convert.to_nws(zoo.path, str(tmp_path / 'nws'))
  assert not (tmp_path / 'nws').exists()


def test_no_field_of_a_family_is_missing():
  for name, family in families.FAMILIES.items():
    assert family.name == name
  fields = {f.name: getattr(mlp.FAMILY, f.name)
            for f in dataclasses.fields(mlp.FAMILY)}
  for name in fields:
    with pytest.raises(TypeError, match=name):
      interface.Family(**{k: v for k, v in fields.items() if k != name})
