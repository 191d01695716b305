"""Where and when a property can be read: a grid of cells, kept as data.

A cell is a place (which values windows lie in) at a time (which snapshots are
used). Times train together; places follow one another, and those of one size
share a compiled program.
"""

import csv
import io
from typing import Any, NamedTuple

import jax
import numpy as np

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import rungs, score, windows

AXES = ('layer', 'epoch')
FIGURES = ('window', 'value', 'low', 'high', 'chance', 'above_chance',
           'networks', 'window_value', 'window_low', 'window_high')


class Place(NamedTuple):
  """Values of the axes of place, and the values that windows lie in."""
  names: dict
  region: windows.Region
  window: int


class Times(NamedTuple):
  """Values of the axes of time, and the snapshots of each: from `firsts`."""
  names: Any
  firsts: Any
  span: int


def parse_axes(text):
  """'layer,epoch' -> ('layer', 'epoch').

  Raises:
    errors.Wrong: an axis is unknown or named twice.
  """
  axes = tuple(a.strip() for a in text.split(','))
  for a in axes:
    if a not in AXES:
      raise errors.Wrong(f'--ablate={text}: {a!r} is not possible; allowed: '
                         f'{", ".join(AXES)}, or several parted by commas.')
  if len(set(axes)) < len(axes):
    raise errors.Wrong(f'--ablate={text} names an axis twice.')
  return axes


def list_places(request):
  """The places of a grid: every layer that all networks have, or all of it."""
  if 'layer' not in request.axes:
    region = requests.whole(request)
    return [Place({}, region, request.window)]
  layers, places = request.zoo.layers, []
  bounds = layers.groupby(['architecture', 'layer'], sort=False).agg(
      start=('start', 'min'), stop=('stop', 'max'))
  architectures = request.members['architecture']
  for layer in dict.fromkeys(layers['layer']):
    at = [(a, layer) for a in architectures]
    if set(at) <= set(bounds.index):
      low_M, high_M = bounds.loc[at].to_numpy(np.int32).T
      region = windows.Region(low_M, high_M)
      places.append(Place({'layer': layer}, region,
                          min(request.window, region.shortest)))
  return places


def list_times(request):
  """The times of a grid: every epoch alone, or all snapshots together."""
  if 'epoch' not in request.axes:
    return Times([{}], [0], request.snapshots)
  epochs = set(request.epochs.values())
  if len(epochs) > 1:
    raise errors.Wrong(
        '--ablate=epoch needs the same epochs of every network, but '
        'these differ; name some that all have, as --config.epochs='
        f'0:{min(map(max, epochs))}.')
  epochs, = epochs
  return Times([{'epoch': e} for e in epochs], list(range(len(epochs))), 1)


def run(request, source, progress):
  """Trains and tests every cell.

  Args:
    request: `request.Request` with axes.
    source: `windows.Source` of it.
    progress: called with (places done, places, models done, models, rounds
      done, models going).

  Returns:
    dicts, the rows of ablation.csv: the axes in the order asked, `FIGURES`.

  Raises:
    errors.Wrong: a cell is too short for the classifier.
  """
  places, times = list_places(request), list_times(request)
  rungs.check_length(
      request.settings.classifier, min(p.window for p in places))
  key, cells = jax.random.key(request.settings.seed), []
  for n, place in enumerate(places):
    runs = requests.decide(
        request, source, place.region, place.window, times.firsts, times.span,
        request.target.values_M[None], jax.random.fold_in(key, n),
        lambda *at, n=n: progress(n, len(places), *at))
    for names, (decisions,) in zip(times.names, runs):
      figures = score.score(decisions, request.target, request.settings_M,
                            request.settings.bootstrap)
      cells.append(_make_row(request, {**place.names, **names}, place.window,
                             figures))
  return cells


def write(cells):
  """The text of ablation.csv."""
  out = io.StringIO()
  writer = csv.DictWriter(out, list(cells[0]), lineterminator='\n')
  writer.writeheader()
  writer.writerows(cells)
  return out.getvalue()


def _make_row(request, names, window, figures):
  value, low, high = score.main_figure(figures)
  per_window = figures['per_window']
  return {**{a: names[a] for a in request.axes}, **dict(zip(FIGURES, (
      window, value, low, high, figures['chance'], low > figures['chance'],
      len(request.members) if len(request.sides.tests_F) > 1
      else int(request.sides.tests_F[0]),
      per_window.get('accuracy', per_window.get('value')),
      *per_window['interval'])))}
