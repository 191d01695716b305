"""Where the tensors of a network lie in its flat weight vector.

A `Layout` lists the tensors in the order of the vector; each `Span` also says
which leaf of the Flax variables the tensor is, and in which order the vector
holds its axes. Every method takes NumPy or JAX arrays with any leading axes.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import numpy as np

Array = Any  # of NumPy or of JAX, which readers of tables must not import
Parts = dict[str, dict[str, Array]]  # {layer: {tensor: array}}

CONVOLUTION, DENSE = 'convolution', 'fully connected'  # parts of a network
RUNNING = ('mean', 'variance')  # the running statistics of batch norm


class Span(NamedTuple):
  """A tensor: values `start` to `stop` (exclusive) of the vector."""
  layer: str
  tensor: str
  start: int
  stop: int
  shape: tuple[int, ...]  # of the Flax leaf
  leaf: tuple[str, ...]  # path of the Flax leaf: collection, module, ..., name
  axes: tuple[int, ...]  # of the Flax leaf, in the order of the vector
  part: str  # `CONVOLUTION` or `DENSE`

  @property
  def vector_shape(self) -> tuple[int, ...]:
    """The tensor's shape in the order of the vector."""
    return tuple(self.shape[axis] for axis in self.axes)

  def flatten(self, leaf: Array) -> Array:
    """Flax leaf [..., *shape] -> [..., stop - start]."""
    lead = leaf.shape[:leaf.ndim - len(self.shape)]
    return _permute(leaf, self.axes).reshape(  # not -1: lead may hold a 0
        lead + (self.stop - self.start,))

  def find(self, variables: dict[str, Any]) -> Array:
    """The tensor's leaf in a tree of Flax variables."""
    return functools.reduce(lambda tree, name: tree[name], self.leaf, variables)


@dataclasses.dataclass(frozen=True)
class Layout:
  """All tensors of an architecture, in the order of the vector."""
  name: str  # of the architecture
  spans: tuple[Span, ...]

  def __hash__(self) -> int:  # a key of many dictionaries
    return hash(self.name)

  @functools.cached_property
  def num_weights(self) -> int:
    return self.spans[-1].stop

  @functools.cached_property
  def num_weights_conv(self) -> int:
    """Values of the convolution part, which comes first."""
    return max((s.stop for s in self.spans if s.part == CONVOLUTION), default=0)

  @property
  def is_flat(self) -> bool:
    """Whether nothing but the lengths of the two parts is known."""
    return self.spans[0].tensor == _VALUES

  def mask(self, *tensors: str) -> np.ndarray:
    """bool [P]: which values belong to tensors of these names."""
    return _mask(self, tuple(s.tensor in tensors for s in self.spans))

  @property
  def running(self) -> np.ndarray:
    """bool [P]: which values are statistics, which have no gradient."""
    return _mask(self, tuple(s.leaf[0] != 'params' for s in self.spans))

  def split(self, vector: Array) -> Parts:
    """[..., P] -> {layer: {tensor: array}}, axes in the order of the vector."""
    result: Parts = {}
    for s in self.spans:
      result.setdefault(s.layer, {})[s.tensor] = vector[
          ..., s.start:s.stop].reshape(vector.shape[:-1] + s.vector_shape)
    return result

  def join(self, parts: Parts) -> Array:
    """Inverse of `split`."""
    flat = []
    for s in self.spans:
      part = parts[s.layer][s.tensor]
      lead = part.shape[:part.ndim - len(s.shape)]
      flat.append(part.reshape(lead + (s.stop - s.start,)))
    return _namespace(flat[0]).concatenate(flat, axis=-1)

  def to_variables(self, vector: Array) -> dict[str, Any]:
    """[..., P] -> Flax variables, {'params': ..., 'batch_stats': ...}."""
    result: dict[str, Any] = {'params': {}, 'batch_stats': {}}
    parts = self.split(vector)
    for s in self.spans:
      *path, name = s.leaf
      tree = functools.reduce(
          lambda tree, key: tree.setdefault(key, {}), path, result)
      tree[name] = _permute(parts[s.layer][s.tensor],
                            tuple(np.argsort(s.axes).tolist()))
    return result

  def to_vector(self, variables: dict[str, Any]) -> Array:
    """Inverse of `to_variables`."""
    flat = [s.flatten(s.find(variables)) for s in self.spans]
    return _namespace(flat[0]).concatenate(flat, axis=-1)


_VALUES = 'values'


def flat(num_weights_conv: int, num_weights: int) -> Layout:
  """The `Layout` of a network of which only the lengths are known.

  Networks that others trained may be such: two parts, no layers.
  """
  ends = {'conv': (CONVOLUTION, 0, num_weights_conv),
          'fc': (DENSE, num_weights_conv, num_weights)}
  return Layout(f'flat-{num_weights_conv}-{num_weights}', tuple(
      Span(layer, _VALUES, start, stop, (stop - start,),
           ('params', layer, _VALUES), (0,), part)
      for layer, (part, start, stop) in ends.items() if start < stop))


def build(name: str, tensors: list[Span]) -> Layout:
  """A `Layout` of spans whose `start` and `stop` are not known yet."""
  spans, start = [], 0
  for s in tensors:
    stop = start + math.prod(s.shape)
    spans.append(s._replace(start=start, stop=stop))
    start = stop
  return Layout(name, tuple(spans))


def layer(name: str, kernel: tuple[int, ...], norm: bool) -> list[Span]:
  """The tensors of a convolution or dense layer, for `build`.

  Kernel, bias and, with batch norm (the Flax module `<name>_bn`), offset,
  scale, mean and variance. The vector holds kernels as [out][in][h][w], or
  [out][in].

  Args:
    name: of the layer, and of its Flax module.
    kernel: shape in Flax, (h, w, in, out) or (in, out).
    norm: whether the layer has batch norm.
  """
  part = CONVOLUTION if len(kernel) == 4 else DENSE
  return [Span(name, tensor, 0, 0, shape, find_leaf(name, tensor),
               order_axes(len(shape)), part)
          for tensor, shape in (
              ('kernel', kernel),
              *((tensor, kernel[-1:])
                for tensor in ('bias', *(_NORM if norm else ()))))]


def find_leaf(layer: str, tensor: str) -> tuple[str, ...]:
  """The path of a layer's tensor in the Flax variables; see `layer`."""
  if tensor in _NORM:
    collection, leaf = _NORM[tensor]
    return collection, f'{layer}_bn', leaf
  return 'params', layer, tensor


def order_axes(rank: int) -> tuple[int, ...]:
  """The axes of a Flax leaf in the order of the vector; see `layer`."""
  return (rank - 1, rank - 2, *range(rank - 2)) if rank > 1 else (0,)


_NORM = {'offset': ('params', 'bias'), 'scale': ('params', 'scale'),
         'mean': ('batch_stats', 'mean'), 'variance': ('batch_stats', 'var')}


@functools.lru_cache(maxsize=None)
def _mask(layout: Layout, chosen: tuple[bool, ...]) -> np.ndarray:
  mask_P = np.repeat(chosen, [s.stop - s.start for s in layout.spans])
  mask_P.flags.writeable = False
  return mask_P


def _permute(x: Array, axes: tuple[int, ...]) -> Array:
  """Permutes the last axes."""
  lead = x.ndim - len(axes)
  if len(axes) == 1:
    return x
  return x.transpose((*range(lead), *(lead + a for a in axes)))


def _namespace(array: Array) -> Any:
  if isinstance(array, np.ndarray):
    return np
  import jax.numpy as jnp  # keeps readers of tables free of jax
  return jnp
