"""The modules that a file's names tell of: their kinds, and their order.

A network's layers are convolutions, dense layers and batch norms; what modules
are called, and where in the tree they lie, is everybody's own.
"""

import itertools
import re
from collections.abc import Iterable
from typing import NamedTuple

from nws_jax import layout

_DEEPEST = 4  # levels of the tree under which a network is looked for
_MOST_LISTS = 6  # of modules, whose orders are all tried


class Convention(NamedTuple):
  """How a library calls a layer's tensors, and in what order it keeps them."""
  names: dict  # {tensor, as in layers.csv: its name}
  kernel_axes: dict  # {rank: axes that give Flax's order}
  channels_first: bool  # where images are flattened
  collections: tuple = ()  # levels above the modules
  ignored: tuple = ()  # names of what tells nothing

  def to_flax(self, shape: tuple) -> tuple:
    """A tensor's shape in Flax's order."""
    axes = self.kernel_axes.get(len(shape), range(len(shape)))
    return tuple(shape[a] for a in axes)


FLAX = Convention(
    {'kernel': 'kernel', 'bias': 'bias', 'offset': 'bias', 'scale': 'scale',
     'mean': 'mean', 'variance': 'var'},
    {4: (0, 1, 2, 3), 2: (0, 1)}, False, ('params', 'batch_stats'))
PYTORCH = Convention(
    {'kernel': 'weight', 'bias': 'bias', 'offset': 'bias', 'scale': 'weight',
     'mean': 'running_mean', 'variance': 'running_var'},
    {4: (2, 3, 1, 0), 2: (1, 0)}, True, ignored=('num_batches_tracked',))
CONVENTIONS = (FLAX, PYTORCH)


class Leaf(NamedTuple):
  """An array in a file."""
  name: str
  shape: tuple  # Flax's order


class Modules(NamedTuple):
  """The modules of each kind: {path: {tensor: its `Leaf`}}."""
  conv: dict
  dense: dict
  norm: dict


def list_prefixes(names: Iterable[str]) -> list[list[str]]:
  """The places in the tree under which there are kernels: of each level, the
  outermost first."""
  kernels = tuple(c.names['kernel'] for c in CONVENTIONS)
  levels = [set() for _ in range(_DEEPEST + 1)]
  for name in names:
    *parents, last = name.split('/')
    if last in kernels:
      for depth in range(min(len(parents), _DEEPEST + 1)):
        levels[depth].add(''.join(f'{p}/' for p in parents[:depth]))
  return [sorted(level) for level in levels if level]


def group(entries: dict, prefix: str, convention: Convention) -> Modules:
  """The modules under a place in the tree.

  Args:
    entries: {name: (shape, type)}.
    prefix: of the names, as of `list_prefixes`.
    convention: how they are called.
  """
  names = [n for n in entries if n.startswith(prefix)]
  starts = tuple(f'{prefix}{c}/' for c in convention.collections)
  if any(n.startswith(starts[:1]) for n in names):  # all others are no layers
    names = [n for n in names if n.startswith(starts)]
  else:
    starts = (prefix,)
  found, kinds = {}, Modules({}, {}, {})
  for name in names:
    start = next(s for s in starts if name.startswith(s))
    path, _, last = name.removeprefix(start).rpartition('/')
    found.setdefault(path, {})[last] = Leaf(
        name, convention.to_flax(entries[name][0]))
  for path, leaves in found.items():
    tensors = {t: leaves[n] for t, n in convention.names.items() if n in leaves}
    kernel = tensors.get('kernel', Leaf('', ()))
    if len(kernel.shape) in (2, 4):
      kind, of_it = kinds[len(kernel.shape) == 2], ('kernel', 'bias')
    elif {'scale', *layout.RUNNING} & tensors.keys():
      kind, of_it = kinds.norm, ('offset', 'scale', *layout.RUNNING)
    else:
      continue
    kind[path] = {t: tensors[t] for t in of_it if t in tensors}
  return kinds


def order(wanted: list[tuple], shapes: dict[str, tuple]) -> list[str] | None:
  """The modules of one kind in the order of the layers.

  By their names, numbers in them ascending. Where that does not fit: names that
  differ in numbers alone stay in their order, and only one order of these lists
  fits; or the order of the file does; or no two shapes are alike.

  Args:
    wanted: shapes of the layers.
    shapes: {path of a module: its shape}, in the order of the file.

  Returns:
    Paths, or None where they do not fit or it cannot be told how.
  """
  natural = sorted(shapes, key=_split_numbers)
  lists = {}
  for path in natural:
    lists.setdefault(re.sub(r'\d+', '0', path), []).append(path)

  def fits(paths: Iterable[str]) -> bool:
    return [shapes[p] for p in paths] == wanted

  if fits(natural):
    return natural
  if len(lists) <= _MOST_LISTS:
    orders = [sum(some, []) for some in itertools.permutations(lists.values())]
    orders = [paths for paths in orders if fits(paths)]
    if len(orders) == 1:
      return orders[0]
  if fits(shapes):
    return list(shapes)
  by_shape = {shape: path for path, shape in shapes.items()}
  if len(by_shape) == len(shapes) and sorted(by_shape) == sorted(wanted):
    return [by_shape[shape] for shape in wanted]
  return None


def _split_numbers(path: str) -> list:
  return [int(x) if x.isdecimal() else x for x in re.split(r'(\d+)', path)]
