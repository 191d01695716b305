"""Arrays with somebody's names -> the flat vector of an architecture.

What belongs to no layer (an optimizer's state, a step) is passed by.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nws_jax import layout
from nws_jax.meta.identify.checkpoints import arrays, modules

_UNLIKE = ('it is of an architecture unlike anything in the zoo that the '
           'classifiers know')
_WITHOUT_STATISTICS = (
    'the running means and variances of its batch norms are missing, which the '
    "classifiers look at: save {'params': …, 'batch_stats': …} of Flax, or the "
    'whole state_dict of PyTorch')


class Found(NamedTuple):
  """A network in a file."""
  architecture: str
  vector_P: Any
  ignored: tuple = ()  # what of the file was passed by
  rounded: bool = False  # whether it was kept in half precision


class _Match(NamedTuple):
  """How a file holds a network."""
  convention: modules.Convention
  architecture: str
  names: list  # of its tensors, in the order of the vector


class _Problem(NamedTuple):
  """Why a file does not hold a network."""
  fits: tuple  # layers that fit, and layers; that of the best fit is told
  words: str


def find(found: arrays.Arrays, known: dict) -> Found:
  """Finds the network of a known architecture, and loads it.

  Args:
    found: what the file holds.
    known: {architecture: its `layouts.Tensor`s}.

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
  for prefixes in modules.list_prefixes(found.entries):
    tried = [(prefix, _match(
        modules.group(found.entries, prefix, convention), convention, name,
        known[name])) for prefix in prefixes
             for convention in modules.CONVENTIONS for name in known]
    problems += [t for _, t in tried if isinstance(t, _Problem)]
    matches = {prefix: t for prefix, t in tried if isinstance(t, _Match)}
    if len(matches) > 1:
      raise arrays.Unknown(f'it holds several networks ({", ".join(matches)}): '
                           'save one of them alone')
    for match in matches.values():
      return _assemble(found, match, known[match.architecture])
  raise arrays.Unknown(
      max(problems, key=lambda p: p.fits).words if problems else
      f'{_UNLIKE}: it has no layers, for nothing in it is called kernel or '
      'weight')


def match_length(count: int, known: dict) -> str:
  """The architecture of a vector without names; raises `Unknown`."""
  lengths = {name: tensors[-1].stop for name, tensors in known.items()}
  fit = [name for name, n in lengths.items() if n == count]
  if len(fit) == 1:
    return fit[0]
  if fit:
    raise arrays.Unknown(
        f'a vector of {count:,} weights may be any of {", ".join(fit)}: give '
        'Flax variables, whose names and shapes tell them apart')
  raise arrays.Unknown(
      f'it has {count:,} weights, and so is unlike anything in the zoo that '
      'the classifiers know; there: ' + ', '.join(
          f'{n:,} ({name})' for name, n in lengths.items()))


def _match(there: modules.Modules, convention: modules.Convention,
           architecture: str, tensors: tuple) -> _Match | _Problem:
  """Whether modules are the layers of an architecture, of these tensors."""
  layers = {}
  for t in tensors:
    layers.setdefault(t.layer, {})[t.tensor] = t.shape
  kernels = {name: shapes['kernel'] for name, shapes in layers.items()
             if 'kernel' in shapes}
  if len(kernels) < len(layers):  # a vector without layers
    return _Problem((0, 0), f'{architecture} is known as a vector alone')
  placed, problem = {}, None
  for kind, mark, own in (
      ('conv', 'kernel', {n: s for n, s in kernels.items() if len(s) == 4}),
      ('dense', 'kernel', {n: s for n, s in kernels.items() if len(s) == 2}),
      ('norm', 'scale', {name: shapes['scale'] for name, shapes
                         in layers.items() if 'scale' in shapes})):
    have = {path: leaves for path, leaves in getattr(there, kind).items()
            if mark in leaves}
    shapes = {path: leaves[mark].shape for path, leaves in have.items()}
    paths = modules.order(list(own.values()), shapes)
    if paths is None:
      problem = problem or _tell(architecture, kind, own, shapes)
    placed |= {(layer, tensor): leaf.name
               for layer, path in zip(own, paths or ())
               for tensor, leaf in have[path].items()
               if leaf.shape == layers[layer][tensor]}
  names = [placed.get((t.layer, t.tensor)) for t in tensors]
  if problem is None and None not in names:
    return _Match(convention, architecture, names)
  missing = [(t.layer, t.tensor) for t in tensors
             if (t.layer, t.tensor) not in placed]
  if problem is None and {t for _, t in missing} <= {*layout.RUNNING}:
    problem = _WITHOUT_STATISTICS
  return _Problem(
      (sum(tensor == 'kernel' for _, tensor in placed),
       len(there.conv) + len(there.dense)),
      problem or f'{_UNLIKE}; of {architecture}, the {missing[0][1]} of '
      f'{missing[0][0]} is missing, or has another shape')


def _tell(architecture: str, kind: str, own: dict, shapes: dict) -> str:
  """What of one kind does not fit, in words."""
  def say(some: dict) -> str:
    return ', '.join(
        'x'.join(map(str, s)) for s in list(some.values())[:8]) or 'none'
  what = {'conv': 'convolutions', 'dense': 'dense layers',
          'norm': 'batch norms'}[kind]
  return (f'{_UNLIKE}; {architecture} has {what} of {say(own)}, here are '
          f'{say(shapes)}')


def _assemble(found: arrays.Arrays, match: _Match, tensors: tuple) -> Found:
  """Loads the network that is there."""
  convention = match.convention
  first = next(t for t in tensors if len(t.shape) == 2)  # after a flattening
  channels = next((t.shape[-1] for t in reversed(tensors) if len(t.shape) == 4),
                  first.shape[0])
  side = math.isqrt(first.shape[0] // channels)  # of the images flattened

  def join(*loaded: np.ndarray) -> np.ndarray:
    parts = []
    for x, t in zip(loaded, tensors):
      x = x.transpose(convention.kernel_axes.get(x.ndim, range(x.ndim)))
      if convention.channels_first and t == first:
        x = x.reshape(channels, side, side, x.shape[1]).transpose(1, 2, 0, 3)
      parts.append(t.flatten(x.reshape(t.shape)))
    return np.concatenate(parts)

  others = [n for n in found.entries
            if n.rpartition('/')[2] not in convention.ignored]
  return _load(found, match.architecture, match.names, join)._replace(
      ignored=_list_ignored(others, match.names))


def _load(found: arrays.Arrays, architecture: str, names: list[str],
          join: Callable) -> Found:
  """`Found` of arrays that `join` makes the vector of."""
  types = [found.entries[name][1] for name in names]
  for name, dtype in zip(names, types):
    if dtype.kind != 'f' and dtype != arrays.BFLOAT16:
      raise ValueError(f'{name[:100]} is {dtype}, not floating-point')
  loaded = found.load(names)
  with np.errstate(over='ignore'):  # becomes infinite, and is told
    vector_P = np.asarray(join(*(
        arrays.view(loaded[n], t) for n, t in zip(names, types))), np.float32)
  return Found(architecture, vector_P,
               rounded=any(t.itemsize < 4 for t in types))


def _list_ignored(names: list[str], used: list[str]) -> tuple:
  """The uppermost parts of the tree that hold nothing of what is used."""
  def climb(name: str) -> list[str]:
    return [name[:m.end()] for m in re.finditer('[^/]+', name)]
  there = {part for name in used for part in climb(name)}
  return tuple(sorted({
      next(part for part in climb(name) if part not in there)
      for name in names if name not in there}))
