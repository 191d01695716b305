"""Arrays of any names -> the flat vector of an architecture.

Arrays that belong to no layer (an optimizer's state, a step) are ignored.
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nws_jax import layout
from nws_jax.meta.data import layouts
from nws_jax.meta.identify.checkpoints import arrays, modules

Tensors = tuple[layouts.Tensor, ...]
Known = dict[str, Tensors]
_UNKNOWN = 'its architecture is unlike any that the classifiers know'
_WITHOUT_STATISTICS = (
    'the running means and variances of its batch norms are missing, which the '
    "classifiers read: save {'params': …, 'batch_stats': …} of Flax, or the "
    'whole state_dict of PyTorch')


class Found(NamedTuple):
  """A network in a file."""
  architecture: str
  vector_P: np.ndarray
  ignored: tuple[str, ...] = ()  # what else is in the file
  rounded: bool = False  # whether the file is in half precision


class _Match(NamedTuple):
  """How a file holds a network."""
  convention: modules.Convention
  architecture: str
  names: list[str]  # of its tensors, in the order of the vector


class _Problem(NamedTuple):
  """Why a file does not hold a network."""
  fits: tuple[int, int]  # layers that fit, and layers; the best fit is reported
  words: str


def find(found: arrays.Arrays, known: Known) -> Found:
  """Finds the network of a known architecture, and loads it.

  Args:
    found: the arrays of the file.
    known: the tensors of each known architecture.

  Raises:
    arrays.Unknown: there is none, or more than one; says what is missing.
    ValueError: an array of it is not of floating-point numbers.
  """
  if len(found.entries) == 1:
    (name, (shape, _)), = found.entries.items()
    if len(shape) == 1:
      return _load(found, match_length(shape[0], known), [name],
                   lambda values: values)
  # Networks are looked for at each depth of the tree, the outermost first: in
  # a TrainState, `params` lie beside an optimizer's copies of the same names.
  problems: list[_Problem] = []
  for prefixes in modules.list_prefixes(found.entries):
    tried = [(prefix, _match(
        modules.group(found.entries, prefix, convention), convention, name,
        known[name])) for prefix in prefixes
             for convention in modules.CONVENTIONS for name in known]
    problems += [t for _, t in tried if isinstance(t, _Problem)]
    matches = {prefix: t for prefix, t in tried if isinstance(t, _Match)}
    if len(matches) > 1:
      raise arrays.Unknown(f'it holds several networks ({", ".join(matches)}): '
                           'save only one of them')
    for match in matches.values():
      return _assemble(found, match, known[match.architecture])
  raise arrays.Unknown(
      max(problems, key=lambda p: p.fits).words if problems else
      f'{_UNKNOWN}: no array in it is named kernel or weight, so it has no '
      'layers')


def match_length(count: int, known: Known) -> str:
  """The architecture of a vector without names; raises `Unknown`."""
  lengths = {name: tensors[-1].stop for name, tensors in known.items()}
  fit = [name for name, n in lengths.items() if n == count]
  if len(fit) == 1:
    return fit[0]
  if fit:
    raise arrays.Unknown(
        f'a vector of {count:,} weights may be any of {", ".join(fit)}: give '
        'Flax variables, whose names and shapes distinguish them')
  raise arrays.Unknown(
      f'it has {count:,} weights, unlike any architecture that the classifiers '
      'know; these have ' + ', '.join(
          f'{n:,} ({name})' for name, n in lengths.items()))


def _match(there: modules.Modules, convention: modules.Convention,
           architecture: str, tensors: Tensors) -> _Match | _Problem:
  """Whether modules are the layers of an architecture with these tensors."""
  layers: dict[str, dict[str, tuple]] = {}
  for t in tensors:
    layers.setdefault(t.layer, {})[t.tensor] = t.shape
  kernels = {name: shapes['kernel'] for name, shapes in layers.items()
             if 'kernel' in shapes}
  if len(kernels) < len(layers):  # a vector without layers
    return _Problem((0, 0), f'{architecture} is known only as a vector')
  # Modules of each kind are brought into the order of the layers; then each
  # tensor of a layer is the array of its module that has its name and shape.
  placed: dict[tuple[str, str], str] = {}
  problem: str | None = None
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
      problem = problem or _describe_mismatch(architecture, kind, own, shapes)
    placed |= {(layer, tensor): leaf.name
               for layer, path in zip(own, paths or ())
               for tensor, leaf in have[path].items()
               if leaf.shape == layers[layer][tensor]}
  names = [placed.get((t.layer, t.tensor)) for t in tensors]
  if problem is None and None not in names:
    return _Match(convention, architecture, [n for n in names if n])
  missing = [(t.layer, t.tensor) for t in tensors
             if (t.layer, t.tensor) not in placed]
  if problem is None and {t for _, t in missing} <= {*layout.RUNNING}:
    problem = _WITHOUT_STATISTICS
  return _Problem(
      (sum(tensor == 'kernel' for _, tensor in placed),
       len(there.conv) + len(there.dense)),
      problem or f'{_UNKNOWN}; of {architecture}, the {missing[0][1]} of '
      f'{missing[0][0]} is missing, or has another shape')


def _describe_mismatch(architecture: str, kind: str, own: dict[str, tuple],
                       shapes: dict[str, tuple]) -> str:
  """How the layers of one kind do not fit, in words."""
  def list_shapes(some: dict[str, tuple]) -> str:
    return ', '.join(
        'x'.join(map(str, s)) for s in list(some.values())[:8]) or 'none'
  what = {'conv': 'convolutions', 'dense': 'dense layers',
          'norm': 'batch norms'}[kind]
  return (f'{_UNKNOWN}; {architecture} has {what} of {list_shapes(own)}, '
          f'the file of {list_shapes(shapes)}')


def _assemble(found: arrays.Arrays, match: _Match, tensors: Tensors) -> Found:
  """Loads the network that was found."""
  convention = match.convention
  first = next(t for t in tensors if len(t.shape) == 2)  # after a flattening
  channels = next((t.shape[-1] for t in reversed(tensors) if len(t.shape) == 4),
                  first.shape[0])
  side = math.isqrt(first.shape[0] // channels)  # of the images flattened

  def join(*loaded: np.ndarray) -> np.ndarray:
    parts = []
    for x, t in zip(loaded, tensors):
      # From the convention's order of axes to ours. Channels first, the first
      # dense layer also has its inputs in another order.
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
          join: Callable[..., np.ndarray]) -> Found:
  """Loads arrays and joins them into the vector."""
  types = [found.entries[name][1] for name in names]
  for name, dtype in zip(names, types):
    if dtype.kind != 'f' and dtype != arrays.BFLOAT16:
      raise ValueError(f'{name[:100]} is of type {dtype}, not floating-point')
  loaded = found.load(names)
  with np.errstate(over='ignore'):  # infinite values are refused later
    vector_P = np.asarray(join(*(
        arrays.view(loaded[n], t) for n, t in zip(names, types))), np.float32)
  return Found(architecture, vector_P,
               rounded=any(t.itemsize < 4 for t in types))


def _list_ignored(names: list[str], used: list[str]) -> tuple:
  """The topmost keys of the tree under which nothing is used."""
  def climb(name: str) -> list[str]:
    return [name[:m.end()] for m in re.finditer('[^/]+', name)]
  used_parts = {part for name in used for part in climb(name)}
  return tuple(sorted({
      next(part for part in climb(name) if part not in used_parts)
      for name in names if name not in used_parts}))
