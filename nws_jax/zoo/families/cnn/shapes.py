"""Shapes of the published CNN, and of several that share a program by masks.

A program that trains networks of several architectures has every layer at its
largest size (an `interface.Envelope`). A network uses the first channels and
units of each layer and the taps in the middle of each filter, and skips the
layers that it lacks.
"""

import dataclasses
import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from nws_jax import layout as layouts
from nws_jax import published
from nws_jax.zoo.families import interface
from nws_jax.zoo.families.interface import Shape

IMAGE_SHAPE = (32, 32, 3)


def cover(archs: Iterable[published.Architecture]) -> published.Architecture:
  """The architecture with the largest of each size."""
  return published.Architecture(
      *map(max, zip(*map(dataclasses.astuple, archs))))


@functools.lru_cache(maxsize=None)
def layers(arch: Shape) -> tuple[published.Layer, ...]:
  """The layers, input to output; in an envelope each at its largest size."""
  if not isinstance(arch, interface.Envelope):
    return published.layers(arch)
  found: dict[str, list[published.Layer]] = {}
  for member in arch.members:
    for layer in published.layers(member):
      found.setdefault(layer.name, []).append(layer)
  deepest = max(map(published.layers, arch.members), key=len)
  return tuple(
      layer._replace(kernel=tuple(
          map(max, zip(*(same.kernel for same in found[layer.name])))))
      for layer in deepest)


@functools.lru_cache(maxsize=None)
def layout(arch: Shape) -> layouts.Layout:
  """Where the tensors lie in the vector of a network, or of an envelope."""
  if not isinstance(arch, interface.Envelope):
    return published.layout(arch)
  return layouts.build(
      '+'.join(member.name for member in arch.members),
      [s for layer in layers(arch)
       for s in layouts.layer(layer.name, layer.kernel, layer.norm)])


class Sizes(NamedTuple):
  """The sizes of a network's own layers in an envelope, int32 [L] each.

  All are 0 where the network lacks the layer.
  """
  number: np.ndarray  # the layer's place in the network, which keys its draws
  taps: np.ndarray  # k of a filter; 1 of a dense layer
  into: np.ndarray
  out: np.ndarray


def sizes(arch: published.Architecture, envelope: Shape) -> Sizes:
  """`Sizes` of an architecture in an envelope, or in itself."""
  own = {layer.name: (n, layer.kernel[0] if len(layer.kernel) == 4 else 1,
                      *layer.kernel[-2:])
         for n, layer in enumerate(layers(arch))}
  return Sizes(*np.array([
      own.get(layer.name, (0, 0, 0, 0)) for layer in layers(envelope)],
      np.int32).T)


@functools.lru_cache(maxsize=None)
def places(arch: published.Architecture, envelope: Shape) -> np.ndarray:
  """int [P]: where an architecture's values lie in its envelope's vector."""
  whole = {s[:2]: s for s in layout(envelope).spans}
  result = []
  for s in layout(arch).spans:
    big = whole[s.layer, s.tensor]
    at = np.arange(big.start, big.stop).reshape(big.vector_shape)
    for axis, (own, size) in enumerate(zip(s.vector_shape, big.vector_shape)):
      if axis == 1 and s.layer == 'fc1':  # positions, each with its channels
        take = np.arange(size).reshape(published.FLAT_POSITIONS, -1)[
            :, :own // published.FLAT_POSITIONS].reshape(-1)
      else:
        first = (size - own) // 2 if axis > 1 else 0
        take = np.arange(first, first + own)
      at = at.take(take, axis)
    result.append(at.reshape(-1))
  return np.concatenate(result)
