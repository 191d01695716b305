"""Convolution, its batch statistics and its pooling, from matrix products.

A convolution that is mapped over networks and their filters becomes a grouped
convolution, which every backend runs slowly; a dot stays a dot (`tiles`). The
gradients are written by hand. On CPU a few images at a time go through all of
it, so that their values stay in the cache.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nws_jax import say
from nws_jax.zoo.families.cnn import tiles
from nws_jax.zoo.families.layers import DOTS, spread


class Form(NamedTuple):
  """How convolutions are computed; static."""
  tile: int = 0  # most columns of a tile; 0: `choose` sets it for each layer
  cache: int = 0  # bytes that the inputs of all tiles may take, which limits
  #   how many images are computed at a time; 0: all images at once
  toom_cook: bool = False  # in layers that are wide enough for it
  precision: str = 'float32'  # a key of `layers.DOTS`
  skew: bool = False  # of `tiles.stack_rows`

  @property
  def dtype(self) -> jnp.dtype | None:
    """The dtype of values between layers; None: that of the input."""
    return jnp.dtype('bfloat16') if self.precision == 'bfloat16' else None


WHOLE = 1 << 16  # columns: more than any row has, so that a tile is a row
FORMS = {  # by how networks are mapped
    # One after another, on CPU: their values stay in the cache.
    'map': Form(cache=1 << 18, toom_cook=True),
    'vmap': Form(),
}


def find_form(mapped: str, convolution: str, precision: str = 'float32'
              ) -> Form:
  """The form of a program.

  Args:
    mapped: how it maps networks, 'map' or 'vmap'.
    convolution: of the config: 'auto', 'banded' or 'toom_cook'.
    precision: of the config, a key of `layers.DOTS`.
  """
  form = FORMS[mapped]._replace(precision=precision)
  if convolution != 'auto':
    form = form._replace(toom_cook=convolution == 'toom_cook')
  if form.dtype:  # bfloat16 has too few bits for Toom-Cook
    form = form._replace(toom_cook=False)
  if mapped == 'vmap' and precision != 'float32' and not form.toom_cook:
    # Matrix units make products cheap, so the form that copies least is best.
    form = form._replace(tile=WHOLE, skew=True)
  return form


def describe(form: Form) -> str:
  """A form in words, for --plan."""
  return 'convolutions are ' + (
      'by polynomials where layers are wide (Toom-Cook), else '
      if form.toom_cook else '') + 'banded' + (
          f'; a few images at a time, within {say.size(form.cache)}'
          if form.cache else '') + f'; {form.precision}'


class Layer(NamedTuple):
  """What `conv` computes, and how; static."""
  tiling: tiles.Tiling
  pool: bool  # 2 x 2, stride 2
  cache: int = 0  # as in `Form`
  dots: str = 'highest'  # precision of `jax.lax.dot_general`
  skew: bool = False  # as in `Form`


def choose(form: Form, k: int, channels: int, width: int, pool: bool) -> Layer:
  """Decides how a convolution is computed; no other place does.

  Args:
    form: of the program.
    k: filter size.
    channels: of the input.
    width: of the input, in pixels.
    pool: whether the output is pooled.
  """
  # Toom-Cook pays only where its shorter dots are still long enough to be fast.
  toom_cook = (form.toom_cook and not form.tile and k in _TOOM_COOK
               and k * channels >= 40)
  t = min(width, form.tile or (_TOOM_COOK[k] if toom_cook else 4))
  tiling = tiles.Tiling(k, t, toom_cook, pool, t == width and not toom_cook)
  return Layer(tiling, pool, form.cache, DOTS[form.precision], form.skew)


_TOOM_COOK = {3: 4, 5: 4, 7: 2}  # columns of a tile, by filter size


class Statistics(NamedTuple):
  """Of each output channel, over images and pixels, before pooling."""
  mean_O: jax.Array
  variance_O: jax.Array


class _Residuals(NamedTuple):
  """What the gradient of `conv` needs of its forward pass."""
  x: jax.Array  # input
  w: jax.Array  # filter
  y: jax.Array  # output before pooling
  first: jax.Array | None  # of `_pool`; None without pooling
  mean_O: jax.Array


Output = tuple[jax.Array, Statistics]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def conv(x_BxHxWC: jax.Array, filter_OxCxkxk: jax.Array, sign_O: jax.Array,
         layer: Layer) -> Output:
  """Cross-correlation, SAME, stride 1, perhaps pooled; and its statistics.

  Where values of a pooling window are equal, as they all are in blank parts of
  an image, the first one, row by row, takes the gradient, as in TensorFlow and
  PyTorch.

  Args:
    x_BxHxWC: images, each row W*C numbers, channels fastest; the output has
      the same dtype.
    filter_OxCxkxk: k is odd.
    sign_O: 1 where pooling takes the greatest value, -1 where the least.
    layer: how the convolution is computed.

  Returns:
    values [B, H, W*O], or [B, H/2, W/2*O] if pooled; statistics.
  """
  return _conv_fwd(x_BxHxWC, filter_OxCxkxk, sign_O, layer)[0]


def _conv_fwd(x: jax.Array, w: jax.Array, sign: jax.Array, layer: Layer
              ) -> tuple[Output, _Residuals]:
  out, into = w.shape[:2]
  tiling, images = layer.tiling, _count_images(x, into, layer)
  bank = tiles.expand(w, tiling).astype(x.dtype)

  def part(_: None, x: jax.Array) -> tuple[None, tuple[Any, ...]]:
    inputs = tiles.stack_rows(
        tiles.look(x, into, tiling), tiling.k, layer.skew)
    y = tiles.join(_dot(inputs, bank, layer), tiling)
    y = y.reshape(*x.shape[:2], -1)
    wide = y.astype(w.dtype)
    mean = _average(wide, out)
    variance = _average(jnp.square(wide - spread(mean, wide)), out)
    z, first = _pool(y, sign, tiling.t) if layer.pool else (y, None)
    return None, (z, y, first, mean, variance)

  _, (z, y, first, means, variances) = _scan(part, None, x, images)
  # All parts have the same size, so the variance is the mean of the variances
  # of the parts plus the variance of their means.
  mean = means.mean(0)
  variance = variances.mean(0) + jnp.square(means - mean[None]).mean(0)
  return (z, Statistics(mean, variance)), _Residuals(x, w, y, first, mean)


def _conv_bwd(layer: Layer, residuals: _Residuals, cotangents: Output
              ) -> tuple[jax.Array, jax.Array, None]:
  x, w, y, first, mean = residuals
  dz, (dmean, dvariance) = cotangents
  out, into = w.shape[:2]
  tiling, each = layer.tiling, out / y.size
  expand = functools.partial(tiles.expand, tiling=tiling)
  stack = functools.partial(tiles.stack_rows, k=tiling.k, skew=layer.skew)
  bank = expand(w).astype(x.dtype)
  turned = tiles.turn(bank, tiling)
  # The filter's gradient sums products of rows and their stacked neighbours.
  # Those of the outputs are stacked for dx anyway; those of the inputs are
  # stacked instead where they are smaller.
  stack_inputs = bank.shape[1] < turned.shape[1]
  # This stands before the loop: inside, it would be computed again for every
  # copy of a row.
  dy = (dz if first is None else _unpool(dz, first)) + spread(
      dmean * each, y) + spread(2 * each * dvariance, y) * (y - spread(mean, y))
  dy = dy.astype(x.dtype)

  def part(sums: jax.Array, xs: tuple[jax.Array, jax.Array]
           ) -> tuple[jax.Array, jax.Array]:
    x, dy = xs
    ddots = tiles.unjoin(dy.reshape(*dy.shape[:2], -1, tiling.t * out), tiling)
    stacked, inputs = stack(ddots), tiles.look(x, into, tiling)
    sums += (_dot_rows(stack(inputs), ddots, sums.dtype, layer) if stack_inputs
             else _dot_rows(stacked, inputs, sums.dtype, layer))
    return sums, tiles.unlook(_dot(stacked, turned, layer), into, tiling)

  sums, dx = _scan(
      part, jnp.zeros_like(bank if stack_inputs else turned, w.dtype), (x, dy),
      _count_images(x, into, layer))
  dw, = jax.linear_transpose(
      expand if stack_inputs else lambda w: tiles.turn(expand(w), tiling), w)(
          sums)
  return dx, dw, None


conv.defvjp(_conv_fwd, _conv_bwd)


def _count_images(x_BxHxWC: jax.Array, channels: int, layer: Layer) -> int:
  """How many images are computed at a time.

  The largest divisor of B, at most B / 2, whose tile inputs fit the cache.
  """
  b = x_BxHxWC.shape[0]
  if not layer.cache:
    return b
  values = layer.tiling.k * jax.eval_shape(functools.partial(
      tiles.look, channels=channels, tiling=layer.tiling), x_BxHxWC).size
  most = max(1, min(layer.cache * b // values // 4, b // 2))
  return max(n for n in range(1, most + 1) if b % n == 0)


def _scan(fn: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any,
          images: int) -> tuple[Any, Any]:
  """`jax.lax.scan` over parts of `images` images each.

  Results with an axis of images are joined along it; others get an axis of
  parts.
  """
  b = jax.tree.leaves(xs)[0].shape[0]
  carry, ys = jax.lax.scan(fn, carry, jax.tree.map(
      lambda x: x.reshape(-1, images, *x.shape[1:]), xs))
  return carry, jax.tree.map(
      lambda y: y.reshape(b, *y.shape[2:]) if y.ndim > 2 else y, ys)


def _dot(x_pxBxHxnxF: jax.Array, bank_pxFxN: jax.Array, layer: Layer
         ) -> jax.Array:
  """Products with the matrix of each point: [p, B, H, n, N]."""
  p, *rows, width = x_pxBxHxnxF.shape
  y = jax.lax.dot_general(
      x_pxBxHxnxF.reshape(p, -1, width), bank_pxFxN,
      (((2,), (1,)), ((0,), (0,))), precision=layer.dots)
  return y.reshape(p, *rows, -1)


def _dot_rows(x_pxBxHxnxF: jax.Array, dy_pxBxHxnxN: jax.Array,
              dtype: jnp.dtype, layer: Layer) -> jax.Array:
  """Products summed over images, rows and tiles: [p, F, N]."""
  x, dy = (z.reshape(z.shape[0], -1, z.shape[-1])
           for z in (x_pxBxHxnxF, dy_pxBxHxnxN))
  return jax.lax.dot_general(
      x, dy, (((1,), (1,)), ((0,), (0,))), precision=layer.dots,
      preferred_element_type=dtype)


def _windows(y_BxHxWO: jax.Array, t: int, out: int) -> jax.Array:
  """Rows and columns of the pooling windows: [B, H/2, 2, n, 2, t/2*O]."""
  b, h, _ = y_BxHxWO.shape
  return y_BxHxWO.reshape(b, h // 2, 2, -1, 2, t // 2 * out)


def _pool(y: jax.Array, sign_O: jax.Array, t: int
          ) -> tuple[jax.Array, jax.Array]:
  """(pooled values, which of the four each is), from columns in `halves`
  order."""
  y = _windows(y, t, len(sign_O))
  sign = jnp.tile(sign_O.astype(y.dtype), t // 2)[None, None, None]
  four = [y[:, :, row, :, column] * sign
          for row in (0, 1) for column in (0, 1)]
  high = functools.reduce(jnp.maximum, four)
  first = functools.reduce(
      lambda found, n: jnp.where(four[n] == high, n, found), (2, 1, 0),
      jnp.asarray(3, y.dtype))
  return (high * sign).reshape(*high.shape[:2], -1), first


def _unpool(dz: jax.Array, first: jax.Array) -> jax.Array:
  """Gradient of `_pool`: [B, H, W*O]."""
  b, h, n, half = first.shape
  place = jnp.arange(4, dtype=first.dtype).reshape(1, 1, 2, 1, 2, 1)
  return jnp.where(first[:, :, None, :, None] == place,
                   dz.reshape(b, h, 1, n, 1, half), 0).reshape(b, 2 * h, -1)


def _average(x: jax.Array, channels: int) -> jax.Array:
  """The mean of each channel. Whole rows of W*C numbers are summed first."""
  sums = x.sum(tuple(range(x.ndim - 1)))
  return sums.reshape(-1, channels).sum(0) * (channels / x.size)
