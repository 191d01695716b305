"""The published classifiers: 1-D CNNs on windows of weights.

Running statistics are kept and used at test time, so that the outputs of a
window do not depend on its neighbours in a batch.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from nws_jax.meta.classifiers import conv1d, interface
from nws_jax.meta.data import regions, windows
from nws_jax.meta.data.windows import Array

SMALL_UP_TO = 40_000  # longest window of the smaller published CNN
SHORTEST = 16  # window of which the poolings leave one position
_POOL = 0


def plan_cnn(length: int) -> tuple[int, ...]:
  """Channels of each convolution; 0 is a pooling (recipe, section 12)."""
  if length > SMALL_UP_TO:
    return (8, 0, 16, 0, 32, 0, 64, 0) + 5 * (128, 0) + (
        128, 256, 0, 256, 256, 0, 256, 256, 0)
  layers, length = [8, 0, 16, 0, 32, 64, 0, 128, 256], length // 8
  for _ in range(6):
    if length > 50:
      layers, length = layers + [_POOL], length // 2
    layers.append(256)
  return tuple(layers) + (_POOL,)


def count_flops(length: int, outputs: int) -> int:
  """Multiplications and additions of one window through the published CNN."""
  flops, into = 0, 1
  for out in plan_cnn(length):
    if out == _POOL:
      length //= 2
    else:
      flops, into = flops + 2 * conv1d.WIDTH * length * into * out, out
  into *= length
  for out in _HEAD + (outputs,):
    flops, into = flops + 2 * into * out, out
  return flops


_HEAD = (1024, 1024, 1024, 1024, 64)


class Shape(NamedTuple):
  """The static part of the inputs."""
  length: int  # of a window
  even: int  # evenly spaced windows that decide together


def find_shape(place: regions.Place) -> Shape:
  return Shape(place.spec.length, place.num_even)


def share(place: regions.Place, shape: Any) -> tuple[Any, ...]:
  """(Source, low_M, high_M): what models that see windows share."""
  del shape
  return (place.source, jnp.asarray(place.region.low_M),
          jnp.asarray(place.region.high_M))


def make_view(shape: Shape) -> interface.View:
  """The `View` of the windows themselves: a new start at each use."""
  def pick(shared: Any, key: jax.Array, m_B: Array,
           e_B: Array) -> jax.Array:
    source, low_M, high_M = shared
    starts_B = windows.draw_starts(key, low_M[m_B], high_M[m_B], shape.length)
    return jax.vmap(lambda m, e, s: windows.window(
        source.weights_MxExP, m, e, s, shape.length))(m_B, e_B, starts_B)

  def grid(shared: Any, m: Array, e: Array) -> jax.Array:
    source, low_M, high_M = shared
    starts_S = windows.space_starts(
        low_M[m], high_M[m], shape.length, shape.even)
    return jax.vmap(lambda s: windows.window(
        source.weights_MxExP, m, e, s, shape.length))(starts_S)

  return interface.View(pick, grid)


INPUTS = interface.Vectors(find_shape, make_view, share)


def make_module(outputs: int, shape: Any = None) -> nn.Module:
  del shape  # it follows from the inputs
  return Cnn(outputs)


class _Conv(nn.Module):
  """`conv1d.layer`; `norm` are the factor and shift of its input."""
  channels: int

  @nn.compact
  def __call__(self, x_BxLxC: jax.Array, norm: tuple[jax.Array, jax.Array],
               pools: int) -> tuple[jax.Array, jax.Array]:
    kernel = self.param('kernel', nn.initializers.glorot_normal(),
                        (conv1d.WIDTH, x_BxLxC.shape[-1], self.channels))
    bias_O = self.param('bias', nn.initializers.zeros, (self.channels,))
    return conv1d.layer(x_BxLxC, conv1d.Weights(*norm, kernel, bias_O), pools)


class BatchNorm(nn.Module):
  """Gives a factor and a shift of each channel, for its caller to apply.

  Scales start around 1 as in TensorLayer 1.x (recipe, section 5).
  """

  @nn.compact
  def __call__(self, sums_2xC: jax.Array, count: int, train: bool
               ) -> tuple[jax.Array, jax.Array]:
    """(factor, shift), from sums of `count` values and of their squares."""
    width = sums_2xC.shape[1:]
    scale_C = self.param('scale', lambda key: (
        1 + 0.002 * jax.random.normal(key, width)))
    bias_C = self.param('bias', nn.initializers.zeros, width)
    mean = self.variable('batch_stats', 'mean', jnp.zeros, width)
    var = self.variable('batch_stats', 'var', jnp.ones, width)
    mean_C, var_C = mean.value, var.value
    if train:
      mean_C, square_C = sums_2xC / count
      var_C = jnp.maximum(square_C - mean_C**2, 0)
      mean.value = 0.9 * mean.value + 0.1 * mean_C
      var.value = 0.9 * var.value + 0.1 * var_C
    factor_C = scale_C * jax.lax.rsqrt(var_C + 1e-5)
    return factor_C, bias_C - mean_C * factor_C


class Cnn(nn.Module):
  """The published classifier of windows [B, L]; its layers follow from L.

  Glorot-normal kernels, convolution -> ReLU -> batch norm; dense layers are
  followed by dropout too. Released code: docs/recipe.md, section 12. Unlike
  there, stored statistics are used at test time for both forms.
  """
  outputs: int

  @nn.compact
  def __call__(self, windows_BxL: jax.Array, train: bool) -> jax.Array:
    dense = functools.partial(
        nn.Dense, kernel_init=nn.initializers.glorot_normal())
    x, norm, pools = windows_BxL[:, :, None], (jnp.ones(1), jnp.zeros(1)), 0
    for channels in plan_cnn(windows_BxL.shape[1]):
      if channels == _POOL:
        pools += 1
      else:
        x, sums = _Conv(channels)(x, norm, pools)
        norm = BatchNorm()(sums, x.shape[0] * x.shape[1], train)
        pools = 0
    x = conv1d.settle(x, *norm, pools).reshape(x.shape[0], -1)
    for width in _HEAD:
      x = nn.relu(dense(width)(x))
      factor, shift = BatchNorm()(
          jnp.stack([x.sum(0), (x**2).sum(0)]), x.shape[0], train)
      x = nn.Dropout(0.5, deterministic=not train)(
          x * factor[None] + shift[None])
    return dense(self.outputs)(x)
