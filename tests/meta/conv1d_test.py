"""The convolution of the published classifier, against XLA's own."""

import jax
import numpy as np
import pytest
from jax import lax

from nws_jax.meta import conv1d


def _draw(*shapes):
  keys = jax.random.split(jax.random.key(0), len(shapes))
  return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes)]


def _primitive(x, kernel):
  return lax.conv_general_dilated(
      x, kernel, (1,), 'SAME', dimension_numbers=('NWC', 'WIO', 'NWC'))


def _pull(f):
  """What f says, and its gradients for one of the outputs."""
  def pulled(x, kernel, grad):
    out, pull = jax.vjp(f, x, kernel)
    return out, *pull(grad)
  return pulled


@pytest.mark.parametrize('form', ['convolve_shifts', 'convolve_tiles'])
@pytest.mark.parametrize('shape', [
    (3, 1, 2), (2, 2, 1), (4, 5, 3), (6, 18, 16), (5, 33, 4), (1, 64, 20)])
def test_every_form_is_the_convolution(form, shape):
  sequences, length, channels = shape
  given = _draw(shape, (5, channels, 6), (sequences, length, 6))
  got = jax.jit(_pull(getattr(conv1d, form)))(*given)
  for a, b in zip(got, jax.jit(_pull(_primitive))(*given)):
    np.testing.assert_allclose(a, b, atol=2e-6 * np.abs(b).max())


def test_blocks_and_models_change_nothing(monkeypatch):
  given = _draw((3, 6, 18, 16), (3, 5, 16, 6), (3, 6, 18, 6))
  want = jax.jit(jax.vmap(_pull(_primitive)))(*given)
  blocks = set()
  for cache in (1, 8_000, 1 << 20):
    monkeypatch.setattr(conv1d, '_CACHE', cache)
    blocks.add(len(conv1d._block(given[0][0], 6)))
    got = jax.jit(jax.vmap(_pull(conv1d.convolve_tiles)))(*given)
    for a, b in zip(got, want):
      np.testing.assert_allclose(a, b, atol=3e-6 * np.abs(b).max())
  assert blocks == {1, 3, 6}
