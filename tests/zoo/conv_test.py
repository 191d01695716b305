import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax import space
from nws_jax.store import vectors
from nws_jax.zoo import conv, dataset, population, train

CASES = [(k, t, halves) for k in (1, 3, 5, 7) for t in (1, 2, 8, 16)
         for halves in (False, True) if t > 1 or not halves]


def make(k, b=2, size=16, c=3, out=4):
  rng = np.random.default_rng(k)
  return (rng.standard_normal((b, size, size, c)),
          rng.standard_normal((out, c, k, k)))


def plain(x, w):
  return jax.lax.conv_general_dilated(
      x, w, (1, 1), 'SAME', dimension_numbers=('NHWC', 'OIHW', 'NHWC'))


def ours(x, w, t, halves):
  b, h, width, c = x.shape
  y = conv.conv(x.reshape(b, h, width * c), w, t, halves)
  if halves:
    y = conv._interleave(y, t, len(w))
  return y.reshape(b, h, width, len(w))


@pytest.mark.parametrize('k, t, halves', CASES)
def test_values_and_gradients_of_the_plain_convolution(k, t, halves):
  with jax.enable_x64(True):
    x, w = map(jnp.asarray, make(k))
    both = [f(x, w) for f in (
        plain, functools.partial(ours, t=t, halves=halves))]
    np.testing.assert_allclose(*both, atol=1e-12)
    cotangent = jnp.asarray(np.random.default_rng(9).standard_normal(
        both[0].shape))
    grads = [jax.vjp(f, x, w)[1](cotangent) for f in (
        plain, functools.partial(ours, t=t, halves=halves))]
    for a, b in zip(*grads):
      np.testing.assert_allclose(a, b, atol=1e-11)


@pytest.mark.parametrize('t', (2, 8, 16))
def test_pooling_after_halves(t):
  x, w = make(3)
  y = conv.conv(jnp.asarray(x.reshape(2, 16, -1)), jnp.asarray(w), t, True)
  got = conv.max_pool(y, t, 4).reshape(2, 8, 8, 4)
  want = np.asarray(plain(x, w)).reshape(2, 8, 2, 8, 2, 4).max((2, 4))
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('form', ('map', 'vmap'))
def test_a_compiled_training_step_holds_no_convolution(form):
  """Mapped over networks it would become a grouped one, the slow form."""
  arch = vectors.envelop([space.Architecture(5, 4, 2, 4, 16),
                          space.Architecture(3, 4, 3, 2, 16)])
  static = train.Static(arch, 4, 0.96, 'running', False, 4, 0,
                        space.ACTIVATIONS[:4], 'float32')
  n = np.arange(2, dtype=np.int32)
  networks = train.Network(
      n, 0 * n, n * 1e-3, n * 0.1, n * 0.1, n > 0, n, n, n, n >= 0,
      vectors.Sizes(*map(np.stack, zip(*(
          vectors.sizes(a, arch) for a in arch.members)))))
  data = dataset.Data(
      np.zeros((39, 32, 32, 3), np.uint8), np.arange(39, dtype=np.int32) % 10,
      *np.array([[0], [30], [2], [10], [30], [9], [9]], np.int32))
  key = jax.random.key(0)

  def epoch(networks, data):
    def one(network):
      return train.run_epoch(static, 30, key, network,
                             train.init(static, key, network), False, data)
    return population.over(one, form)(networks)

  text = jax.jit(epoch).lower(networks, data).as_text()
  assert 'dot_general' in text
  for name in ('convolution', 'select_and_scatter', 'reduce_window'):
    assert name not in text
