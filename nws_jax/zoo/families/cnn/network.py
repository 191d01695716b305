"""The network of the recipe (docs/recipe.md, sections 3 to 5): init, apply.

A network is its flat vector in the published order (`nws_jax.layout`). All
functions are for ONE network and are mapped over a population by the caller.
Activation and initialiser are indices, so that they vary inside a program.
"""

import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

from nws_jax import layout, published
from nws_jax.zoo import activations, initializers
from nws_jax.zoo.families import interface, layers
from nws_jax.zoo.families.cnn import conv, shapes


def init(key: jax.Array, initialization: jax.Array, arch: interface.Shape,
         sizes: shapes.Sizes | None = None) -> jax.Array:
  """Draws a network: float32 [P]. `key` is consumed.

  Every value has a draw of its own, keyed by layer, tensor and coordinates,
  with filter taps counted from the centre. So a narrower network has the draws
  of a wider one; only its fans differ.

  Args:
    key: key of the draws.
    initialization: index of the initialiser in `initializers.INITIALIZERS`.
    arch: a `published.Architecture`, or an `interface.Envelope`.
    sizes: of the network in an envelope, whose other values are 0.
  """
  counters_2xP, fan_sum_P, own_P = (
      _static_coordinates(arch) if sizes is None
      else _coordinates(arch, sizes, jnp))
  words = jax.extend.random.threefry_2x32(
      jax.random.key_data(key), jnp.asarray(counters_2xP).reshape(-1))
  bits = words.reshape(2, -1)[0] ^ words.reshape(2, -1)[1]
  # 23 bits and half a step: strictly between 0 and 1, exactly representable.
  u = (bits >> 9).astype(jnp.float32) * 2.0 ** -23 + 2.0 ** -24
  normal = jax.scipy.special.ndtri(u)
  kernel = initializers.draw(
      initialization, initializers.Draws(u, normal, fan_sum_P))

  mask = shapes.layout(arch).mask
  values = jnp.where(mask('kernel'), kernel, jnp.where(
      mask('scale'), 1 + 0.002 * normal,
      jnp.where(mask('variance'), 1.0, 0.0)))
  return jnp.where(own_P, values, 0)


def own_mask(arch: interface.Shape, sizes: shapes.Sizes) -> jax.Array:
  """bool [P]: which values of an envelope's vector are a network's own."""
  return _coordinates(arch, sizes, jnp).own_P


_TENSORS = ('kernel', 'bias', 'offset', 'scale', 'mean', 'variance')


class _Coordinates(NamedTuple):
  """What `init` needs for every value; arrays of NumPy or JAX."""
  counters_2xP: Any  # uint32, what keys its draw
  fan_sum_P: Any  # float32
  own_P: Any  # bool, whether it is the network's own


@functools.lru_cache(maxsize=None)
def _static_coordinates(arch: interface.Shape) -> _Coordinates:
  return _coordinates(arch, shapes.sizes(arch, arch), np)


def _coordinates(arch: interface.Shape, sizes: shapes.Sizes, xp: ModuleType
                 ) -> _Coordinates:
  """The coordinates of all values, by `xp`: `numpy`, or, if sizes are traced,
  `jax.numpy`."""
  counters, fans, own = [], [], []
  layers = [layer.name for layer in shapes.layers(arch)]
  for s in shapes.layout(arch).spans:
    number, taps, into, out = (x[layers.index(s.layer)] for x in sizes)
    # Indices are traced as an iota, which takes no memory as a constant would.
    o, *rest = (x.reshape(-1) for x in xp.indices(s.vector_shape))
    i, tap, inside = (rest[0] if rest else xp.zeros_like(o)), 0, o < out
    if s.layer == 'fc1' and rest:  # positions, each with its channels
      channels = s.vector_shape[1] // published.FLAT_POSITIONS
      each = into // published.FLAT_POSITIONS
      inside &= i % channels < each
      i = i // channels * each + i % channels
    elif rest:
      inside &= i < into
    if len(rest) == 3:
      r = s.vector_shape[-1] // 2
      tap = (rest[1] - r + 128) << 8 | (rest[2] - r + 128)
      inside &= xp.maximum(abs(rest[1] - r), abs(rest[2] - r)) <= taps // 2
    layer = (number * 16 + _TENSORS.index(s.tensor)).astype(np.uint32)
    counters.append(xp.stack([(layer << 24) + o.astype(np.uint32),
                              (i.astype(np.uint32) << 16) + xp.asarray(
                                  tap).astype(np.uint32)]))
    area = taps * taps if len(rest) == 3 else 1
    fans.append(xp.full(
        o.shape, xp.maximum(area * (into + out), 1), np.float32))
    own.append(inside)
  return _Coordinates(xp.concatenate(counters, axis=1), xp.concatenate(fans),
                      xp.concatenate(own))


class Style(NamedTuple):
  """The settings of one network that `apply` takes beside its weights."""
  activation: jax.Array  # index into the mode's options
  dropout: jax.Array  # rate
  sizes: shapes.Sizes | None = None  # in an envelope


def apply(parts: layout.Parts, x_BxHxWC: jax.Array, style: Style,
          arch: interface.Shape, mode: interface.Mode
          ) -> tuple[jax.Array, dict[str, layers.Statistics]]:
  """Runs the network.

  Args:
    parts: the network, as `Layout.split` gives it. (Not the vector itself: the
      gradient of each slice would be a vector of P values, nearly all 0.)
    x_BxHxWC: images in [0, 1], [B, 32, 96].
    style: settings of the network.
    arch: a `published.Architecture`, or an `interface.Envelope`.
    mode: its options are the activations that `style.activation` chooses
      from, and its form is a `conv.Form`.

  Returns:
    logits [B, 20]; {layer: (mean, variance)} of the batch, empty if the
    running statistics were used.
  """
  form, batch = mode.form, {}
  x, width = x_BxHxWC.astype(form.dtype or x_BxHxWC.dtype), x_BxHxWC.shape[1]

  def act(x: jax.Array, n: int, repeats: int = 1) -> jax.Array:
    x = activations.activate(x, style.activation, mode.options)
    if style.sizes is None:
      return x
    # Values beyond the network's own sizes are set to 0, and so are their
    # gradients.
    own = jnp.arange(x.shape[-1] // repeats) < style.sizes.out[n]
    return jnp.where(layers.row(jnp.tile(own, repeats), x.ndim), x, 0)

  def normalize(x: jax.Array, name: str, statistics: layers.Statistics,
                shift: jax.Array | float = 0.0) -> jax.Array:
    part = parts[name]
    mean, variance = part['mean'] - shift, part['variance']
    if mode.batch_statistics:
      mean, variance = statistics
      batch[name] = mean + shift, variance
    return layers.normalize(x, part, mean, variance)

  for n, layer in enumerate(shapes.layers(arch)):
    part = parts[layer.name]
    if len(layer.kernel) == 4:
      # Every activation is monotone, so pooling before it gives the same
      # values at a quarter of the cost. Batch norm is monotone too, but where
      # its scale is negative it turns the least value into the greatest.
      sign = jnp.where(part['scale'] < 0, -1, 1) if layer.norm else (
          jnp.ones(layer.kernel[-1]))
      _, channels, _, k = part['kernel'].shape
      x, statistics = conv.conv(
          x, part['kernel'], sign.astype(part['kernel'].dtype),
          conv.choose(form, k, channels, width, layer.pool))
      width = width // 2 if layer.pool else width
      if layer.norm:
        # Batch norm subtracts the bias again, so only the running mean has it.
        x = normalize(x, layer.name, statistics, part['bias'])
      else:
        x += layers.spread(part['bias'], x).astype(x.dtype)
      x = act(x, n, width)
    elif layer.name != 'output':
      y = act(layers.dense(x, part, form), n)
      if layer.norm:
        y = normalize(y, layer.name, layers.measure(y))
      if mode.dropout_key is not None:
        y = layers.dropout(
            jax.random.fold_in(mode.dropout_key, n), y, style.dropout)
      x = _skip_missing(x, y, n, style.sizes)
  return layers.dense(
      x.reshape(x.shape[0], -1), parts['output'], form), batch


def _skip_missing(x: jax.Array, y: jax.Array, n: int,
                  sizes: shapes.Sizes | None) -> jax.Array:
  """The output y of hidden layer n, or its input x if the network lacks it."""
  if sizes is None or x.ndim > 2:  # every network has the first hidden layer
    return y
  y = jnp.pad(y, ((0, 0), (0, x.shape[-1] - y.shape[-1])))
  return jnp.where(sizes.out[n] > 0, y, x)


@functools.partial(jax.jit, static_argnames=('activation', 'arch'))
def _predict(vector_P: jax.Array, images: jax.Array, activation: str,
             arch: published.Architecture) -> jax.Array:
  x = images.astype(jnp.float32).reshape(
      *images.shape[:2], -1) / 255
  style = Style(jnp.int32(0), jnp.float32(0))
  return apply(shapes.layout(arch).split(vector_P), x, style, arch,
               interface.Mode((activation,), conv.Form()))[0]


def predict(arch: published.Architecture, activation: str,
            vector_P: np.ndarray, images_NxHxWxC: np.ndarray) -> jax.Array:
  """Logits float32 [N, 20] of uint8 images, with the running statistics."""
  return layers.predict(
      lambda images: _predict(vector_P, images, activation, arch),
      images_NxHxWxC, published.NUM_LOGITS)
