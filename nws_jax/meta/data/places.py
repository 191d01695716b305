"""Where in the vectors windows lie: all of them, or those of some tensors.

Places are named by the axes of an ablation and made on the device one by one:
values that lie apart are closed up, others are windows of the same vectors.
"""

from typing import NamedTuple

import numpy as np

from nws_jax import errors
from nws_jax.meta.data import layouts, reading, windows
from nws_jax.meta.training import views

LAYER, TENSOR, PART, WINDOW = AXES = ('layer', 'tensor', 'part', 'window')
SHORTEST = 32  # of the windows of the axis of that name
_SHARE = 20  # a local window is this share of the vector; published: 1 / 18.6


class Where(NamedTuple):
  """Values of the axes, the parts that windows lie in, and their length."""
  names: dict
  parts: tuple  # (layer, tensor), or none if it is all of them
  window: int
  longest: int  # of what windows can lie in, over the networks
  common: bool = False  # a place once more, at the length common to all


def part(layer):
  """'convolution' or 'fully connected'."""
  return 'convolution' if layer.startswith('conv') else 'fully connected'


def list_where(request):
  """The places of a grid, those at the common length behind the others.

  A tensor that not all networks have is no place. A place's window is the
  smaller of the request's and its length.
  """
  groups = _group(request)
  lengths = {key: measure_parts(request, parts)
             for key, parts in groups.items()}
  groups = {key: parts for key, parts in groups.items()
            if min(lengths[key]) > 0}
  if not groups:
    raise errors.Wrong(f'--ablate={",".join(request.axes)}: these networks '
                       'have no such tensors in common.')
  asked = request.settings.window
  if asked and max(min(of) for of in lengths.values()) < asked:
    raise errors.Wrong(
        f'--ablate={",".join(request.axes)}: no place holds a window of '
        f'{asked} weights; the longest has '
        f'{max(min(of) for of in lengths.values())}. Give at most that, or 0.')
  split = any(a in request.axes for a in (LAYER, TENSOR, PART))
  found = []
  for key, parts in groups.items():
    names = dict(zip([a for a in request.axes if a in AXES[:3]], key))
    shortest, longest = min(lengths[key]), max(lengths[key])
    parts = tuple(parts) if split else ()
    if WINDOW in request.axes:
      found += [Where({**names, WINDOW: w}, parts, w, longest)
                for w in _double(shortest)]
    else:
      found.append(Where(names, parts, min(request.window, shortest), longest))
  if split and WINDOW not in request.axes:
    least = min(w.window for w in found)
    found += [w._replace(window=least, common=True) for w in found]
  return found


def local_window(request_window, shortest):
  """The length of windows where several of them are the point."""
  return (request_window if 0 < request_window < shortest
          else max(min(SHORTEST, shortest), shortest // _SHARE))


def make(source, names, where, looks, pairs_Mx2=None, seed=0):
  """The `views.Place`.

  Args:
    source: `windows.Source` of whole vectors.
    names: (layer, tensor) of its parts.
    where: `Where`.
    looks: `views.Looks` but for the length.
    pairs_Mx2: as of the place.
    seed: likewise.
  """
  chosen = where.parts or names
  kept_AxP = np.isin(np.asarray(source.parts_AxP),
                     [names.index(p) for p in chosen])
  layout_M = np.asarray(source.layout_M)
  low_A = kept_AxP.argmax(1)
  high_A = kept_AxP.shape[1] - kept_AxP[:, ::-1].argmax(1)
  low_M, high_M = (x_A[layout_M].astype(np.int32) for x_A in (low_A, high_A))
  if (kept_AxP.sum(1) < high_A - low_A).any():
    source, high_M = windows.keep(source, kept_AxP)
    low_M = np.zeros_like(high_M)
    looks = looks._replace(tensors=layouts.keep(looks.tensors, chosen))
  return views.Place(source, windows.Region(low_M, high_M),
                       looks._replace(length=where.window), pairs_Mx2,
                       seed)


def _group(request):
  """{values of the axes: [(layer, tensor)]}, in the order of the vectors."""
  axes = [a for a in request.axes if a in AXES[:3]]
  groups = {}
  layers = reading.list_layers(request.zoo.layers, request.rows)
  for layer, tensor in dict.fromkeys(zip(layers['layer'], layers['tensor'])):
    values = {LAYER: layer, TENSOR: tensor, PART: part(layer)}
    groups.setdefault(tuple(values[a] for a in axes), []).append(
        (layer, tensor))
  return groups


def measure_parts(request, parts):
  """How many values of these parts each architecture has."""
  layers = reading.list_layers(request.zoo.layers, request.rows)
  of_it = [p in parts for p in zip(layers['layer'], layers['tensor'])]
  sizes = (layers['stop'] - layers['start']).where(of_it, 0)
  return sizes.groupby(layers['architecture']).sum().tolist()


def _double(longest):
  """32, 64, ... and the whole."""
  found, length = [], min(SHORTEST, longest)
  while length < longest:
    found.append(length)
    length *= 2
  return found + [longest]
