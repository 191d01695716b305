"""The published population (arXiv 2002.05688): properties and architectures.

Used by the published format, by the CNN family, and for zoos that do not record
their properties. See docs/recipe.md, sections 2 and 3.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from nws_jax import layout as layouts
from nws_jax import space

FAMILY = 'cnn'
PROPERTIES = (  # those of the published format, in its order
    space.DATASET, space.LEARNING_RATE, space.BATCH_SIZE, space.BATCH_NORM,
    space.AUGMENTATION, space.OPTIMIZER, space.ACTIVATION,
    space.INITIALIZATION,
    space.Property('filter_size', space.SHAPE, (3, 5, 7),
                   allowed=space.Range(1, 15, odd=True)),
    space.Property('depth_conv', space.SHAPE, (3, 4, 5),
                   allowed=space.Range(3, 5)),
    space.Property('depth_fc', space.SHAPE, (2, 3, 4),
                   allowed=space.Range(1, 4)),
    space.Property('width_conv', space.SHAPE, (4, 8, 12),
                   allowed=space.Range(1, 256)),
    # The halvings f, f/2, f/4, f/8 of the hidden layers need 8.
    space.Property('width_fc', space.SHAPE, (64, 128, 192),
                   allowed=space.Range(8, 8192)),
)
# Beside the published ones; all published networks have the first choice.
EXTRA = (space.WEIGHT_DECAY, space.DROPOUT)
ALL = PROPERTIES + EXTRA
BY_NAME = {p.name: p for p in ALL}


def find_family(record: Mapping[str, Any]) -> str:
  """The family that a record names; older records name none."""
  return record.get('family', FAMILY)


def find_properties(config: Mapping[str, Any]) -> tuple[space.Property, ...]:
  """The properties of a zoo: those in its config.json, or the published ones if
  it records none, as older and converted zoos do."""
  records = config.get('properties')
  return ALL if records is None else space.from_records(records)


NUM_LOGITS = 20  # every published network has 20 output units
FLAT_POSITIONS = 16  # 4 x 4 are left after three poolings of 32 x 32


@dataclasses.dataclass(frozen=True, order=True)
class Architecture:
  """Fixes the shapes of a network's arrays: static and hashable."""
  family: ClassVar[str] = FAMILY

  filter_size: int
  depth_conv: int
  depth_fc: int
  width_conv: int
  width_fc: int
  batch_norm: bool = True

  @property
  def name(self) -> str:
    return (f'k{self.filter_size}-c{self.depth_conv}x{self.width_conv}'
            f'-f{self.depth_fc}x{self.width_fc}'
            + ('' if self.batch_norm else '-plain'))


def architecture(row: Mapping[str, Any]) -> Architecture:
  """The architecture of a population's row."""
  return Architecture(
      filter_size=int(row['filter_size']), depth_conv=int(row['depth_conv']),
      depth_fc=int(row['depth_fc']), width_conv=int(row['width_conv']),
      width_fc=int(row['width_fc']), batch_norm=bool(row['batch_norm']))


class Layer(NamedTuple):
  """A layer: its name and its kernel's shape in Flax's order."""
  name: str
  kernel: tuple[int, ...]  # (h, w, in, out) or (in, out)
  norm: bool
  pool: bool = False  # a pooling follows


@functools.lru_cache(maxsize=None)
def layers(arch: Architecture) -> tuple[Layer, ...]:
  """The layers of an architecture, input to output (recipe, section 3)."""
  k, out = arch.filter_size, 3
  result = []
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
  result.append(Layer('output', (out, NUM_LOGITS), False))
  return tuple(result)


@functools.lru_cache(maxsize=None)
def layout(arch: Architecture) -> layouts.Layout:
  """Where the tensors lie in the vector (recipe, section 11)."""
  return layouts.build(arch.name, [
      s for layer in layers(arch)
      for s in layouts.layer(layer.name, layer.kernel, layer.norm)])
