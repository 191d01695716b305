"""Building blocks of networks that families share; each is for ONE network."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import layout
from nws_jax.zoo import initializers
from nws_jax.zoo.families import interface

_FEW = 500  # images of which a network predicts the logits at once
EPSILON, MOMENTUM = 1e-5, 0.9  # of batch norm (TensorLayer's defaults)
# {precision of the config: that of `jax.lax.dot_general`}. Dots sum in float32,
# and weights, batch statistics and the optimizer are float32, in all of them.
DOTS = {'float32': 'highest', 'tf32': 'high', 'bfloat16': 'default'}

Statistics = tuple[jax.Array, jax.Array]  # mean and variance of each channel


class Settings(NamedTuple):
  """What varies between the networks of a program."""
  activation: Any  # index into the program's activations
  dropout: Any  # rate
  initialization: Any  # index into `initializers.INITIALIZERS`


def settings(choices: interface.Choices, rows: Sequence[interface.Row]
             ) -> Settings:
  """`Settings` of NumPy arrays [M]; see `interface.Family.settings`."""
  words = list(initializers.INITIALIZERS)
  return Settings(
      np.asarray([choices['activation'].index(row['activation'])
                  for row in rows], np.int32),
      np.asarray([row['dropout'] for row in rows], np.float32),
      np.asarray([words.index(row['initialization']) for row in rows],
                 np.int32))


def name_activations(choices: interface.Choices) -> Hashable:
  """The names that `Settings.activation` chooses from."""
  return choices['activation']


def predict(predict_batch: Callable[[np.ndarray], jax.Array],
            images_NxHxWxC: np.ndarray, num_logits: int) -> jax.Array:
  """Logits float32 [N, K] of images, by a function of a few of them."""
  logits = [predict_batch(images_NxHxWxC[n:n + _FEW])
            for n in range(0, len(images_NxHxWxC), _FEW)]
  return jnp.concatenate(logits or [jnp.zeros((0, num_logits))])


class Form(NamedTuple):
  """How dots are computed; static."""
  precision: str = 'float32'  # a key of `DOTS`

  @property
  def dtype(self) -> jnp.dtype | None:
    """The dtype of values between layers; None: that of the input."""
    return jnp.dtype('bfloat16') if self.precision == 'bfloat16' else None


def dense(x: jax.Array, part: Mapping[str, jax.Array], form: Form) -> jax.Array:
  """[B, ...] -> [B, out], in the kernel's dtype.

  Inputs beyond those of the kernel are ignored.
  """
  kernel = part['kernel']
  x = x.reshape(x.shape[0], -1)[:, :kernel.shape[1]]
  y = jax.lax.dot_general(
      x.astype(form.dtype or x.dtype),
      kernel.astype(form.dtype or kernel.dtype), (((1,), (1,)), ((), ())),
      precision=DOTS[form.precision],
      preferred_element_type=kernel.dtype)
  return y + row(part['bias'], y.ndim)


def normalize(x: jax.Array, part: Mapping[str, jax.Array], mean: jax.Array,
              variance: jax.Array) -> jax.Array:
  """Batch norm over all but the channels, which repeat along the last axis."""
  scale = part['scale'] * jax.lax.rsqrt(variance + EPSILON)
  return ((x - spread(mean, x)) * spread(scale, x)
          + spread(part['offset'], x)).astype(x.dtype)


def measure(x_BxF: jax.Array) -> Statistics:
  """Mean and variance of each feature over the batch."""
  mean = x_BxF.mean(0)
  return mean, jnp.square(x_BxF - mean[None]).mean(0)


def row(vector: jax.Array, rank: int) -> jax.Array:
  """A vector along the last of `rank` axes."""
  return vector.reshape((1,) * (rank - 1) + (-1,))


def dropout(key: jax.Array, x_BxF: jax.Array, rate: jax.Array) -> jax.Array:
  """Sets a share of the features to 0; the draws of a narrower layer are a
  prefix of those of a wider one."""
  keep = jax.random.bernoulli(key, 1 - rate, x_BxF.shape[::-1]).T
  return jnp.where(keep, x_BxF / (1 - rate), 0)


def update_running(parts: layout.Parts, batch: Mapping[str, Statistics]
                   ) -> layout.Parts:
  """The running statistics after a batch: {layer: {tensor: array}}.

  Args:
    parts: the network, as `Layout.split` gives it.
    batch: {layer: (mean, variance)} of the batch.
  """
  return {name: {tensor: MOMENTUM * parts[name][tensor] + (1 - MOMENTUM) * new
                 for tensor, new in zip(layout.RUNNING, statistics)}
          for name, statistics in batch.items()}


def spread(values_C: jax.Array, x: jax.Array) -> jax.Array:
  """Values of channels, repeated along the last axis, with the rank of x.

  This is a dot with ones and zeros. A broadcast would be fused with the
  computation of the values, which would then run again for every pixel.
  """
  channels, width = len(values_C), x.shape[-1]
  repeated = jax.lax.dot(
      values_C[None], jnp.asarray(np.tile(np.eye(channels), width // channels),
                                  values_C.dtype), precision='highest')
  return repeated.reshape((1,) * (x.ndim - 1) + (-1,))
