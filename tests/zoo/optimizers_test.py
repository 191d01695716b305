"""The optimizers against TensorFlow 1's rules in float64, and optax's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nws_jax.zoo import optimizers

P, STEPS, RATE = 50, 40, 0.003
RULES = tuple(optimizers.RULES)


def gradients():
  rng = np.random.default_rng(0)
  scale = 10.0 ** rng.integers(-6, 2, P)
  return rng.standard_normal((STEPS, P)) * scale


def adam(w, g):
  m, v = np.zeros(P), np.zeros(P)
  for t, g_t in enumerate(g, 1):
    m = 0.9 * m + 0.1 * g_t
    v = 0.999 * v + 0.001 * g_t ** 2
    w = w - RATE * np.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t) * (
        m / (np.sqrt(v) + 1e-8))
  return w


def rmsprop(w, g):
  s = np.ones(P)
  for g_t in g:
    s = 0.9 * s + 0.1 * g_t ** 2
    w = w - RATE * g_t / np.sqrt(s + 1e-10)
  return w


def momentum(w, g):
  a = np.zeros(P)
  for g_t in g:
    a = 0.95 * a + g_t
    w = w - RATE * a
  return w


def run(name, w, g, names=RULES):
  index = RULES.index(name)

  def step(carry, g_t):
    w, slots, t = carry
    delta, slots = optimizers.update(
        g_t, slots, index, jnp.asarray(RATE, w.dtype), t, names)
    return (w + delta, slots, t + 1), None

  start = w, optimizers.init(w, index, names), jnp.int32(0)
  return jax.lax.scan(step, start, g)[0][0]


@pytest.mark.parametrize('rule', (adam, rmsprop, momentum),
                         ids=lambda f: f.__name__)
def test_update_rules_of_tensorflow_1(rule):
  g = gradients()
  w = np.random.default_rng(1).standard_normal(P)
  with jax.enable_x64(True):
    got = run(rule.__name__, jnp.asarray(w), jnp.asarray(g))
  np.testing.assert_allclose(got, rule(w, g), rtol=1e-12, atol=1e-14)
  assert np.abs(np.asarray(got) - w).min() > 0


def test_one_step_by_hand():
  """w = 1, g = 2, lr = 0.1. Adam and Lion move by lr; RMSProp's s is 1."""
  one = jnp.ones(1)
  moves = []
  for index in range(len(RULES)):
    delta, _ = optimizers.update(
        2 * one, optimizers.init(one, index, RULES), index, jnp.float32(0.1),
        jnp.int32(0), RULES)
    moves.append(float(delta[0]))
  np.testing.assert_allclose(
      moves, [-0.1, -0.1 * 2 / np.sqrt(0.9 + 0.4), -0.2,
              -0.1 * (0.95 * 2 + 2), -0.1], rtol=1e-6)


@pytest.mark.parametrize('name, plain', [
    ('rmsprop', optax.rmsprop(RATE, 0.9, 1e-10, initial_scale=1.0)),
    ('momentum', optax.sgd(RATE, 0.95)),
    ('nesterov', optax.sgd(RATE, 0.95, nesterov=True)),
    ('lion', optax.lion(RATE, weight_decay=0.0))])
def test_same_as_optax_where_the_rules_agree(name, plain):
  g = jnp.asarray(gradients(), jnp.float32)
  w = jnp.ones(P)
  want, state = w, plain.init(w)
  for g_t in g:
    delta, state = plain.update(g_t, state, want)
    want = want + delta
  np.testing.assert_allclose(run(name, w, g), want, rtol=2e-5, atol=1e-6)


def test_a_zero_gradient_moves_nothing():
  for index in range(len(RULES)):
    w = jnp.ones(3)
    delta, slots = optimizers.update(
        jnp.zeros(3), optimizers.init(w, index, RULES), index, jnp.float32(1),
        jnp.int32(0), RULES)
    assert (np.asarray(delta) == 0).all()
    assert all(np.isfinite(x).all() for x in slots.values())


def test_a_program_holds_the_slots_of_its_optimizers_alone():
  w = jnp.ones(3)
  assert list(optimizers.init(w, 4, ('lion', 'nesterov'))) == ['m_P']
  assert list(optimizers.init(w, 0, ('adam', 'lion'))) == ['m_P', 's_P']


@pytest.mark.parametrize('over', (jax.vmap, lambda f: lambda *args: jax.lax.map(
    lambda xs: f(*xs), args)), ids=('vmap', 'map'))
def test_networks_of_one_program_each_follow_their_own_rule(over):
  g, w = jnp.asarray(gradients(), jnp.float32)[0], jnp.ones(P)
  index = jnp.arange(len(RULES))

  def move(index):
    return optimizers.update(g, optimizers.init(w, index, RULES), index,
                             jnp.float32(RATE), jnp.int32(0), RULES)[0]

  for got, n, name in zip(over(move)(index), index, RULES):
    alone, _ = optimizers.update(g, optimizers.init(w, n, (name,)), n,
                                 jnp.float32(RATE), jnp.int32(0), (name,))
    np.testing.assert_allclose(got, alone, rtol=1e-6)
