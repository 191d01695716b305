"""Flax variables <-> the flat weight vector in the published order.

Layer by layer: kernel, bias, offset, scale, mean, variance; convolution
kernels as [out][in][h][w], dense kernels as [out][in] (docs/recipe.md,
section 11). Every function takes NumPy or JAX arrays with any leading axes.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from nws_jax import space

_NORM = ('offset', 'scale', 'mean', 'variance')
_FLAX = {  # tensor -> (collection, module suffix, Flax name)
    'kernel': ('params', '', 'kernel'),
    'bias': ('params', '', 'bias'),
    'offset': ('params', '_bn', 'bias'),
    'scale': ('params', '_bn', 'scale'),
    'mean': ('batch_stats', '_bn', 'mean'),
    'variance': ('batch_stats', '_bn', 'var'),
    'values': ('params', '', 'values'),
}
RUNNING = ('mean', 'variance')
FLAT_POSITIONS = 16  # 4 x 4 are left after three poolings of 32 x 32


class Layer(NamedTuple):
  """A layer: its name and its kernel's shape in Flax's order."""
  name: str
  kernel: tuple  # (h, w, in, out) or (in, out)
  norm: bool
  pool: bool = False  # a pooling follows


class Span(NamedTuple):
  """Where a tensor lies in the vector: values start to stop - 1."""
  layer: str
  tensor: str
  start: int
  stop: int
  shape: tuple  # Flax's order

  @property
  def published(self):
    """Its shape in the vector's own order."""
    if len(self.shape) == 4:
      h, w, i, o = self.shape
      return (o, i, h, w)
    return self.shape[::-1]


class Flat(NamedTuple):
  """In the place of an architecture that is not known: two parts, no layers.

  Networks that others trained may be such; they are vectors and no more.
  """
  num_conv: int  # values of the convolution part, which comes first
  num_weights: int

  @property
  def name(self):
    return f'flat-{self.num_conv}-{self.num_weights}'


class Envelope(NamedTuple):
  """Architectures that one program trains: every layer at its largest.

  A member is a part of it: its channels and units come first, its filter taps
  lie in the middle, the layers it lacks are passed by. All share `depth_conv`
  and `batch_norm`.
  """
  members: tuple  # of `space.Architecture`, ascending


def envelop(members):
  """What holds some architectures: the only one itself, or an `Envelope`."""
  members = tuple(sorted(set(members)))
  return members[0] if len(members) == 1 else Envelope(members)


def architecture(row):
  """The architecture of a zoo's member, or its `Flat`."""
  if row['architecture'].startswith('flat-'):
    return Flat(int(row['num_weights_conv']), int(row['num_weights']))
  return space.architecture(row)


@functools.lru_cache(maxsize=None)
def layers(arch):
  """The layers of an architecture, input to output (recipe, section 3)."""
  if isinstance(arch, Envelope):
    return _cover(arch.members)
  k, out, result = arch.filter_size, 3, []
  extra = arch.depth_conv - 3  # blocks that have two convolutions, from the end
  for block in (1, 2, 3):
    convs = 2 if block > 3 - extra else 1
    for n in range(1, convs + 1):
      into, out = out, arch.width_conv * 2 ** (block - 1)
      result.append(Layer(f'conv{block}_{n}', (k, k, into, out),
                          arch.batch_norm, pool=n == convs))
  out *= FLAT_POSITIONS
  for n in range(arch.depth_fc):
    into, out = out, arch.width_fc // 2 ** n
    result.append(Layer(f'fc{n + 1}', (into, out), arch.batch_norm))
  result.append(Layer('output', (out, space.NUM_LOGITS), False))
  return tuple(result)


def _cover(members):
  found = {}
  for arch in members:
    for layer in layers(arch):
      found.setdefault(layer.name, []).append(layer)
  deepest = max(map(layers, members), key=len)
  return tuple(
      layer._replace(kernel=tuple(
          map(max, zip(*(same.kernel for same in found[layer.name])))))
      for layer in deepest)


class Sizes(NamedTuple):
  """How much of an envelope's layers is a network's own, [L] each.

  All zero where the network lacks the layer. `number` is the layer's place in
  the network itself, which keys its draws.
  """
  number: np.ndarray
  taps: np.ndarray  # k of a filter; 1 of a dense layer
  into: np.ndarray
  out: np.ndarray


def sizes(arch, envelope):
  """`Sizes` of an architecture in an envelope, or in itself; int32."""
  own = {layer.name: (n, layer.kernel[0] if len(layer.kernel) == 4 else 1,
                      *layer.kernel[-2:])
         for n, layer in enumerate(layers(arch))}
  return Sizes(*np.array([
      own.get(layer.name, (0, 0, 0, 0)) for layer in layers(envelope)],
      np.int32).T)


@functools.lru_cache(maxsize=None)
def places(arch, envelope):
  """int [P]: where each value of an architecture lies in its envelope's."""
  whole, result = {s[:2]: s for s in spans(envelope)}, []
  for s in spans(arch):
    big = whole[s.layer, s.tensor]
    at = np.arange(big.start, big.stop).reshape(big.published)
    for axis, (own, size) in enumerate(zip(s.published, big.published)):
      if axis == 1 and s.layer == 'fc1':  # positions, each with its channels
        take = np.arange(size).reshape(FLAT_POSITIONS, -1)[
            :, :own // FLAT_POSITIONS].reshape(-1)
      else:
        first = (size - own) // 2 if axis > 1 else 0
        take = np.arange(first, first + own)
      at = at.take(take, axis)
    result.append(at.reshape(-1))
  return np.concatenate(result)


@functools.lru_cache(maxsize=None)
def spans(arch):
  """Every tensor's `Span`, in the order of the vector."""
  if isinstance(arch, Flat):
    ends = {'conv': (0, arch.num_conv), 'fc': (arch.num_conv, arch.num_weights)}
    return tuple(Span(part, 'values', a, b, (b - a,))
                 for part, (a, b) in ends.items() if a < b)
  result, start = [], 0
  for layer in layers(arch):
    for tensor in ('kernel', 'bias') + (_NORM if layer.norm else ()):
      shape = layer.kernel if tensor == 'kernel' else layer.kernel[-1:]
      stop = start + math.prod(shape)
      result.append(Span(layer.name, tensor, start, stop, shape))
      start = stop
  return tuple(result)


def num_weights(arch):
  return spans(arch)[-1].stop


def num_weights_conv(arch):
  return max((s.stop for s in spans(arch) if s.layer.startswith('conv')),
             default=0)


@functools.lru_cache(maxsize=None)
def tensor_mask(arch, tensors):
  """bool [P]: which values belong to tensors of these names."""
  mask_P = np.zeros(num_weights(arch), bool)
  for s in spans(arch):
    mask_P[s.start:s.stop] = s.tensor in tensors
  mask_P.flags.writeable = False
  return mask_P


def split(vector, arch):
  """[..., P] -> {layer: {tensor: array}}, tensors in the vector's own order."""
  result = {}
  for s in spans(arch):
    part = vector[..., s.start:s.stop].reshape(vector.shape[:-1] + s.published)
    result.setdefault(s.layer, {})[s.tensor] = part
  return result


def join(parts, arch):
  """Inverse of `split`."""
  flat = []
  for s in spans(arch):
    part = parts[s.layer][s.tensor]
    lead = part.shape[:part.ndim - len(s.shape)]
    flat.append(part.reshape(lead + (s.stop - s.start,)))
  return _namespace(flat[0]).concatenate(flat, axis=-1)


def to_variables(vector, arch):
  """[..., P] -> {'params': ..., 'batch_stats': ...} with the leading axes."""
  result = {'params': {}, 'batch_stats': {}}
  parts = split(vector, arch)
  for s in spans(arch):
    collection, suffix, name = _FLAX[s.tensor]
    leaf = _reorder(parts[s.layer][s.tensor], len(s.shape), (2, 3, 1, 0))
    result[collection].setdefault(s.layer + suffix, {})[name] = leaf
  return result


def to_vector(variables, arch):
  """Inverse of `to_variables`."""
  flat = []
  for s in spans(arch):
    collection, module, name = leaf_name(s)
    flat.append(flatten(variables[collection][module][name], s))
  return _namespace(flat[0]).concatenate(flat, axis=-1)


def flatten(leaf, span):
  """A span's Flax leaf -> [..., stop - start] in the published order."""
  rank = len(span.shape)
  lead = leaf.shape[:leaf.ndim - rank]
  return _reorder(leaf, rank, (3, 2, 0, 1)).reshape(
      lead + (span.stop - span.start,))  # not -1: there may be no networks


def leaf_name(span):
  """Path of a span's leaf in the variables: (collection, module, name)."""
  collection, suffix, name = _FLAX[span.tensor]
  return collection, span.layer + suffix, name


def _reorder(x, rank, conv_axes):
  """Permutes the last `rank` axes: kernels change order, vectors do not."""
  if rank == 1:
    return x
  axes = conv_axes if rank == 4 else (1, 0)
  lead = x.ndim - rank
  return x.transpose(tuple(range(lead)) + tuple(lead + a for a in axes))


def _namespace(array):
  if isinstance(array, np.ndarray):
    return np
  import jax.numpy as jnp  # keeps readers of tables free of jax
  return jnp
