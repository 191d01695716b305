"""Where and when a property can be read: a grid of cells, kept as data.

A cell is what windows lie in (`places`), when they were taken, and how many
decide. Cells that differ only in what is tested, in train_epoch's epoch, the
position or the number pooled, come from the same models.
"""

from typing import NamedTuple

import numpy as np

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta.answers import cells, ladder
from nws_jax.meta.data import hold_out, places

EPOCH, TRAIN_EPOCH = 'epoch', 'train_epoch'
POSITION, POOLED, HOLD_OUT = 'position', 'pooled', cells.HOLD_OUT
AXES = ('layer', 'tensor', 'part', POSITION, 'window', POOLED, EPOCH,
        TRAIN_EPOCH, HOLD_OUT)
POSITIONS = 100  # windows along the vector, as published


class Time(NamedTuple):
  """The snapshots that models are trained on, and those they are tested on."""
  first: int
  tests: tuple
  names: tuple  # the values of the axes of time, for each of `tests`


def parse_axes(text):
  """'layer,epoch' -> ('layer', 'epoch').

  Raises:
    errors.Wrong: an axis is unknown or named twice, or two of them exclude
      one another.
  """
  axes = tuple(a.strip() for a in text.split(','))
  for a in axes:
    if a not in AXES:
      raise errors.Wrong(f'--ablate={text}: {a!r} is not possible; allowed: '
                         f'{", ".join(AXES)}, or several parted by commas.')
  if len(set(axes)) < len(axes):
    raise errors.Wrong(f'--ablate={text} names an axis twice.')
  if {POSITION, POOLED} <= set(axes):
    raise errors.Wrong(f'--ablate={text}: at one position there is one window, '
                       'nothing is pooled. Leave one of them out.')
  return axes


def list_times(request):
  """The times of a grid: every epoch alone, or all snapshots together."""
  axes = {EPOCH, TRAIN_EPOCH} & set(request.axes)
  if not axes:
    return [Time(0, (0,), ({},))]
  epochs = set(request.epochs.values())
  if len(epochs) > 1:
    raise errors.Wrong(
        f'--ablate={",".join(request.axes)} needs the same epochs of every '
        'network, but these differ; name some that all have, as '
        f'--config.epochs=0:{min(map(max, epochs))}.')
  epochs, = epochs
  if axes == {EPOCH}:
    return [Time(n, (n,), ({EPOCH: e},)) for n, e in enumerate(epochs)]
  tests = range(len(epochs)) if EPOCH in axes else [len(epochs) - 1]
  return [Time(n, tuple(tests), tuple({TRAIN_EPOCH: e, EPOCH: epochs[t]}
                                      for t in tests))
          for n, e in enumerate(epochs)]


def span(request):
  """How many snapshots a model uses together."""
  one = {EPOCH, TRAIN_EPOCH} & set(request.axes)
  return 1 if one else request.snapshots


def list_sides(request):
  """(name, `windows.Sides`) of each split: the request's, or held-out levels.
  """
  s, name = request.settings, request.target.name
  if HOLD_OUT not in request.axes:
    return [({}, request.sides)]
  if not s.hold_out:
    raise errors.Wrong('--ablate=hold_out: of which property? Name it, as '
                       '--hold_out=dataset.')
  return [({HOLD_OUT: level}, hold_out.split(
      request.members, s.hold_out, level, request.target,
      len(request.networks)))
          for level in hold_out.list_levels(
              request.members, s.hold_out, name)]


def count_models(request):
  """How many models a grid trains."""
  return ladder.count_members(request.settings, request.axes) * sum(
      len(sides.trains_F) for *_, (_, sides) in list_asked(request)[1])


def list_asked(request):
  """What a grid trains for: (places, [(place's number, time, (level, sides))]).

  A place is a list of `places.Where` that differ in name alone: at their own
  length and at the common one, where these are equal.
  """
  alike = {}
  for w in list_where(request):
    alike.setdefault((w.parts, w.window), []).append(w)
  sides, seen = list_sides(request), []
  if HOLD_OUT in request.axes:
    seen = [(cells.UNHELD, request.sides)]
  return list(alike.values()), [
      (n, time, level) for n, some in enumerate(alike.values())
      for time in list_times(request)
      for level in sides + seen * (not some[0].common)]


def list_where(request):
  """The places of a grid that the request's classifier can take.

  Raises:
    errors.Wrong: a cell is too short for the classifier, or all cells are for
      a length that was given.
  """
  found = places.list_where(request)
  ladder.check_length(
      request.settings.classifier, min(w.window for w in found))
  return found


def run(request, source, progress):
  """Trains and tests every cell.

  Args:
    request: `request.Request` with axes.
    source: `windows.Source` of it.
    progress: called with (models done, models, rounds done).

  Returns:
    dicts, the rows of ablation.csv: the axes in the order asked, and the
    columns of `cells`.

  Raises:
    errors.Wrong: a cell is too short for the classifier.
  """
  where, asked = list_asked(request)
  outcomes = requests.decide(
      request, _make_places(request, source, [some[0] for some in where]), [
          requests.make_trial(
              request, place=n, first=time.first, tests=time.tests,
              span=span(request), sides=sides)
          for n, time, (_, sides) in asked], progress)
  own, common, seen = [], {}, {}
  for (n, time, (level, _)), outcome in zip(asked, outcomes):
    for name, tested in zip(time.names, outcome.tested):
      for more, decisions in _divide(request, tested):
        for w in where[n]:
          values = {**w.names, **name, **level, **more}
          if w.common:
            common[cells.key(values)] = {}, w.window, decisions
          elif level == cells.UNHELD:
            seen[cells.key(values)] = decisions
          else:
            own.append((values, w.window, decisions))
  return cells.tabulate(request, own, common, seen)


def _make_places(request, source, where):
  """The `views.Place` of each; the same parts are cut out once."""
  names, looks = requests.list_parts(request), requests.make_looks(request)
  if POSITION in request.axes:
    looks = looks._replace(even=POSITIONS)
  made = {}
  for w in where:
    if w.parts not in made:
      made[w.parts] = places.make(
          source, names, w, looks, request.pairs_Mx2, request.settings.seed)
  return [made[w.parts]._replace(looks=looks._replace(length=w.window))
          for w in where]


def _divide(request, decisions):
  """The cells that one set of models gives: by position, or by number pooled.
  """
  outputs_TxExSxO = decisions.outputs_TxSxO.reshape(
      len(decisions.rows_T), span(request), -1,
      decisions.outputs_TxSxO.shape[-1])
  count = outputs_TxExSxO.shape[2]

  def keep(some_TxS):
    kept = np.take_along_axis(outputs_TxExSxO, some_TxS[:, None, :, None], 2)
    return decisions._replace(
        outputs_TxSxO=kept.reshape(len(kept), -1, kept.shape[-1]))

  if POSITION in request.axes:
    rows = np.ones((len(decisions.rows_T), 1), int)
    return [({POSITION: n}, keep(rows * n)) for n in range(count)]
  if POOLED not in request.axes:
    return [({}, decisions)]
  # Of each network a random few: which ones it is must not matter.
  order_TxS = np.random.default_rng([request.settings.seed, 4]).permuted(
      np.tile(np.arange(count), (len(decisions.rows_T), 1)), axis=1)
  numbers = [2**n for n in range(count.bit_length()) if 2**n < count]
  return [({POOLED: n}, keep(order_TxS[:, :n])) for n in numbers + [count]]
