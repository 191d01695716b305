"""A layer of the published classifier, against Flax's and XLA's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from nws_jax.meta.classifiers import conv1d


def _plain(x, weights, pools):
  x = x * weights.factor_C[None, None] + weights.shift_C[None, None]
  for _ in range(pools):
    x = nn.max_pool(x, (2,), (2,))
  x = nn.relu(weights.bias_O[None, None] + lax.conv_general_dilated(
      x, weights.kernel_5xCxO, (1,), 'SAME',
      dimension_numbers=('NWC', 'WIO', 'NWC')))
  return x, jnp.stack([x.sum((0, 1)), (x**2).sum((0, 1))])


def _pull(form, pools):
  """What a form says, and its gradients for some of the outputs'."""
  def pulled(x, weights, grads):
    out, pull = jax.vjp(lambda *by: form(*by, pools), x, weights)
    return out, *pull(grads)
  return pulled


def _draw(shape, outputs, pools, models=()):
  """(inputs, weights, gradients) of a layer."""
  sequences, length, channels = shape
  shapes = ((*shape,), (channels,), (channels,), (5, channels, outputs),
            (outputs,), (sequences, length >> pools, outputs), (2, outputs))
  keys = jax.random.split(jax.random.key(0), len(shapes))
  x, *weights, of_out, of_sums = (
      jax.random.normal(key, models + shape) for key, shape in zip(
          keys, shapes))
  return x, conv1d.Weights(*weights), (of_out, of_sums)


def _assert_close(got, want, limit=5e-6):
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    assert np.abs(b).max() > 0
    np.testing.assert_allclose(a, b, atol=limit * np.abs(b).max())


@pytest.mark.parametrize('form', ['layer_shifts', 'layer_tiles'])
@pytest.mark.parametrize('shape, pools', [
    ((3, 1, 2), 0), ((2, 2, 1), 0), ((4, 5, 3), 1), ((6, 18, 16), 0),
    ((5, 67, 4), 2), ((1, 64, 20), 1)])
def test_every_form_is_the_layer(form, shape, pools):
  given = _draw(shape, 6, pools)
  got, want = (jax.jit(_pull(f, pools))(*given) for f in (
      getattr(conv1d, form), _plain))
  _assert_close(got, want)


def test_the_first_of_equal_neighbours_takes_the_gradient():
  x = jnp.array([0., 0, 1, 2, 2, 2, 3])[None, :, None]
  pool = functools.partial(
      conv1d.settle, factor_C=jnp.ones(1), shift_C=jnp.zeros(1), pools=1)
  got, want = (jax.grad(lambda x, f=f: (f(x) * jnp.array(
      [[[1.], [2], [3]]])).sum())(x) for f in (
          pool, lambda x: nn.max_pool(x, (2,), (2,))))
  np.testing.assert_array_equal(got, want)
  np.testing.assert_array_equal(got[0, :, 0], [1, 0, 0, 2, 3, 0, 0])


def test_blocks_and_models_change_nothing(monkeypatch):
  given = _draw((6, 18, 16), 6, 0, models=(3,))
  want = jax.jit(jax.vmap(_pull(_plain, 0)))(*given)
  assert np.abs(np.diff(want[0][0], axis=0)).max() > 0.1  # models differ
  blocks = set()
  for cache in (1, 8_000, 1 << 20):
    monkeypatch.setattr(conv1d, '_CACHE', cache)
    blocks.add(conv1d._count_blocks(
        given[0][0], jax.tree.map(lambda x: x[0], given[1]), 0))
    _assert_close(jax.jit(jax.vmap(_pull(conv1d.layer_tiles, 0)))(*given), want)
  assert blocks == {1, 3, 6}
