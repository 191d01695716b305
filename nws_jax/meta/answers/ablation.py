"""Where and when a property can be read: a grid of cells, kept as data.

A cell is the region that windows lie in (`places`), the epoch of the snapshots,
the windows that decide together, and the level that is held out. Cells that
differ only in what is tested (the epoch of a train_epoch, the position, the
number of windows pooled) share their models.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import cells
from nws_jax.meta.data import grid, hold_out, layouts, regions, splits, windows
from nws_jax.meta.training import cross_validation

EPOCH, TRAIN_EPOCH = 'epoch', 'train_epoch'
POSITION, POOLED, HOLD_OUT = 'position', 'pooled', cells.HOLD_OUT
AXES = ('layer', 'tensor', 'part', POSITION, 'window', POOLED, EPOCH,
        TRAIN_EPOCH, HOLD_OUT)
POSITIONS = 100  # windows along the vector, as published


class Time(NamedTuple):
  """The snapshots that models are trained on, and those they are tested on."""
  first: int  # index of the first snapshot trained on
  tests: tuple[int, ...]  # likewise, of each test
  names: tuple[dict[str, int], ...]  # the axes of time, for each of `tests`


class Split(NamedTuple):
  """Which networks are trained and tested on."""
  level: dict[str, Any]  # {HOLD_OUT: the level that is tested}, or empty
  sides: splits.Sides


class Asked(NamedTuple):
  """One trial of a grid."""
  place: int  # in `Grid.places`
  time: Time
  split: Split


class Grid(NamedTuple):
  """All that a grid trains.

  A place is a list of `grid.NamedPlace` that differ in name alone: at their own
  length and at the common one, where these are equal.
  """
  places: list[list[grid.NamedPlace]]
  asked: list[Asked]


def parse_axes(text: str) -> tuple[str, ...]:
  """'layer,epoch' -> ('layer', 'epoch').

  Raises:
    errors.Wrong: an axis is unknown or named twice, or two exclude each other.
  """
  axes = tuple(a.strip() for a in text.split(','))
  for a in axes:
    if a not in AXES:
      raise errors.Wrong(f'--ablate={text}: {a!r} is not possible; allowed: '
                         f'{", ".join(AXES)}, or several, separated by commas.')
  if len(set(axes)) < len(axes):
    raise errors.Wrong(f'--ablate={text} names an axis twice.')
  if {POSITION, POOLED} <= set(axes):
    raise errors.Wrong(f'--ablate={text}: there is one window at a position, '
                       'and nothing to pool. Leave out one of these axes.')
  return axes


def list_times(request: requests.Request) -> list[Time]:
  """The times of a grid: every epoch alone, or all snapshots together."""
  axes = {EPOCH, TRAIN_EPOCH} & set(request.axes)
  if not axes:
    return [Time(0, (0,), ({},))]
  found = set(request.epochs.values())
  if len(found) > 1:
    raise errors.Wrong(
        f'--ablate={",".join(request.axes)} needs the same epochs of every '
        'network, but these differ. Give epochs that all have, as '
        f'--config.epochs=0:{min(map(max, found))}.')
  epochs, = found
  if axes == {EPOCH}:
    return [Time(n, (n,), ({EPOCH: e},)) for n, e in enumerate(epochs)]
  tests = range(len(epochs)) if EPOCH in axes else [len(epochs) - 1]
  return [Time(n, tuple(tests), tuple({TRAIN_EPOCH: e, EPOCH: epochs[t]}
                                      for t in tests))
          for n, e in enumerate(epochs)]


def span(request: requests.Request) -> int:
  """How many snapshots a model uses together."""
  one = {EPOCH, TRAIN_EPOCH} & set(request.axes)
  return 1 if one else request.snapshots


def list_splits(request: requests.Request) -> list[Split]:
  """The request's own split, or one a held-out level."""
  s, name = request.settings, request.target.name
  if HOLD_OUT not in request.axes:
    return [Split({}, request.sides)]
  if not s.hold_out:
    raise errors.Wrong('--ablate=hold_out needs a property whose levels are '
                       'held out in turn: add it, as --hold_out=dataset.')
  return [Split({HOLD_OUT: level}, hold_out.split(
      request.members, s.hold_out, level, request.target,
      len(request.networks)))
          for level in hold_out.list_levels(
              request.members, s.hold_out, name,
              request.zoo.properties)]


def count_models(request: requests.Request) -> int:
  """How many models a grid trains."""
  return request.num_members * sum(
      len(a.split.sides.trains_F) for a in plan(request).asked)


def plan(request: requests.Request) -> Grid:
  """All that the grid of a request trains."""
  alike: dict[tuple[Any, int], list[grid.NamedPlace]] = {}
  for w in list_where(request):
    alike.setdefault((w.parts, w.window), []).append(w)
  own, unheld = list_splits(request), []
  if HOLD_OUT in request.axes:  # what the held-out levels are compared with
    unheld = [Split(cells.UNHELD, request.sides)]
  return Grid(list(alike.values()), [
      Asked(n, time, split) for n, some in enumerate(alike.values())
      for time in list_times(request)
      for split in own + unheld * (not some[0].common)])


def list_where(request: requests.Request) -> list[grid.NamedPlace]:
  """The places of a grid that the request's classifier can take.

  Raises:
    errors.Wrong: a cell is too short for the classifier, or for the window
      that was given.
  """
  found = grid.list_places(request.layers, request.axes,
                           request.settings.window, request.window)
  requests.check_length(request.classifier, min(w.window for w in found))
  return found


def run(request: requests.Request, source: windows.Source,
        progress: Callable[[int, int, int], None]) -> list[cells.Row]:
  """Trains and tests every cell.

  Args:
    request: with axes.
    source: its weights.
    progress: called with (models done, models, rounds done).

  Returns:
    The rows of ablation.csv: the axes in the order asked, and the columns of
    `cells`.

  Raises:
    errors.Wrong: a cell is too short for the classifier.
  """
  where, asked = plan(request)
  outcomes = running.decide(
      request, _make_places(request, source, [some[0] for some in where]), [
          running.make_trial(
              request, place=n, first=time.first, tests=time.tests,
              span=span(request), sides=split.sides)
          for n, time, split in asked], progress)
  # One set of models gives several cells: one a test, and position or number
  # of windows pooled, and name of their place.
  own: list[cells.Cell] = []
  common: dict[cells.Key, cells.Cell] = {}
  seen: dict[cells.Key, cross_validation.Decisions] = {}
  for (n, time, split), outcome in zip(asked, outcomes):
    for name, tested in zip(time.names, outcome.tested):
      for more, decisions in _divide(request, tested):
        for w in where[n]:
          values = {**w.names, **name, **split.level, **more}
          if w.common:
            common[cells.key(values)] = cells.Cell({}, w.window, decisions)
          elif split.level == cells.UNHELD:
            seen[cells.key(values)] = decisions
          else:
            own.append(cells.Cell(values, w.window, decisions))
  return cells.tabulate(request, own, common, seen)


def _make_places(request: requests.Request, source: windows.Source,
                 where: Sequence[grid.NamedPlace]) -> list[regions.Place]:
  """The `regions.Place` of each; the same parts are cut out once."""
  whole = running.make_place(request, source)
  if POSITION in request.axes:
    whole = whole._replace(spec=whole.spec._replace(even=POSITIONS))
  made: dict[tuple[layouts.Part, ...], regions.Place] = {}
  for w in where:
    if w.parts not in made:
      made[w.parts] = grid.make(source, request.parts, w, whole)
  return [made[w.parts]._replace(
      spec=made[w.parts].spec._replace(length=w.window)) for w in where]


def _divide(
    request: requests.Request, decisions: cross_validation.Decisions,
) -> list[tuple[dict[str, int], cross_validation.Decisions]]:
  """The cells that one test gives: by position, or by number pooled."""
  outputs_TxExSxO = decisions.outputs_TxSxO.reshape(
      len(decisions.rows_T), span(request), -1,
      decisions.outputs_TxSxO.shape[-1])
  count = outputs_TxExSxO.shape[2]

  def keep(some_TxS: np.ndarray) -> cross_validation.Decisions:
    """The decisions of some windows of each network."""
    kept = np.take_along_axis(outputs_TxExSxO, some_TxS[:, None, :, None], 2)
    return decisions._replace(
        outputs_TxSxO=kept.reshape(len(kept), -1, kept.shape[-1]))

  if POSITION in request.axes:
    rows = np.ones((len(decisions.rows_T), 1), int)
    return [({POSITION: n}, keep(rows * n)) for n in range(count)]
  if POOLED not in request.axes:
    return [({}, decisions)]
  # Windows of each network are drawn at random: which ones must not matter.
  order_TxS = np.random.default_rng([request.settings.seed, 4]).permuted(
      np.tile(np.arange(count), (len(decisions.rows_T), 1)), axis=1)
  numbers = [2**n for n in range(count.bit_length()) if 2**n < count]
  return [({POOLED: n}, keep(order_TxS[:, :n])) for n in numbers + [count]]
