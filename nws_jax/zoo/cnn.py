"""The network of the recipe (docs/recipe.md, sections 3 to 5): init, apply.

A network is its flat vector in the published order (`store.vectors`). All
functions are for ONE network and are mapped over a population by the caller.
Activation and initialiser are indices, so that they vary inside a program.
"""

import functools
import math

import jax
import jax.numpy as jnp

from nws_jax import space
from nws_jax.store import vectors
from nws_jax.zoo import conv

EPSILON, MOMENTUM = 1e-5, 0.9  # of batch norm (TensorLayer's defaults)
KEEP = 0.5  # of dropout


def init(key, initialization, arch):
  """Draws a network: float32 [P]. `key` is consumed.

  Every value has a draw of its own, keyed by layer and coordinates, filter taps
  counted from the centre: a narrower net is a part of a wider one but for its
  fans.
  """
  parts = {}
  for n, layer in enumerate(vectors.layers(arch)):
    kernel_key, scale_key = jax.random.split(jax.random.fold_in(key, n))
    bias = jnp.zeros(layer.kernel[-1], jnp.float32)
    part = {'kernel': _kernel(kernel_key, initialization, layer.kernel),
            'bias': bias}
    if layer.norm:
      scale = 1 + 0.002 * jax.random.normal(
          scale_key, bias.shape, bias.dtype)
      part |= {'offset': bias, 'scale': scale, 'mean': bias,
               'variance': jnp.ones_like(bias)}
    parts[layer.name] = part
  return vectors.join(parts, arch)


def _kernel(key, initialization, shape):
  """A kernel in the vector's order: [O, C, k, k] or [O, I]."""
  axes = [jnp.arange(n) for n in shape[::-1]]
  if len(shape) == 4:
    axes = [axes[0], axes[1]] + [jnp.arange(k) - k // 2 for k in shape[:2]]
  bits = _bits(key, axes)
  # 23 bits and half a step: strictly between 0 and 1, exactly representable.
  uniform = (bits >> 9).astype(jnp.float32) * 2.0 ** -23 + 2.0 ** -24
  area = math.prod(shape[:-2])
  fan_sum = area * (shape[-2] + shape[-1])
  limit = math.sqrt(6 / fan_sum)
  # Truncated at two nominal deviations, not corrected for what that takes off:
  # TensorFlow 1's rule (recipe, section 4).
  std = math.sqrt(2 / fan_sum)
  edge = 0.5 * (1 + math.erf(-2 / math.sqrt(2)))
  return jax.lax.switch(initialization, (
      lambda u: jnp.full_like(u, 0.1),
      jax.scipy.special.ndtri,
      lambda u: limit * (2 * u - 1),
      lambda u: std * jax.scipy.special.ndtri(edge + (1 - 2 * edge) * u),
  ), uniform)


def _bits(key, axes):
  """uint32, one draw for every combination of coordinates."""
  def draw(key, *rest):
    if not rest:
      return jax.random.bits(key)
    return jax.vmap(lambda a: draw(jax.random.fold_in(key, a), *rest[1:]))(
        rest[0])
  return draw(key, *axes)


def activate(x, index):
  """ReLU, ELU, sigmoid or tanh by index (`space.ACTIVATIONS`)."""
  return _activate(x, index)


@jax.custom_vjp
def _activate(x, index):
  return jax.lax.switch(index, (
      jax.nn.relu, lambda x: jnp.where(x > 0, x, jnp.expm1(jnp.minimum(x, 0))),
      jax.nn.sigmoid, jnp.tanh), x)


def _activate_fwd(x, index):
  y = _activate(x, index)
  return y, (y, index)


def _activate_bwd(residuals, dy):
  y, index = residuals  # every derivative follows from the output alone
  return jax.lax.switch(index, (
      lambda y, dy: jnp.where(y > 0, dy, 0),
      lambda y, dy: jnp.where(y > 0, dy, dy * (y + 1)),
      lambda y, dy: dy * y * (1 - y),
      lambda y, dy: dy * (1 - y * y)), y, dy), None


_activate.defvjp(_activate_fwd, _activate_bwd)


def apply(vector_P, x_BxHxWC, activation, arch, dropout_key=None,
          batch_statistics=False):
  """Runs the network.

  Args:
    vector_P: the network.
    x_BxHxWC: images in [0, 1], [B, 32, 96].
    activation: index of the activation.
    arch: `space.Architecture`.
    dropout_key: dropout is on if given; consumed.
    batch_statistics: normalise by the batch, not by the running statistics.

  Returns:
    logits [B, 20]; {layer: (mean, variance)} of the batch, empty where the
    running statistics were used.
  """
  parts, batch = vectors.split(vector_P, arch), {}
  x, width = x_BxHxWC, 32
  normalize = functools.partial(
      _normalize, batch=batch if batch_statistics else None)
  for n, layer in enumerate(vectors.layers(arch)):
    part = parts[layer.name]
    if len(layer.kernel) == 4:
      k, _, c, out = layer.kernel
      t = conv.tile(width, k, c, out)
      x = conv.conv(x, part['kernel'], t, layer.pool)
      if layer.norm:
        # Batch norm takes the bias off again: only the running mean knows it.
        x = normalize(x, part, layer.name, shift=part['bias'])
      else:
        x += jnp.tile(part['bias'], width)
      if layer.pool:
        # Every activation is monotone, so pooling first gives the same values
        # at a quarter of the cost.
        x, width = conv.max_pool(x, t, out), width // 2
      x = activate(x, activation)
    else:
      x = x.reshape(x.shape[0], -1)
      x = jax.lax.dot_general(x, part['kernel'], (((1,), (1,)), ((), ())))
      x += part['bias']
      if layer.name != 'output':
        x = activate(x, activation)
        if layer.norm:
          x = normalize(x, part, layer.name)
        if dropout_key is not None:
          x = _dropout(jax.random.fold_in(dropout_key, n), x)
  return x, batch


def _normalize(x, part, name, batch, shift=0.0):
  """Batch norm over all but the channels, which repeat along the last axis.

  Sums run over whole rows first: vectors of W*C numbers, not of C.
  """
  c = part['scale'].shape[0]
  repeats = x.shape[-1] // c
  axes, count = tuple(range(x.ndim - 1)), x.size // c
  fold = lambda v: v.reshape(repeats, c).sum(0) / count
  spread = lambda v: jnp.tile(v, repeats)
  if batch is None:
    mean, variance = part['mean'] - shift, part['variance']
    centred = x - spread(mean)
  else:
    mean = fold(x.sum(axes))
    centred = x - spread(mean)
    variance = fold(jnp.square(centred).sum(axes))
    batch[name] = mean + shift, variance
  scale = part['scale'] * jax.lax.rsqrt(variance + EPSILON)
  return centred * spread(scale) + spread(part['offset'])


def _dropout(key, x_BxF):
  # Drawn feature by feature: a prefix of the draws of a wider layer.
  keep = jax.random.bernoulli(key, KEEP, x_BxF.shape[::-1]).T
  return jnp.where(keep, x_BxF / KEEP, 0)


def update_running(vector_P, batch, arch):
  """[P] with the running statistics moved towards those of the batch."""
  parts = vectors.split(vector_P, arch)
  for name, statistics in batch.items():
    for tensor, new in zip(vectors.RUNNING, statistics):
      old = parts[name][tensor]
      parts[name][tensor] = MOMENTUM * old + (1 - MOMENTUM) * new
  return vectors.join(parts, arch)


@functools.partial(jax.jit, static_argnames='arch')
def _predict(vector_P, images, activation, arch):
  x = images.astype(jnp.float32).reshape(images.shape[0], 32, 96) / 255
  return apply(vector_P, x, activation, arch)[0]


def predict(arch, activation, vector_P, images_NxHxWxC):
  """Logits float32 [N, 20] of uint8 images, by the running statistics."""
  index = space.ACTIVATIONS.index(activation)
  logits = [_predict(vector_P, images_NxHxWxC[n:n + 500], index, arch)
            for n in range(0, len(images_NxHxWxC), 500)]
  return jnp.concatenate(logits)
