import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax.meta.classifiers import cnn, table


def _init(name, outputs, inputs):
  return table.CLASSIFIERS[name].make_model(outputs).init(
      jax.random.key(0), inputs)


@pytest.mark.parametrize('length, outputs, values', [
    (5000, 5, 10_407_685), (500, 5, 9_359_109), (1000, 5, 9_359_109),
    (92_868, 5, 10_948_997)])
def test_the_published_cnns_have_the_published_sizes(length, outputs, values):
  variables = jax.eval_shape(
      lambda: _init('cnn', outputs, jnp.zeros((2, length))))
  assert sum(x.size for x in jax.tree.leaves(variables)) == values
  assert set(variables) == {'params', 'batch_stats'}


def test_the_published_cnns_have_the_published_depths():
  for length, convolutions, poolings in ((5000, 12, 8), (92_868, 15, 12)):
    plan = cnn.plan_cnn(length)
    assert sum(c > 0 for c in plan) == convolutions
    assert sum(c == 0 for c in plan) == poolings


def _predict_by_hand(variables, x_BxL):
  """Sections 12 and 13 for short windows, by the stored statistics."""
  params, stats = variables['params'], variables['batch_stats']
  count = {'BatchNorm': 0, '_Conv': 0, 'Dense': 0}

  def take(kind):
    count[kind] += 1
    name = f'{kind}_{count[kind] - 1}'
    return params[name], stats.get(name)

  def relu_then_norm(x):
    (own, running), x = take('BatchNorm'), np.maximum(x, 0)
    return own['scale'] * (x - running['mean']) / np.sqrt(
        running['var'] + 1e-5) + own['bias']

  x = x_BxL[..., None]
  for out in ('8 P 16 P 32 64 P 128 256' + 6 * ' 256' + ' P').split():
    if out == 'P':
      half = x.shape[1] // 2
      x = np.maximum(x[:, :2 * half:2], x[:, 1:2 * half:2])
      continue
    own, _ = take('_Conv')
    assert own['kernel'].shape == (5, x.shape[2], int(out))
    padded = np.pad(x, ((0, 0), (2, 2), (0, 0)))
    x = relu_then_norm(own['bias'] + sum(
        padded[:, i:i + x.shape[1]] @ own['kernel'][i] for i in range(5)))
  x = x.reshape(len(x), -1)
  for width in (1024, 1024, 1024, 1024, 64):
    own, _ = take('Dense')
    assert own['kernel'].shape[1] == width
    x = relu_then_norm(x @ own['kernel'] + own['bias'])
  own, _ = take('Dense')
  return x @ own['kernel'] + own['bias']


def test_the_published_cnn_is_that_of_section_12():
  rng = np.random.default_rng(0)
  pair = table.CLASSIFIERS['cnn'].make_model(3)
  x_BxL = rng.normal(size=(2, 18))
  shapes = jax.eval_shape(
      lambda: pair.init(jax.random.key(0), jnp.zeros((2, 18))))

  def fill(path, shape):
    name, fan = path[-1].key, np.prod(shape.shape[:-1])
    if name == 'kernel':  # large enough for windows to be told at the end
      return rng.normal(0, 2 / np.sqrt(fan), shape.shape)
    if name == 'var':
      return rng.uniform(0.5, 1, shape.shape)
    return rng.normal(name == 'scale', 0.1, shape.shape)

  variables = jax.tree.map_with_path(fill, shapes)
  got, _ = jax.jit(lambda v, x: pair.apply(v, x, None))(
      jax.tree.map(jnp.float32, variables), jnp.float32(x_BxL))
  want = _predict_by_hand(variables, x_BxL)
  np.testing.assert_allclose(got, want, atol=1e-4 * np.std(want))
  assert np.ptp(want, axis=0).min() > 0.1 * np.std(want)  # windows differ


def test_the_work_of_a_window():
  # By hand: 725 million in the convolutions, 16 million in the dense layers.
  assert cnn.count_flops(5000, 5) == pytest.approx(742e6, rel=0.002)


@pytest.mark.parametrize('name', ['cnn', 'fast'])
def test_a_prediction_does_not_depend_on_its_neighbours(name):
  inputs = 3 * jax.random.normal(jax.random.key(0), (8, 16)) + 1
  pair = table.CLASSIFIERS[name].make_model(3)
  variables = jax.jit(pair.init)(jax.random.key(0), inputs)
  train = jax.jit(pair.apply)
  first, trained = train(variables, inputs, jax.random.key(1))
  second, _ = train(variables, inputs, jax.random.key(2))
  assert np.abs(first - second).max() > 0  # dropout
  if name == 'cnn':
    before, variables = variables, trained
    assert all(np.abs(a - b).max() > 0 for a, b in zip(
        jax.tree.leaves(before['batch_stats']),
        jax.tree.leaves(trained['batch_stats'])))
  predict = jax.jit(lambda v, x: pair.apply(v, x, None))
  together, _ = predict(variables, inputs)
  for i in range(3):
    alone, _ = predict(variables, inputs[i:i + 1])
    np.testing.assert_allclose(alone[0], together[i], atol=1e-5)
  assert np.ptp(np.asarray(together), axis=0).min() > 0  # windows differ


def test_fast_takes_what_is_missing_and_any_scale():
  inputs = jax.random.normal(jax.random.key(0), (64, 3))
  inputs = (inputs * jnp.array([[1e6, 1e-6, 1]])).at[::2, 2].set(jnp.nan)
  inputs = jnp.concatenate([inputs, jnp.full((64, 1), jnp.nan)], 1)
  pair = table.CLASSIFIERS['fast'].make_model(2)
  variables = pair.init(jax.random.key(0), inputs)
  outputs, _ = pair.apply(variables, inputs, None)
  assert np.isfinite(outputs).all()
  shifted = inputs.at[:, 1].add(1e-6)  # as visible as a shift of 1e6 of [:, 0]
  assert np.abs(pair.apply(variables, shifted, None)[0] - outputs).max() > 1e-3
