"""The cost of training a CNN: operations and values of one image."""

import functools
from collections.abc import Iterator

from nws_jax import published
from nws_jax.zoo.families import interface
from nws_jax.zoo.families.cnn import conv, shapes, tiles


def walk(arch: interface.Shape) -> Iterator[tuple[published.Layer, int]]:
  """Yields (layer, side of its input images), input to output.

  The side means nothing for dense layers.
  """
  side = shapes.IMAGE_SHAPE[0]
  for layer in shapes.layers(arch):
    yield layer, side
    side = side // 2 if layer.pool else side


@functools.lru_cache(maxsize=None)
def count(arch: interface.Shape) -> interface.Cost:
  """The `interface.Cost` of an architecture or envelope.

  An accelerator holds twice all layers' outputs, and twice the rows that the
  widest one stacks.
  """
  flops, activations, outputs, rows = 0.0, 0.0, 0, [0.0]
  for n, (layer, side) in enumerate(walk(arch)):
    *window, into, out = layer.kernel
    if not window:
      flops += 3 * 2 * into * out
      activations += 4 * out
      continue
    k, pixels = window[0], side * side
    tiling = conv.choose(conv.FORMS['map'], k, into, side, layer.pool).tiling
    # The images need no gradient.
    flops += (2 * pixels * tiles.count_products(tiling) * into * out
              * (3 if n else 2))
    t = min(side, 4)
    activations += pixels * (k * (t + k - 1) / t * into + 3 * out)
    tiling = conv.choose(conv.FORMS['vmap'], k, into, side, layer.pool).tiling
    outputs += pixels * out
    rows.append(pixels * into * k * (
        1 if tiling.whole else (tiling.t + k - 1) / tiling.t))
  return interface.Cost(flops, activations, 2 * (outputs + max(rows)))
