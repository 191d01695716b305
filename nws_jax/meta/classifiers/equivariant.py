"""A network over the neurons of a network, invariant to their order.

The hidden neurons of a layer may be renumbered without changing what a network
does, if all that belongs to a neuron moves with it: its row of the kernel, its
bias and batch norm, and the column of the next kernel, which behind the last
convolution is a column for each of the 4 x 4 positions. Here every neuron has a
state, messages go along the weights in both directions, and states are pooled
by layer: the output is the same for all such numberings.
"""

import functools
import math
from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from nws_jax import errors
from nws_jax.meta.classifiers import interface
from nws_jax.meta.data import layouts, regions
from nws_jax.meta.data.windows import Array

WIDTH = 32  # of a neuron's state
MESSAGE = 8
ROUNDS = 2
_BINS = 6
_TINY = 1e-12


class Layer(NamedTuple):
  """A layer of the network that is read."""
  name: str
  kernel: int  # its start in the vector: [out][in][h][w] or [out][in]
  out: int
  into: int  # neurons of the layer before
  taps: int  # weights between two neurons: filter taps, or positions
  flat: bool  # whether [in] is (position, neuron), as behind a flatten
  others: tuple[int, ...]  # starts of tensors with one value per neuron


def plan(tensors: Sequence[layouts.Tensor]) -> tuple[Layer, ...]:
  """The `Layer`s of an architecture, static and hashable.

  Args:
    tensors: its `layouts.Tensor`s.

  Raises:
    errors.Wrong: its layers do not follow one another.
  """
  result, into = [], None
  for name in dict.fromkeys(t.layer for t in tensors):
    own = {t.tensor: t for t in tensors if t.layer == name}
    kernel = own.pop('kernel', None)
    if kernel is None or not kernel.is_kernel or any(
        t.shape != kernel.shape[-1:] for t in own.values()):
      raise errors.Wrong(
          f'--classifier=equivariant cannot read layer {name}: it needs a '
          'kernel, and all other tensors with one value a neuron. Use '
          '--classifier=fast.')
    wide, out = kernel.shape[-2:]
    into = into or wide
    if wide % into:
      raise errors.Wrong(
          f'--classifier=equivariant cannot read layer {name}: its {wide} '
          f'inputs are no multiple of the {into} neurons before it. Use '
          '--classifier=fast.')
    positions = wide // into
    result.append(Layer(
        name, kernel.start, out, into,
        positions * math.prod(kernel.shape[:-2]), positions > 1,
        tuple(t.start for t in own.values())))
    into = out
  return tuple(result)


def count_flops(layers: Sequence[Layer]) -> int:
  """Multiplications and additions of one network, about."""
  weights = sum(layer.out * layer.into * layer.taps for layer in layers)
  neurons = sum(layer.out for layer in layers)
  facts = 24 * _BINS * WIDTH
  return 2 * (ROUNDS * 4 * weights * MESSAGE
              + neurons * (facts + ROUNDS * 3 * WIDTH * WIDTH))


class Shape(NamedTuple):
  """The static part of the inputs."""
  length: int  # of a whole vector
  layers: tuple[Layer, ...]


def find_shape(place: regions.Place) -> Shape:
  return Shape(place.spec.length, plan(place.spec.tensors[0]))


def make_view(shape: Shape) -> interface.View:
  """The `View` of `Whole`s; models share one, [M, E, ...]."""
  del shape

  def grid(shared: 'Whole', m: Array, e: Array) -> 'Whole':
    return jax.tree.map(lambda x: x[m, e][None], shared)

  def pick(shared: 'Whole', key: jax.Array, m_B: Array,
           e_B: Array) -> 'Whole':
    del key  # there is one window only
    return jax.tree.map(lambda x: x[m_B, e_B], shared)

  return interface.View(pick, grid)


def share(place: regions.Place, shape: Shape) -> 'Whole':
  return describe(place.source.weights_MxExP, shape.layers)


INPUTS = interface.Vectors(find_shape, make_view, share)


def make_module(outputs: int, shape: Shape) -> nn.Module:
  return Equivariant(outputs, shape.layers)


class Whole(NamedTuple):
  """A network: its vector, and features of each neuron, layer by layer."""
  vector_P: jax.Array
  facts: tuple[jax.Array, ...]  # [neurons, F] of each layer


@functools.partial(jax.jit, static_argnames='layers')
def describe(weights_MxExP: jax.Array, layers: tuple[Layer, ...]) -> Whole:
  """The `Whole`s of all networks, [M, E, ...]."""
  def one(vector_P: jax.Array) -> Whole:
    kernels, others = zip(*(take_apart(vector_P, layer) for layer in layers))
    return Whole(vector_P, tuple(
        _describe_layer(kernels[n], others[n], kernels[n + 1:][:1])
        for n in range(len(layers))))

  networks, snapshots = weights_MxExP.shape[:2]
  found = jax.lax.map(
      one, weights_MxExP.reshape(networks * snapshots, -1))
  return jax.tree.map(lambda x: x.reshape(
      (networks, snapshots) + x.shape[1:]), found)


def take_apart(vector_P: jax.Array, layer: Layer
               ) -> tuple[jax.Array, jax.Array]:
  """(kernel [out, in, taps], others [out, n]) of one layer."""
  size = layer.out * layer.into * layer.taps
  kernel = vector_P[layer.kernel:layer.kernel + size]
  if layer.flat:
    kernel = kernel.reshape(layer.out, layer.taps, layer.into)
    kernel = kernel.transpose(0, 2, 1)
  else:
    kernel = kernel.reshape(layer.out, layer.into, layer.taps)
  others = [vector_P[start:start + layer.out] for start in layer.others]
  return kernel, (jnp.stack(others, 1) if others
                  else jnp.zeros((layer.out, 0)))


class Equivariant(nn.Module):
  """[B] `Whole`s of one architecture -> outputs [B, O]."""
  outputs: int
  layers: tuple[Layer, ...]

  @nn.compact
  def __call__(self, whole: Whole, train: bool) -> jax.Array:
    drop = nn.Dropout(0.2, deterministic=not train)
    kernels = [_scale(jax.vmap(lambda v, layer=layer: take_apart(v, layer)[0])(
        whole.vector_P)) for layer in self.layers]
    states = [nn.Dense(WIDTH, name=f'embed_{layer.name}')(
        drop(self._encode(layer.name, facts)))
              for layer, facts in zip(self.layers, whole.facts)]
    # Inputs and outputs keep their order: each has a vector of its own.
    inputs = self.param('inputs', nn.initializers.normal(1.0),
                        (self.layers[0].into, WIDTH))
    inputs = jnp.broadcast_to(
        inputs[None], (len(whole.vector_P),) + inputs.shape)
    states[-1] += self.param('outputs_', nn.initializers.normal(0.1),
                             (self.layers[-1].out, WIDTH))[None]
    for n in range(ROUNDS):
      messages = self._exchange(n, kernels, [inputs, *states])
      states = [
          x + drop(nn.Dense(WIDTH, name=f'update{n}_{layer.name}')(nn.gelu(
              nn.LayerNorm(name=f'norm{n}_{layer.name}')(
                  jnp.concatenate([x, y], -1)))))
          for layer, x, y in zip(self.layers, states, messages)]
    pooled = jnp.concatenate([
        y for x in states for y in (x.mean(1), x.max(1), x.min(1))], -1)
    pooled = nn.Dropout(0.5, deterministic=not train)(pooled)
    return nn.Dense(self.outputs)(pooled)

  def _encode(self, name: str, facts_BxNxF: jax.Array) -> jax.Array:
    """Piecewise linear between quantiles of the training side, as `Fast`."""
    knots_QxF = self.variable(
        'encoder', name, lambda: jnp.quantile(
            facts_BxNxF.reshape(-1, facts_BxNxF.shape[-1]),
            jnp.linspace(0, 1, _BINS + 1), axis=0)).value
    low, high = knots_QxF[None, None, :-1], knots_QxF[None, None, 1:]
    x = (facts_BxNxF[:, :, None] - low) / jnp.maximum(high - low, 1e-9)
    return (2 * jnp.clip(x, 0, 1) - 1).reshape(x.shape[:2] + (-1,))

  def _exchange(self, n: int, kernels: Sequence[Any],
                states: Sequence[jax.Array]) -> list[jax.Array]:
    """The messages that neurons receive along weights, from both layers."""
    received = []
    states = [nn.Dense(MESSAGE, name=f'say{n}_{i}')(x)
              for i, x in enumerate(states)]
    for i, layer in enumerate(self.layers):
      forth = self._weigh(f'forth{n}_{layer.name}', layer)
      below = states[i][:, :, None] * forth[None, None]
      parts = [jnp.einsum('boit,bitd->bod', w, below, optimize=True)
               for w in kernels[i]]
      if i + 1 < len(self.layers):
        above = self.layers[i + 1]
        back = self._weigh(f'back{n}_{above.name}', above)
        parts += [jnp.einsum('boit,bod,td->bid', w, states[i + 2], back,
                             optimize=True) for w in kernels[i + 1]]
      received.append(jnp.concatenate(parts, -1))
    return received

  def _weigh(self, name: str, layer: Layer) -> jax.Array:
    """A vector for each tap: taps differ, neurons do not."""
    return self.param(name, nn.initializers.normal(1.0), (layer.taps, MESSAGE)
                      ) / math.sqrt(layer.into * layer.taps)


def _describe_layer(kernel_OxIxT: jax.Array, others_OxN: jax.Array,
                    following: Sequence[jax.Array]) -> jax.Array:
  """Features of each neuron: moments of its weights, in and out: [O, F].

  Args:
    kernel_OxIxT: of its layer.
    others_OxN: the tensors of one value a neuron.
    following: the next layer's kernel, as a list of one, or of none.
  """
  facts = [others_OxN, jnp.log(jnp.abs(others_OxN) + _TINY),
           _find_moments(kernel_OxIxT.reshape(len(kernel_OxIxT), -1))]
  for kernel in following:  # its in-axis are the neurons of this layer
    columns = jnp.swapaxes(kernel, 0, 1)
    facts.append(_find_moments(columns.reshape(len(columns), -1)))
  return jnp.concatenate(facts, -1)


def _find_moments(x_NxW: jax.Array) -> jax.Array:
  mean = x_NxW.mean(-1, keepdims=True)
  size = jnp.sqrt((x_NxW**2).mean(-1, keepdims=True)) + _TINY
  deviation = jnp.sqrt(((x_NxW - mean)**2).mean(-1, keepdims=True))
  shaped = x_NxW / size
  return jnp.concatenate([
      mean, jnp.log(size), jnp.log(deviation + _TINY), mean / size,
      jnp.abs(shaped).mean(-1, keepdims=True),
      (shaped**3).mean(-1, keepdims=True),
      jnp.log((shaped**4).mean(-1, keepdims=True) + _TINY),
      x_NxW.max(-1, keepdims=True), x_NxW.min(-1, keepdims=True)], -1)


def _scale(kernel_BxOxIxT: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The weights and their moduli, in units of the kernel's own size."""
  size = jnp.sqrt((kernel_BxOxIxT**2).mean((1, 2, 3), keepdims=True)) + _TINY
  return kernel_BxOxIxT / size, jnp.abs(kernel_BxOxIxT) / size
