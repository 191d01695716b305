"""The modules in a file, their kinds and their order, from the names of arrays.

A network's layers are convolutions, dense layers and batch norms. The names of
the modules and their position in the tree are free.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nws_jax import layout

_DEEPEST = 4  # levels of the tree that are searched for a network
_MOST_LISTS = 6  # of modules, all of whose orders are tried


class Convention(NamedTuple):
  """A library's names and axes of the tensors of a layer."""
  names: dict[str, str]  # {tensor, as in layers.csv: its name}
  kernel_axes: dict[int, tuple[int, ...]]  # {rank: axes in Flax's order}
  channels_first: bool  # where images are flattened
  collections: tuple[str, ...] = ()  # levels above the modules
  ignored: tuple[str, ...] = ()  # names of arrays without information

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
  conv: dict[str, dict[str, Leaf]]
  dense: dict[str, dict[str, Leaf]]
  norm: dict[str, dict[str, Leaf]]


def list_prefixes(names: Iterable[str]) -> list[list[str]]:
  """The prefixes of names under which there are kernels: a list a depth, the
  outermost first."""
  kernels = tuple(c.names['kernel'] for c in CONVENTIONS)
  levels: list[set[str]] = [set() for _ in range(_DEEPEST + 1)]
  for name in names:
    *parents, last = name.split('/')
    if last in kernels:
      for depth in range(min(len(parents), _DEEPEST + 1)):
        levels[depth].add(''.join(f'{p}/' for p in parents[:depth]))
  return [sorted(level) for level in levels if level]


def group(entries: Mapping[str, tuple], prefix: str,
          convention: Convention) -> Modules:
  """The modules under a prefix.

  Args:
    entries: {name: (shape, type)}.
    prefix: of the names; see `list_prefixes`.
    convention: how tensors are named.
  """
  names = [n for n in entries if n.startswith(prefix)]
  starts = tuple(f'{prefix}{c}/' for c in convention.collections)
  if any(n.startswith(starts[:1]) for n in names):  # others are not layers
    names = [n for n in names if n.startswith(starts)]
  else:
    starts = (prefix,)
  found: dict[str, dict[str, Leaf]] = {}  # by path of the module
  kinds = Modules({}, {}, {})
  for name in names:
    start = next(s for s in starts if name.startswith(s))
    path, _, last = name.removeprefix(start).rpartition('/')
    found.setdefault(path, {})[last] = Leaf(
        name, convention.to_flax(entries[name][0]))
  # A kernel of four axes is a convolution's, one of two a dense layer's; what
  # has a scale or running statistics instead is a batch norm.
  of_kind: tuple[str, ...]
  for path, leaves in found.items():
    tensors = {t: leaves[n] for t, n in convention.names.items() if n in leaves}
    kernel = tensors.get('kernel', Leaf('', ()))
    if len(kernel.shape) in (2, 4):
      kind = kinds.dense if len(kernel.shape) == 2 else kinds.conv
      of_kind = 'kernel', 'bias'
    elif {'scale', *layout.RUNNING} & tensors.keys():
      kind, of_kind = kinds.norm, ('offset', 'scale', *layout.RUNNING)
    else:
      continue
    kind[path] = {t: tensors[t] for t in of_kind if t in tensors}
  return kinds


def order(wanted: list[tuple], shapes: dict[str, tuple]) -> list[str] | None:
  """The modules of one kind in the order of the layers.

  The first of these that fits the shapes:
  1. By their names, the numbers in them ascending.
  2. Lists of names that differ only in numbers, each ascending, one behind the
     other, if exactly one order of the lists fits.
  3. In the order of the file.
  4. By their shapes, if no two are equal.

  Args:
    wanted: shapes of the layers.
    shapes: {path of a module: its shape}, in the order of the file.

  Returns:
    Paths, or None where nothing fits.
  """
  natural = sorted(shapes, key=_split_numbers)
  lists: dict[str, list[str]] = {}
  for path in natural:
    lists.setdefault(re.sub(r'\d+', '0', path), []).append(path)

  def fits(paths: Iterable[str]) -> bool:
    return [shapes[p] for p in paths] == wanted

  if fits(natural):
    return natural
  if len(lists) <= _MOST_LISTS:
    orders = [list(itertools.chain(*some))
              for some in itertools.permutations(lists.values())]
    fitting = [paths for paths in orders if fits(paths)]
    if len(fitting) == 1:
      return fitting[0]
  if fits(shapes):
    return list(shapes)
  by_shape = {shape: path for path, shape in shapes.items()}
  if len(by_shape) == len(shapes) and sorted(by_shape) == sorted(wanted):
    return [by_shape[shape] for shape in wanted]
  return None


def _split_numbers(path: str) -> list[int | str]:
  return [int(x) if x.isdecimal() else x for x in re.split(r'(\d+)', path)]
