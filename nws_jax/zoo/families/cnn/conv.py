"""Convolution, its batch statistics and its pooling, from plain dots.

A convolution mapped over networks with its filters becomes a grouped
convolution, which every backend runs badly; a dot stays a dot (`tiles`).
Gradients are spelled out. On CPU everything is done a few images at a time, so
that it stays in the cache.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nws_jax import say
from nws_jax.zoo.families.cnn import tiles
from nws_jax.zoo.families.layers import DOTS, spread


class Form(NamedTuple):
  """How convolutions are computed; static."""
  tile: int = 0  # columns a tile, at most; 0: `choose` has it by the layer
  cache: int = 0  # bytes of what tiles look at, images being taken in parts; 0:
  #   all at once
  toom_cook: bool = False  # where layers are wide enough for it
  precision: str = 'float32'  # of `layers.DOTS`
  skew: bool = False  # of `tiles.stack_rows`

  @property
  def dtype(self):
    """What the layers' values are kept as; None: as they come."""
    return jnp.bfloat16 if self.precision == 'bfloat16' else None


WHOLE = 1 << 16  # columns: a tile is a row
FORMS = {  # by how networks are mapped
    # One after another, on CPU: in the cache.
    'map': Form(cache=1 << 18, toom_cook=True),
    'vmap': Form(),
}


def find_form(mapped, convolution, precision='float32'):
  """The `Form` of programs that map networks by 'map' or 'vmap', where a config
  has `convolution`: 'auto', or a word of `tiles`; and a `precision`."""
  form = FORMS[mapped]._replace(precision=precision)
  if convolution != 'auto':
    form = form._replace(toom_cook=convolution == 'toom_cook')
  if form.dtype:  # too few bits for polynomials
    form = form._replace(toom_cook=False)
  if mapped == 'vmap' and precision != 'float32' and not form.toom_cook:
    # Units for matrices make products cheap: what copies least is fastest.
    form = form._replace(tile=WHOLE, skew=True)
  return form


def describe(form):
  """A `Form` in words."""
  return 'convolutions are ' + (
      'by polynomials where layers are wide (Toom-Cook), else '
      if form.toom_cook else '') + 'banded' + (
          f'; a few images at a time, within {say.size(form.cache)}'
          if form.cache else '') + f'; {form.precision}'


class Layer(NamedTuple):
  """What `conv` computes; static."""
  tiling: tiles.Tiling
  pool: bool  # 2 x 2, stride 2
  cache: int = 0  # as of `Form`
  dots: str = 'highest'  # precision
  skew: bool = False  # as of `Form`


def choose(form, k, channels, width, pool):
  """The `Layer` of a convolution: the one place that decides how it is done.

  Args:
    form: `Form`.
    k: filter size.
    channels: of its input.
    width: of its rows, in pixels.
    pool: whether it is pooled.
  """
  # Fewer products pay where a dot is long enough to be fast without them.
  toom_cook = (form.toom_cook and not form.tile and k in _TOOM_COOK
               and k * channels >= 40)
  t = min(width, form.tile or (_TOOM_COOK[k] if toom_cook else 4))
  tiling = tiles.Tiling(k, t, toom_cook, pool, t == width and not toom_cook)
  return Layer(tiling, pool, form.cache, DOTS[form.precision], form.skew)


_TOOM_COOK = {3: 4, 5: 4, 7: 2}  # columns a tile, by the filter size


class Statistics(NamedTuple):
  """Of the convolution's values, before pooling, over all but channels."""
  mean_O: jnp.ndarray
  variance_O: jnp.ndarray


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def conv(x_BxHxWC, filter_OxCxkxk, sign_O, layer):
  """SAME, stride-1 cross-correlation, perhaps pooled; and its statistics.

  Of equal values under a window the first one, row by row, has the gradient, as
  in TensorFlow and PyTorch: where an image is blank all are equal.

  Args:
    x_BxHxWC: images, each row W*C numbers, channels fastest; their dtype is
      that of all values between layers.
    filter_OxCxkxk: k odd.
    sign_O: 1 where pooling takes the greatest value, -1 where the least.
    layer: `Layer`.

  Returns:
    values [B, H, W*O], or [B, H/2, W/2*O] if pooled; `Statistics`.
  """
  return _conv_fwd(x_BxHxWC, filter_OxCxkxk, sign_O, layer)[0]


def _conv_fwd(x, w, sign, layer):
  out, into = w.shape[:2]
  tiling, images = layer.tiling, _count_images(x, into, layer)
  bank = tiles.expand(w, tiling).astype(x.dtype)

  def part(_, x):
    looked = tiles.stack_rows(
        tiles.look(x, into, tiling), tiling.k, layer.skew)
    y = tiles.join(_dot(looked, bank, layer), tiling)
    y = y.reshape(*x.shape[:2], -1)
    wide = y.astype(w.dtype)
    mean = _average(wide, out)
    variance = _average(jnp.square(wide - spread(mean, wide)), out)
    z, first = _pool(y, sign, tiling.t) if layer.pool else (y, None)
    return None, (z, y, first, mean, variance)

  _, (z, y, first, means, variances) = _scan(part, None, x, images)
  # Parts of equal size: their variances, and that of their means.
  mean = means.mean(0)
  variance = variances.mean(0) + jnp.square(means - mean[None]).mean(0)
  return (z, Statistics(mean, variance)), (x, w, y, first, mean)


def _conv_bwd(layer, residuals, cotangents):
  x, w, y, first, mean = residuals
  dz, (dmean, dvariance) = cotangents
  out, into = w.shape[:2]
  tiling, each = layer.tiling, out / y.size
  expand = functools.partial(tiles.expand, tiling=tiling)
  stack = functools.partial(tiles.stack_rows, k=tiling.k, skew=layer.skew)
  bank = expand(w).astype(x.dtype)
  turned = tiles.turn(bank, tiling)
  # The filter's gradient sums products of rows and their neighbours: of the
  # outputs' rows, which dx looks at too, or of the inputs' where they are less.
  few = bank.shape[1] < turned.shape[1]
  # Before the loop: inside, it would be computed again for every row's copy.
  dy = (_unpool(dz, first) if layer.pool else dz) + spread(
      dmean * each, y) + spread(2 * each * dvariance, y) * (y - spread(mean, y))
  dy = dy.astype(x.dtype)

  def part(sums, xs):
    x, dy = xs
    ddots = tiles.unjoin(dy.reshape(*dy.shape[:2], -1, tiling.t * out), tiling)
    stacked, looked = stack(ddots), tiles.look(x, into, tiling)
    sums += (_dot_rows(stack(looked), ddots, sums.dtype, layer) if few
             else _dot_rows(stacked, looked, sums.dtype, layer))
    return sums, tiles.unlook(_dot(stacked, turned, layer), into, tiling)

  sums, dx = _scan(
      part, jnp.zeros_like(bank if few else turned, w.dtype), (x, dy),
      _count_images(x, into, layer))
  dw, = jax.linear_transpose(
      expand if few else lambda w: tiles.turn(expand(w), tiling), w)(sums)
  return dx, dw, None


conv.defvjp(_conv_fwd, _conv_bwd)


def _count_images(x_BxHxWC, channels, layer):
  """How many are taken at a time: of the divisors of B, below B if it can be,
  the largest that fits the cache."""
  b = x_BxHxWC.shape[0]
  if not layer.cache:
    return b
  looked = layer.tiling.k * jax.eval_shape(functools.partial(
      tiles.look, channels=channels, tiling=layer.tiling), x_BxHxWC).size
  most = max(1, min(layer.cache * b // looked // 4, b // 2))
  return max(n for n in range(1, most + 1) if b % n == 0)


def _scan(fn, carry, xs, images):
  """`jax.lax.scan` over parts of so many images.

  Results of images are joined, others have an axis of parts.
  """
  b = jax.tree.leaves(xs)[0].shape[0]
  carry, ys = jax.lax.scan(fn, carry, jax.tree.map(
      lambda x: x.reshape(-1, images, *x.shape[1:]), xs))
  return carry, jax.tree.map(
      lambda y: y.reshape(b, *y.shape[2:]) if y.ndim > 2 else y, ys)


def _dot(x_pxBxHxnxF, bank_pxFxN, layer):
  """[p, B, H, n, N]"""
  p, *rows, width = x_pxBxHxnxF.shape
  y = jax.lax.dot_general(
      x_pxBxHxnxF.reshape(p, -1, width), bank_pxFxN,
      (((2,), (1,)), ((0,), (0,))), precision=layer.dots)
  return y.reshape(p, *rows, -1)


def _dot_rows(x_pxBxHxnxF, dy_pxBxHxnxN, dtype, layer):
  """[p, F, N]: sums over all rows."""
  x, dy = (z.reshape(z.shape[0], -1, z.shape[-1])
           for z in (x_pxBxHxnxF, dy_pxBxHxnxN))
  return jax.lax.dot_general(
      x, dy, (((1,), (1,)), ((0,), (0,))), precision=layer.dots,
      preferred_element_type=dtype)


def _windows(y_BxHxWO, t, out):
  """[B, H/2, 2, n, 2, t/2*O]: rows and columns of the pooled windows."""
  b, h, _ = y_BxHxWO.shape
  return y_BxHxWO.reshape(b, h // 2, 2, -1, 2, t // 2 * out)


def _pool(y, sign_O, t):
  """(pooled, which of the four was taken), of `halves` order."""
  y = _windows(y, t, len(sign_O))
  sign = jnp.tile(sign_O.astype(y.dtype), t // 2)[None, None, None]
  four = [y[:, :, row, :, column] * sign
          for row in (0, 1) for column in (0, 1)]
  high = functools.reduce(jnp.maximum, four)
  first = functools.reduce(
      lambda found, n: jnp.where(four[n] == high, n, found), (2, 1, 0),
      jnp.asarray(3, y.dtype))
  return (high * sign).reshape(*high.shape[:2], -1), first


def _unpool(dz, first):
  """Gradient of `_pool`: [B, H, W*O]."""
  b, h, n, half = first.shape
  place = jnp.arange(4, dtype=first.dtype).reshape(1, 1, 2, 1, 2, 1)
  return jnp.where(first[:, :, None, :, None] == place,
                   dz.reshape(b, h, 1, n, 1, half), 0).reshape(b, 2 * h, -1)


def _average(x, channels):
  """Of each channel. Sums run over whole rows first: W*C numbers, not C."""
  sums = x.sum(tuple(range(x.ndim - 1)))
  return sums.reshape(-1, channels).sum(0) * (channels / x.size)
