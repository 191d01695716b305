"""Arrays with somebody's names -> the flat vector of an architecture.

A network is found by its layers: convolutions, dense layers and batch norms,
each kind in its order, whatever they are called and wherever in the tree they
lie. What belongs to no layer (an optimizer's state, a step) is passed by.
"""

import itertools
import re
from typing import Any, NamedTuple

import numpy as np

from nws_jax.meta.strangers import arrays
from nws_jax.store import vectors

_DEEPEST = 4  # levels of the tree under which a network is looked for
_MOST_LISTS = 6  # of modules, whose orders are all tried


class Convention(NamedTuple):
  """How a library calls a layer's tensors, and in what order it keeps them."""
  names: dict  # {tensor, as in layers.csv: its name}
  kernel_axes: dict  # {rank: axes that give Flax's order}
  channels_first: bool  # where images are flattened
  collections: tuple = ()  # levels above the modules
  ignored: tuple = ()  # names of what tells nothing


CONVENTIONS = (
    Convention({'kernel': 'kernel', 'bias': 'bias', 'offset': 'bias',
                'scale': 'scale', 'mean': 'mean', 'variance': 'var'},
               {4: (0, 1, 2, 3), 2: (0, 1)}, False, ('params', 'batch_stats')),
    Convention({'kernel': 'weight', 'bias': 'bias', 'offset': 'bias',
                'scale': 'weight', 'mean': 'running_mean',
                'variance': 'running_var'},
               {4: (2, 3, 1, 0), 2: (1, 0)}, True,
               ignored=('num_batches_tracked',)))  # PyTorch


class Found(NamedTuple):
  """A network in a file."""
  architecture: str
  vector_P: Any
  ignored: tuple = ()  # what of the file was passed by
  rounded: bool = False  # whether it was kept in half precision


def find(found, known):
  """Finds the network of a known architecture, and loads it.

  Args:
    found: `arrays.Arrays`.
    known: {architecture: its `layouts.Tensor`s}.

  Returns:
    `Found`.

  Raises:
    arrays.Unknown: there is none, or more than one; says what is missing.
    ValueError: it is not of floating-point numbers.
  """
  if len(found.entries) == 1:
    (name, (shape, _)), = found.entries.items()
    if len(shape) == 1:
      architecture = match_length(*shape, known)
      return _load(found, architecture, [name], lambda values: values)
  problems = []
  for prefixes in _list_prefixes(found.entries):
    hits = {}
    for prefix in prefixes:
      for convention in CONVENTIONS:
        modules = _group(found.entries, prefix, convention)
        for architecture, tensors in known.items():
          match = _match(modules, convention, architecture, tensors)
          if isinstance(match, _Problem):
            problems.append(match)
          else:
            hits.setdefault(prefix, (convention, architecture, match))
    if len(hits) > 1:
      raise arrays.Unknown(f'it holds several networks ({", ".join(hits)}): '
                           'save one of them alone')
    for convention, architecture, names in hits.values():
      return _assemble(found, convention, architecture, names,
                       known[architecture])
  raise arrays.Unknown(
      max(problems, key=lambda p: p.layers).words if problems else
      f'{_UNLIKE}: it has no layers, for nothing in it is called kernel or '
      'weight')


def match_length(count, known):
  """The architecture of a vector without names; raises `Unknown`."""
  lengths = {name: tensors[-1].stop for name, tensors in known.items()}
  fit = [name for name, n in lengths.items() if n == count]
  if len(fit) == 1:
    return fit[0]
  if fit:
    raise arrays.Unknown(
        f'a vector of {count:,} weights may be any of {", ".join(fit)}: give '
        'Flax variables, whose names and shapes tell them apart.')
  raise arrays.Unknown(
      f'it has {count:,} weights, and so is unlike anything in the zoo that '
      'the classifiers know; there: ' + ', '.join(
          f'{n:,} ({name})' for name, n in lengths.items()) + '.')


class _Problem(NamedTuple):
  layers: int  # that fit; of many problems, that of the best fit is told
  words: str


class _Modules(NamedTuple):
  """Modules under a prefix, of each kind: {path: {tensor: (name, shape)}}."""
  conv: dict
  dense: dict
  norm: dict


def _list_prefixes(entries):
  """Levels of the tree that hold kernels, the outermost first: [[prefix]]."""
  kernels = tuple(c.names['kernel'] for c in CONVENTIONS)
  levels = [set() for _ in range(_DEEPEST + 1)]
  for name in entries:
    *parents, last = name.split('/')
    if last in kernels:
      for depth in range(min(len(parents), _DEEPEST + 1)):
        levels[depth].add(''.join(f'{p}/' for p in parents[:depth]))
  return [sorted(level) for level in levels if level]


def _group(entries, prefix, convention):
  """The `_Modules` under a prefix."""
  modules = {}
  names = [n for n in entries if n.startswith(prefix)]
  inner = tuple(f'{prefix}{c}/' for c in convention.collections)
  if any(n.startswith(inner[:1]) for n in names):  # the others are no layers
    names = [n for n in names if n.startswith(inner)]
  else:
    inner = ()
  for name in names:
    start = next((p for p in inner if name.startswith(p)), prefix)
    path, _, leaf = name.removeprefix(start).rpartition('/')
    modules.setdefault(path, {})[leaf] = name, entries[name][0]
  kinds = _Modules({}, {}, {})
  for path, leaves in modules.items():
    tensors = {t: leaves[n] for t, n in convention.names.items() if n in leaves}
    rank = len(tensors.get('kernel', ('', ()))[1])
    if rank in (2, 4):
      kinds[rank == 2][path] = {t: tensors[t] for t in ('kernel', 'bias')
                                if t in tensors}
    elif 'scale' in tensors or 'mean' in tensors:
      kinds.norm[path] = {
          t: tensors[t] for t in ('offset', 'scale', *vectors.RUNNING)
          if t in tensors}
  return kinds


def _match(modules, convention, architecture, tensors):
  """{(layer, tensor): name in the file}, or what does not fit."""
  layers = {}
  for t in tensors:
    layers.setdefault(t.layer, {})[t.tensor] = t.shape
  kernels = {name: parts['kernel'] for name, parts in layers.items()
             if 'kernel' in parts}
  norms = {name: parts['offset'] for name, parts in layers.items()
           if 'offset' in parts}
  if len(kernels) < len(layers):  # a vector without layers
    return _Problem(-1, f'{architecture} is known as a vector alone: give that')
  placed, problem = {}, None
  for kind, leaf, wanted in (
      ('conv', 'kernel', {n: s for n, s in kernels.items() if len(s) == 4}),
      ('dense', 'kernel', {n: s for n, s in kernels.items() if len(s) == 2}),
      ('norm', 'scale', norms)):
    have = getattr(modules, kind)
    shapes = {path: _to_flax(parts[leaf][1], convention)
              for path, parts in have.items() if leaf in parts}
    order = _order(wanted, shapes)
    if order is None:
      problem = problem or _tell(architecture, kind, wanted, shapes)
      continue
    for layer, path in order.items():
      for tensor, (name, shape) in have[path].items():
        if _to_flax(shape, convention) == layers[layer].get(tensor):
          placed[layer, tensor] = name
  missing = [(t.layer, t.tensor) for t in tensors
             if (t.layer, t.tensor) not in placed]
  fits = len({layer for layer, tensor in placed if tensor == 'kernel'})
  if not missing and not problem:
    return placed
  if norms and not problem and {t for _, t in missing} <= {*vectors.RUNNING}:
    return _Problem(fits, _WITHOUT_STATISTICS)
  return _Problem(fits, problem or (
      f'{_UNLIKE}; of {architecture}, the {missing[0][1]} of {missing[0][0]} '
      'is missing, or has another shape'))


_UNLIKE = ('it is of an architecture unlike anything in the zoo that the '
           'classifiers know')
_WITHOUT_STATISTICS = (
    'the running means and variances of its batch norms are missing, which the '
    "classifiers look at: save {'params': …, 'batch_stats': …} of Flax, or the "
    'whole state_dict of PyTorch')


def _tell(architecture, kind, wanted, shapes):
  """What of one kind does not fit, in words."""
  def say(some):
    return ', '.join('x'.join(map(str, s)) for s in list(some)[:8]) or 'none'
  return (f'{_UNLIKE}; {architecture} has {_KINDS[kind]} {say(wanted.values())}'
          f', here are {say(shapes.values())}')


_KINDS = {'conv': 'convolutions of', 'dense': 'dense layers of',
          'norm': 'batch norms of'}


def _order(wanted, shapes):
  """{layer: module} of one kind, or None where the order cannot be told.

  By the modules' names, numbers in them ascending. Where that does not fit:
  names that differ in numbers alone stay in their order, and only one order of
  these lists fits; or the order of the file does; or no two shapes are alike.
  """
  lists = {}
  for path in sorted(shapes, key=_split_numbers):
    lists.setdefault(re.sub(r'\d+', '0', path), []).append(path)

  def fits(paths):
    return [shapes[p] for p in paths] == list(wanted.values())

  if fits(sorted(shapes, key=_split_numbers)):
    return dict(zip(wanted, sorted(shapes, key=_split_numbers)))
  if len(lists) <= _MOST_LISTS:
    orders = [sum(some, []) for some in itertools.permutations(lists.values())]
    orders = [paths for paths in orders if fits(paths)]
    if len(orders) == 1:
      return dict(zip(wanted, orders[0]))
  if fits(shapes):
    return dict(zip(wanted, shapes))
  by_shape = {shape: path for path, shape in shapes.items()}
  if len(by_shape) == len(shapes) == len(wanted) and (
      set(by_shape) == set(wanted.values())):
    return {layer: by_shape[shape] for layer, shape in wanted.items()}
  return None


def _split_numbers(path):
  return [int(x) if x.isdecimal() else x for x in re.split(r'(\d+)', path)]


def _to_flax(shape, convention):
  axes = convention.kernel_axes.get(len(shape))
  return tuple(shape[a] for a in axes) if axes else tuple(shape)


def _assemble(found, convention, architecture, names, tensors):
  first = next(t.layer for t in tensors if len(t.shape) == 2)  # after a flatten

  def join(*loaded):
    parts = []
    for x, t in zip(loaded, tensors):
      x = x.transpose(convention.kernel_axes.get(x.ndim, range(x.ndim)))
      if convention.channels_first and t.layer == first and t.is_kernel:
        side = int(np.sqrt(vectors.FLAT_POSITIONS))
        x = x.reshape(-1, side, side, x.shape[1]).transpose(1, 2, 0, 3)
        x = x.reshape(t.shape)
      parts.append(vectors.flatten(x, t))
    return np.concatenate(parts)

  used = [names[t.layer, t.tensor] for t in tensors]
  result = _load(found, architecture, used, join)
  return result._replace(ignored=_list_ignored(
      [n for n in found.entries
       if n.rpartition('/')[2] not in convention.ignored], used))


def _load(found, architecture, names, join):
  """`Found` of arrays that are joined to the vector."""
  types = [found.entries[name][1] for name in names]
  for name, dtype in zip(names, types):
    if dtype.kind != 'f' and dtype != arrays.BFLOAT16:
      raise ValueError(f'{name[:100]} is {dtype}, not floating-point')
  loaded = found.load(names)
  with np.errstate(over='ignore'):  # becomes infinite, and is told
    vector_P = np.asarray(join(*(
        arrays.view(np.asarray(loaded[n]), t) for n, t in zip(names, types))),
        np.float32)
  return Found(architecture, vector_P,
               rounded=any(t.itemsize < 4 for t in types))


def _list_ignored(names, used):
  """The uppermost parts of the tree that hold nothing of what is used."""
  there = {name[:m.end()] for name in used for m in re.finditer('[^/]+', name)}
  ends = [next((name[:m.end()] for m in re.finditer('[^/]+', name)
                if name[:m.end()] not in there), None) for name in names]
  return tuple(sorted({end for end in ends if end}))
