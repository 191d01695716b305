"""The network of the recipe (docs/recipe.md, sections 3 to 5): init, apply.

A network is its flat vector in the published order (`store.vectors`). All
functions are for ONE network and are mapped over a population by the caller.
Activation and initialiser are indices, so that they vary inside a program.
"""

import functools
import math

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

from nws_jax import space
from nws_jax.store import vectors
from nws_jax.zoo import conv

EPSILON, MOMENTUM = 1e-5, 0.9  # of batch norm (TensorLayer's defaults)
KEEP = 0.5  # of dropout


def init(key, initialization, arch):
  """Draws a network: float32 [P]. `key` is consumed.

  Every value has a draw of its own, keyed by layer, tensor and coordinates,
  filter taps counted from the centre: a narrower net is a part of a wider one
  but for its fans.
  """
  where_2xP, fan_sum_P, kind_P = _plan(arch)
  words = jax.extend.random.threefry_2x32(
      jax.random.key_data(key), jnp.asarray(where_2xP).reshape(-1))
  bits = words.reshape(2, -1)[0] ^ words.reshape(2, -1)[1]
  # 23 bits and half a step: strictly between 0 and 1, exactly representable.
  u = (bits >> 9).astype(jnp.float32) * 2.0 ** -23 + 2.0 ** -24
  # Glorot normal is truncated at two nominal deviations and not corrected for
  # what that takes off: TensorFlow 1's rule (recipe, section 4).
  edge = 0.5 * (1 + math.erf(-2 / math.sqrt(2)))
  truncated = jax.scipy.special.ndtri(edge + (1 - 2 * edge) * u)
  normal = jax.scipy.special.ndtri(u)
  kernel = jnp.select([initialization == n for n in range(4)], [
      jnp.full_like(u, 0.1),
      normal,
      jnp.sqrt(6 / fan_sum_P) * (2 * u - 1),
      jnp.sqrt(2 / fan_sum_P) * truncated])
  return jnp.where(kind_P == 0, kernel, jnp.where(
      kind_P == 1, 1 + 0.002 * normal, jnp.where(kind_P == 2, 1.0, 0.0)))


_TENSORS = ('kernel', 'bias', 'offset', 'scale', 'mean', 'variance')
_KINDS = {'kernel': 0, 'scale': 1, 'variance': 2}  # all others start at 0


@functools.lru_cache(maxsize=None)
def _plan(arch):
  """What `init` knows of every value: (coordinates uint32 [2, P], fans [P],
  kind [P])."""
  places, fans, kinds = [], [], []
  names = [layer.name for layer in vectors.layers(arch)]
  for s in vectors.spans(arch):
    at = np.indices(s.published).reshape(len(s.published), -1)
    out, into = at[0], at[1] if len(at) > 1 else 0 * at[0]
    tap = 0 * out
    if len(at) == 4:
      r = s.published[-1] // 2
      tap = (at[2] - r + 128) << 8 | (at[3] - r + 128)
    layer = names.index(s.layer) << 4 | _TENSORS.index(s.tensor)
    places.append([layer << 24 | out, into << 16 | tap])
    area = math.prod(s.published[2:])
    fans.append(np.full(out.shape, area * sum(s.published[:2])))
    kinds.append(np.full(out.shape, _KINDS.get(s.tensor, 3)))
  return (np.concatenate(places, axis=1).astype(np.uint32),
          np.concatenate(fans).astype(np.float32),
          np.concatenate(kinds).astype(np.int8))


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


def apply(parts, x_BxHxWC, activation, arch, dropout_key=None,
          batch_statistics=False):
  """Runs the network.

  Args:
    parts: the network, as `vectors.split` gives it. (Not the vector itself: the
      gradient of a slice is a vector of zeros with a few values in it.)
    x_BxHxWC: images in [0, 1], [B, 32, 96].
    activation: index of the activation.
    arch: `space.Architecture`.
    dropout_key: dropout is on if given; consumed.
    batch_statistics: normalise by the batch, not by the running statistics.

  Returns:
    logits [B, 20]; {layer: (mean, variance)} of the batch, empty where the
    running statistics were used.
  """
  x, width, batch = x_BxHxWC, 32, {}
  normalize = functools.partial(
      _normalize, batch=batch if batch_statistics else None)
  for n, layer in enumerate(vectors.layers(arch)):
    part = parts[layer.name]
    if len(layer.kernel) == 4:
      out, t = layer.kernel[-1], conv.tile(width)
      x = conv.conv(x, part['kernel'], t, layer.pool)
      if layer.norm:
        # Batch norm takes the bias off again: only the running mean knows it.
        x = normalize(x, part, layer.name, shift=part['bias'])
      else:
        x += _rows(jnp.tile(part['bias'], width), x.ndim)
      if layer.pool:
        # Every activation is monotone, so pooling first gives the same values
        # at a quarter of the cost.
        x, width = conv.max_pool(x, t, out), width // 2
      x = activate(x, activation)
    else:
      x = x.reshape(x.shape[0], -1)
      x = jax.lax.dot_general(x, part['kernel'], (((1,), (1,)), ((), ())))
      x += _rows(part['bias'], x.ndim)
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

  def fold(sums):
    return sums.reshape(repeats, c).sum(0) / count

  def spread(values_C):
    return _rows(jnp.tile(values_C, repeats), x.ndim)

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


def _rows(vector, rank):
  return vector.reshape((1,) * (rank - 1) + (-1,))


def _dropout(key, x_BxF):
  # Drawn feature by feature: a prefix of the draws of a wider layer.
  keep = jax.random.bernoulli(key, KEEP, x_BxF.shape[::-1]).T
  return jnp.where(keep, x_BxF / KEEP, 0)


def update_running(parts, batch):
  """{layer: {tensor: array}} of the running statistics, moved to the batch's.

  Args:
    parts: the network, as `vectors.split` gives it.
    batch: {layer: (mean, variance)} that `apply` returned.
  """
  return {name: {tensor: MOMENTUM * parts[name][tensor] + (1 - MOMENTUM) * new
                 for tensor, new in zip(vectors.RUNNING, statistics)}
          for name, statistics in batch.items()}


@functools.partial(jax.jit, static_argnames='arch')
def _predict(vector_P, images, activation, arch):
  x = images.astype(jnp.float32).reshape(images.shape[0], 32, 96) / 255
  return apply(vectors.split(vector_P, arch), x, activation, arch)[0]


def predict(arch, activation, vector_P, images_NxHxWxC):
  """Logits float32 [N, 20] of uint8 images, by the running statistics."""
  index = space.ACTIVATIONS.index(activation)
  logits = [_predict(vector_P, images_NxHxWxC[n:n + 500], index, arch)
            for n in range(0, max(1, len(images_NxHxWxC)), 500)]
  return jnp.concatenate(logits)
