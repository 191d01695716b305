"""Where each architecture's tensors lie, as static data that programs know."""

import math
from typing import Any, Iterable, NamedTuple, Sequence

import pandas as pd

from nws_jax import errors

Part = tuple[str, str]  # (layer, tensor), whatever the architecture


class Tensor(NamedTuple):
  """A row of layers.csv: values start to stop - 1 of the vector."""
  layer: str
  tensor: str
  start: int
  stop: int
  shape: tuple[int, ...]  # Flax's; the vector has kernels as [out][in][h][w]

  @property
  def is_kernel(self) -> bool:
    return self.tensor == 'kernel' and len(self.shape) > 1

  @property
  def published(self) -> tuple[int, ...]:
    """Its shape in the vector's own order."""
    h_w, (*into, out) = self.shape[:-2], self.shape[-2:]
    return (out, *into, *h_w)

  def flatten(self, leaf: Any) -> Any:
    """Flax leaf -> its values in the order of the vector."""
    axes = range(leaf.ndim)
    return leaf.transpose(*reversed(axes[-2:]), *axes[:-2]).reshape(-1)


Layouts = tuple[tuple[Tensor, ...], ...]  # of each architecture


def read(layers: pd.DataFrame, architectures: Iterable[str]) -> Layouts:
  """Of each architecture its `Tensor`s, in the order of the vector.

  Args:
    layers: DataFrame of layers.csv.
    architectures: names, in the order wanted.

  Raises:
    errors.Damaged: a shape is not of as many values as its place holds.
  """
  found: dict[str, list[Tensor]] = {a: [] for a in architectures}
  for row in layers.itertuples():
    if row.architecture in found:
      shape = tuple(int(n) for n in str(row.shape).split('x'))
      if math.prod(shape) != row.stop - row.start:
        raise errors.Damaged(
            f'layers.csv: {row.layer} {row.tensor} of {row.architecture} has '
            f'the shape {row.shape}, but {row.stop - row.start} values.')
      found[row.architecture].append(Tensor(
          row.layer, row.tensor, int(row.start), int(row.stop), shape))
  return tuple(tuple(sorted(tensors, key=lambda t: t.start))
               for tensors in found.values())


def keep(layouts: Layouts, parts: Sequence[Part]) -> Layouts:
  """The layouts of vectors of which only some (layer, tensor) are left."""
  result = []
  for tensors in layouts:
    kept: list[Tensor] = []
    start = 0
    for t in tensors:
      if (t.layer, t.tensor) in parts:
        stop = start + t.stop - t.start
        kept.append(t._replace(start=start, stop=stop))
        start = stop
    result.append(tuple(kept))
  return tuple(result)
