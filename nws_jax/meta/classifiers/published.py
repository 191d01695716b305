"""Meta-classifiers as Flax modules: the published 1-D CNNs, and a fast one.

Each is an (init, apply) pair for `fit`; all keep running statistics, or what
they took from the training windows, and use them at test time, so that a
window's score does not depend on its neighbours in a batch.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from nws_jax.meta import settings
from nws_jax.meta.classifiers import conv1d, equivariant, transformer
from nws_jax.meta.training import fit

SMALL_UP_TO = 40_000  # longest window of the smaller published CNN
CNN_SHORTEST = 16  # what its poolings leave at least one position of
_POOL = 0


def plan_cnn(length):
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


def count_flops(length, outputs):
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


class _Conv(nn.Module):
  """`conv1d.layer`; `norm` is what `BatchNorm` says of its input."""
  channels: int

  @nn.compact
  def __call__(self, x_BxLxC, norm, pools):
    kernel = self.param('kernel', nn.initializers.glorot_normal(),
                        (conv1d.WIDTH, x_BxLxC.shape[-1], self.channels))
    bias_O = self.param('bias', nn.initializers.zeros, (self.channels,))
    return conv1d.layer(x_BxLxC, conv1d.Weights(*norm, kernel, bias_O), pools)


class BatchNorm(nn.Module):
  """Told as a factor and a shift of each channel, for who applies it.

  Scales start around 1 as in TensorLayer 1.x (recipe, section 5).
  """

  @nn.compact
  def __call__(self, sums_2xC, count, train):
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
  """The published classifier of windows [B, L]; its form follows from L.

  Glorot-normal kernels, convolution -> ReLU -> batch norm; dense layers are
  followed by dropout too. Released code: docs/recipe.md, section 12. Unlike
  there, stored statistics are used at test time for both forms.
  """
  outputs: int

  @nn.compact
  def __call__(self, windows_BxL, train):
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


class Fast(nn.Module):
  """A small perceptron on `features.describe`, encoded piecewise linearly.

  Each feature becomes `bins` numbers that tell how far it lies through each
  interval between quantiles of the training windows, which makes features of
  any scale comparable and lets a small network resolve fine differences
  (Gorishniy et al., arXiv 2203.05556). What a window lacks is all zero; so is,
  in training, a random share of the features, each with all of its numbers.
  """
  outputs: int
  hidden: int = 32
  bins: int = 6

  @nn.compact
  def __call__(self, features_BxF, train, encoded=False):
    x = features_BxF
    if not encoded:
      x = encode(x, self.variable(
          'encoder', 'knots', lambda: jnp.nanquantile(
              x, jnp.linspace(0, 1, self.bins + 1), axis=0)).value)
    # Whole features, all of their intervals.
    x = x.reshape(x.shape[0], self.bins, -1)
    x = nn.Dropout(0.3, broadcast_dims=(1,), deterministic=not train)(x)
    x = x.reshape(x.shape[0], -1)
    x = nn.relu(nn.Dense(self.hidden)(x))
    x = nn.Dropout(0.5, deterministic=not train)(x)
    return nn.Dense(self.outputs)(x)


def encode(features_BxF, knots_QxF):
  """How far each feature lies through each interval: [B, (Q - 1) * F]."""
  low, high = knots_QxF[None, :-1], knots_QxF[None, 1:]
  x = (features_BxF[:, None] - low) / jnp.maximum(high - low, 1e-9)
  x = 2 * jnp.clip(x, 0, 1) - 1
  return jnp.where(jnp.isfinite(x), x, 0).reshape(x.shape[0], -1)


def make(name, outputs, form=()):
  """The (init, apply) pair of a classifier, as `fit.Classifier`.

  Args:
    name: of a classifier that is a Flax module.
    outputs: classes, or 1.
    form: what else its module takes.
  """
  module = {
      settings.CNN: Cnn, settings.FAST: Fast,
      settings.TRANSFORMER: transformer.Transformer,
      settings.EQUIVARIANT: equivariant.Equivariant}[name](outputs, *form)

  def init(key, inputs):
    return dict(module.init(key, inputs, train=False))

  def apply(variables, inputs, key):
    if key is None:
      return module.apply(variables, inputs, train=False), variables
    outputs, changed = module.apply(
        variables, inputs, train=True, rngs={'dropout': key},
        mutable=['batch_stats'])
    return outputs, {**variables, **changed}

  return fit.Classifier(init, apply)
