import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax import published, space
from nws_jax.zoo import dataset, population, train
from nws_jax.zoo.families import cnn as families_cnn
from nws_jax.zoo.families import interface
from nws_jax.zoo.families.cnn import conv, shapes, tiles

FORMS = (conv.Form(), conv.Form(tile=16), conv.Form(tile=2, cache=1 << 16),
         conv.Form(cache=1 << 18, toom_cook=True),
         conv.Form(skew=True))
CASES = [(k, form, pool) for k in (1, 3, 5, 7) for form in FORMS
         for pool in (False, True)] + [(11, FORMS[0], True)]


def make(k, b=6, size=16, c=14, out=4):
  """Images of which one is blank, a filter, which values to pool."""
  rng = np.random.default_rng(k)
  x = rng.standard_normal((b, size, size, c))
  x[0] = 0  # of equal values under a window the first has the gradient
  return x, rng.standard_normal((out, c, k, k)), np.array([1., -1, 1, -1])


def plain(x, w, sign, pool):
  """What the library says: values, mean and variance."""
  y = jax.lax.conv_general_dilated(
      x, w, (1, 1), 'SAME', dimension_numbers=('NHWC', 'OIHW', 'NHWC'))
  statistics = y.mean((0, 1, 2)), y.var((0, 1, 2))
  sign = sign.reshape(1, 1, 1, -1)
  return (sign * nn.max_pool(sign * y, (2, 2), (2, 2)) if pool else y,
          *statistics)


def ours(x, w, sign, pool, form):
  b, size, _, c = x.shape
  layer = conv.choose(form, w.shape[-1], c, size, pool)
  z, statistics = conv.conv(x.reshape(b, size, -1), w, sign, layer)
  return z.reshape(b, z.shape[1], z.shape[1], -1), *statistics


@pytest.mark.parametrize('k, form, pool', CASES)
def test_values_and_gradients_of_the_plain_convolution(k, form, pool):
  with jax.enable_x64(True):
    x, w, sign = map(jnp.asarray, make(k))
    routes = [functools.partial(f, sign=sign, pool=pool) for f in (
        plain, functools.partial(ours, form=form))]
    values, backs = zip(*(jax.vjp(f, x, w) for f in routes))
    rng = np.random.default_rng(9)
    cotangents = tuple(jnp.asarray(rng.standard_normal(v.shape))
                       for v in values[0])
    grads = [back(cotangents) for back in backs]
    for a, b in zip(*(jax.tree.leaves(v) for v in zip(values, grads))):
      np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_the_forms_that_the_cases_meant():
  layers = [conv.choose(form, k, 14, 16, True) for k, form, _ in CASES]
  assert {la.tiling.toom_cook for la in layers} == {True, False}
  x = jnp.zeros((6, 16, 16 * 14))
  assert len({conv._count_images(x, 14, la) for la in layers}) > 2


@pytest.mark.parametrize('k, t', ((3, 4), (5, 4), (7, 2)))
def test_float32_is_as_good_by_polynomials(k, t):
  """Their rounding errors against those of the same sums in float64."""
  x, w, sign = make(k)
  form = conv.Form(cache=1 << 18, toom_cook=True)
  assert conv.choose(form, k, 14, 16, False).tiling == tiles.Tiling(k, t, True)
  got = ours(*(jnp.asarray(v, jnp.float32) for v in (x, w, sign)), False, form)
  with jax.enable_x64(True):
    want = plain(*map(jnp.asarray, (x, w, sign)), False)
  for a, b in zip(got, want):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize('precision, limit', (
    ('float32', 1e-5), ('tf32', 5e-3), ('bfloat16', 1e-2)))
def test_less_precise_dots_are_near(precision, limit):
  """Unpooled: of values, statistics and gradients, by their norms."""
  form = conv.find_form('vmap', 'auto', precision)
  x, w, sign = (jnp.asarray(v, jnp.float32) for v in make(5))
  x = x.astype(form.dtype or x.dtype)
  with jax.enable_x64(True):
    rng = np.random.default_rng(9)
    cotangents = [rng.standard_normal(shape) for shape in (
        (*x.shape[:3], len(w)), sign.shape, sign.shape)]
    found = []
    for fn, kind in ((functools.partial(plain, pool=False), np.float64),
                     (functools.partial(ours, pool=False, form=form), None)):
      values, back = jax.vjp(functools.partial(fn, sign=sign), *(
          v.astype(kind or v.dtype) for v in (x, w)))
      grads = back(tuple(jnp.asarray(c, v.dtype)
                         for c, v in zip(cotangents, values)))
      found.append([np.asarray(v, np.float64) for v in (*values, *grads)])
  for want, got in zip(*found):
    assert np.linalg.norm(got - want) <= limit * np.linalg.norm(want)


@pytest.mark.parametrize('form', ('map', 'vmap'))
def test_a_compiled_training_step_holds_no_convolution(form):
  """Mapped over networks it would become a grouped one, the slow form."""
  arch = interface.envelop([published.Architecture(5, 4, 2, 4, 16),
                          published.Architecture(3, 4, 3, 2, 16)])
  static = train.Static(arch, 4, 0.96, 'running', False, 4, 0,
                        space.ACTIVATIONS[:4], 'float32', conv.FORMS[form])
  n = np.arange(2, dtype=np.int32)
  networks = train.Network(
      n, 0 * n, n * 1e-3, n * 0.1, n > 0, n, n >= 0, families_cnn.Settings(
          n, n * 0.1, n, shapes.Sizes(*map(np.stack, zip(*(
              shapes.sizes(a, arch) for a in arch.members))))))
  data = dataset.Data(
      np.zeros((39, 32, 32, 3), np.uint8), np.arange(39, dtype=np.int32) % 10,
      *np.array([[0], [30], [2], [10], [30], [9], [9]], np.int32))
  key = jax.random.key(0)

  def epoch(networks, data):
    def one(network):
      return train.run_epoch(train.Task(static, 30, key, network, data),
                             train.init(static, key, network), False)
    return population.over(one, form)(networks)

  text = jax.jit(epoch).lower(networks, data).as_text()
  assert 'dot_general' in text
  for name in ('convolution', 'select_and_scatter', 'reduce_window'):
    assert name not in text
