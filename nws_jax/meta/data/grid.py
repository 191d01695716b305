"""The places of a grid: all of the vectors, or some tensors of them.

Places are named by the axes of an ablation and made on the device one by one:
values that lie apart are closed up, others are windows of the same vectors.
"""

from typing import NamedTuple, Sequence

import numpy as np
import pandas as pd

from nws_jax import errors
from nws_jax.meta.data import layouts, regions, windows

LAYER, TENSOR, PART, WINDOW = AXES = ('layer', 'tensor', 'part', 'window')
SHORTEST = 32  # of the windows of the axis of that name
_SHARE = 20  # a local window is this share of the vector; published: 1 / 18.6


class NamedPlace(NamedTuple):
  """A place as it is named in a grid, before it is made."""
  names: dict[str, str | int]  # values of the axes
  parts: tuple[layouts.Part, ...]  # that windows lie in; none if it is all
  window: int  # length
  longest: int  # of what windows can lie in, over the networks
  common: bool = False  # once more, at the length that all places have


def list_places(layers: pd.DataFrame, axes: Sequence[str], asked: int,
                default: int) -> list[NamedPlace]:
  """The places of a grid, those at the common length behind the others.

  A tensor that not all networks have is no place.

  Args:
    layers: the rows of layers.csv that the networks have.
    axes: of the ablation.
    asked: length of a window that was given; 0 if none was.
    default: length of a window, where a place is not shorter.

  Raises:
    errors.Wrong: there is no place, or none that is long enough.
  """
  groups = _group(layers, axes)
  lengths = {key: measure_parts(layers, parts)
             for key, parts in groups.items()}
  groups = {key: parts for key, parts in groups.items()
            if min(lengths[key]) > 0}
  if not groups:
    raise errors.Wrong(f'--ablate={",".join(axes)}: these networks have no '
                       'such tensors in common.')
  longest = max(min(of) for of in lengths.values())
  if longest < asked:
    raise errors.Wrong(
        f'--ablate={",".join(axes)}: no place holds a window of {asked} '
        f'weights; the longest has {longest}. Give at most that, or 0.')
  split = any(a in axes for a in (LAYER, TENSOR, PART))
  found = []
  for key, parts in groups.items():
    names: dict[str, str | int] = dict(
        zip([a for a in axes if a in AXES[:3]], key))
    shortest, most = min(lengths[key]), max(lengths[key])
    inside = tuple(parts) if split else ()
    if WINDOW in axes:
      found += [NamedPlace({**names, WINDOW: w}, inside, w, most)
                for w in _double(shortest)]
    else:
      found.append(NamedPlace(names, inside, min(default, shortest), most))
  if split and WINDOW not in axes:
    least = min(w.window for w in found)
    found += [w._replace(window=least, common=True) for w in found]
  return found


def local_window(request_window: int, shortest: int) -> int:
  """The length of windows where several of them are the point."""
  return (request_window if 0 < request_window < shortest
          else max(min(SHORTEST, shortest), shortest // _SHARE))


def make(source: windows.Source, names: list[layouts.Part], named: NamedPlace,
         whole: regions.Place) -> regions.Place:
  """The place of some tensors.

  Args:
    source: `windows.Source` of whole vectors.
    names: (layer, tensor) of its parts.
    named: which of them, and how long windows are.
    whole: the `regions.Place` of whole vectors, for all else.
  """
  chosen, spec = named.parts or names, whole.spec
  # From the first to the last value of the chosen parts, in each layout.
  kept_AxP = np.isin(np.asarray(source.parts_AxP),
                     [names.index(p) for p in chosen])
  layout_M = np.asarray(source.layout_M)
  low_A = kept_AxP.argmax(1)
  high_A = kept_AxP.shape[1] - kept_AxP[:, ::-1].argmax(1)
  low_M, high_M = (x_A[layout_M].astype(np.int32) for x_A in (low_A, high_A))
  # Where other values lie between them, vectors without those are made.
  if (kept_AxP.sum(1) < high_A - low_A).any():
    source, high_M = windows.keep(source, kept_AxP)
    low_M = np.zeros_like(high_M)
    spec = spec._replace(tensors=layouts.keep(spec.tensors, chosen))
  return whole._replace(source=source, region=regions.Region(low_M, high_M),
                        spec=spec._replace(length=named.window))


def _group(layers: pd.DataFrame, axes: Sequence[str]
           ) -> dict[tuple[str, ...], list[layouts.Part]]:
  """{values of the axes: parts}, in the order of the vectors."""
  groups: dict[tuple[str, ...], list[layouts.Part]] = {}
  columns = layers[[LAYER, TENSOR, PART]].drop_duplicates([LAYER, TENSOR])
  for layer, tensor, part in columns.itertuples(index=False, name=None):
    values = {LAYER: layer, TENSOR: tensor, PART: part}
    groups.setdefault(tuple(values[a] for a in axes if a in values), []).append(
        (layer, tensor))
  return groups


def measure_parts(layers: pd.DataFrame,
                  parts: Sequence[layouts.Part]) -> list[int]:
  """How many values of these parts each architecture has."""
  chosen = [p in parts for p in zip(layers['layer'], layers['tensor'])]
  sizes = (layers['stop'] - layers['start']).where(chosen, 0)
  return sizes.groupby(layers['architecture']).sum().tolist()


def _double(longest: int) -> list[int]:
  """32, 64, ... and the whole."""
  found, length = [], min(SHORTEST, longest)
  while length < longest:
    found.append(length)
    length *= 2
  return found + [longest]
