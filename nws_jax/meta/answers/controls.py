"""What else could explain a number, measured beside it.

Some controls know little: weights before training, their norm, their number.
They explain a score that is not higher than theirs. Others take something
away: the running statistics, or what differs between classes without being
asked for. They explain a score that is gone without it.
"""

from typing import NamedTuple

import numpy as np

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import settings
from nws_jax.meta.answers import score
from nws_jax.meta.data import places, windows
from nws_jax.meta.figures import significance
from nws_jax.meta.training import trials as trials_lib
from nws_jax.meta.training import views

STATISTICS = ('mean', 'variance')
KNOWS_LITTLE = ('majority', 'epoch_0', 'weight_norm', 'num_weights')
TAKES_AWAY = ('no_statistics', 'accuracy_matched', 'updates_matched')
_PERMUTATIONS = 19  # the fewest that can give p = 0.05
_STRATA = 10  # of equal test accuracy, at most


class Control(NamedTuple):
  """A control that needs models of its own; `about` goes into result.json."""
  name: str
  place: views.Place | views.Numbers
  trial: trials_lib.Trial
  about: dict


class _Useless(Exception):
  """Why a control cannot be had, or would say nothing."""


def count_permutations(s):
  """How many runs on shuffled labels `settings.Settings` ask for."""
  asked = 'shuffled' in settings.list_controls(s.controls)
  return s.permutations or _PERMUTATIONS * asked


def choose(request, source):
  """The controls of a request, ready to be trained.

  Args:
    request: `request.Request`.
    source: its `windows.Source`.

  Returns:
    ([Control], {name: why there is none}).
  """
  made, left_out = [], {}
  for name in settings.list_controls(request.settings.controls):
    if name in _MAKE:
      try:
        place, changed, about = _MAKE[name](request, source)
        trial = requests.make_trial(request, **changed)
        made.append(Control(name, place, trial, about))
      except _Useless as e:
        left_out[name] = str(e)
  return made, left_out


def score_all(request, record, trial, main, asked, shuffled, said):
  """What result.json says of the controls.

  Args:
    request: `request.Request`.
    record: the figures of the target itself.
    trial: the `trials.Trial` of the first meta-seed.
    main: its `trials.Decisions`.
    asked: `Control`s.
    shuffled: decisions of the runs on permuted labels.
    said: decisions of each of `asked`.
  """
  target, settings_M = request.target, request.settings_M
  found = {}
  if target.classes:
    found['majority'] = score.guess(main, trial, settings_M)
  if shuffled:
    found['shuffled'] = score.shuffle(
        _value(main, target, settings_M),
        [_value(d, target, settings_M) for d in shuffled])
  word = 'accuracy' if target.classes else 'value'
  for control, decisions in zip(asked, said):
    figures = score.score(decisions, target, settings_M,
                          request.settings.bootstrap, brief=True)
    value, low, high = score.main_figure(figures)
    _, here, there = np.intersect1d(
        decisions.rows_T, main.rows_T, return_indices=True)
    better, worse = score.judge(main)[there], score.judge(decisions)[here]
    found[control.name] = {
        word: value, 'interval': [low, high], 'chance': figures['chance'],
        'networks': len(here), 'difference_p': significance.compare(
            better, worse, settings_M[main.rows_T[there]]), **control.about}
  return found


def _value(decisions, target, settings_M):
  return score.main_figure(
      score.score(decisions, target, settings_M, 20, brief=True))[0]


def warn(record):
  """Sentences on what explains a score that is above chance."""
  value, low, _ = score.main_figure(record)
  if low <= record['chance']:
    return []
  said = []
  for name, part in record['controls'].items():
    there = part.get('accuracy', part.get('value'))
    if name in KNOWS_LITTLE and part['interval'][0] > part.get(
        'chance', record['chance']) and (
            there >= value or part['difference_p'] > 0.05):
      said.append(f'{name} explains the score: it alone reaches {there:.3f}.')
    if name in TAKES_AWAY and part['interval'][0] <= part['chance']:
      said.append(
          f'{name} explains the score: with it there is {there:.3f} left, '
          f'which may be chance ({part["networks"]} networks).')
    if name == 'shuffled' and part['p_value'] > max(
        0.05, 1 / (1 + len(part['permutations']))):
      said.append(f'shuffled labels do as well: p = {part["p_value"]:.3f}.')
  return said


def _read_untrained(request, source):
  """Weights before the first update."""
  del source
  _check_plain(request)
  return _read_again(request, {id: (0,) for id in request.epochs}), {
      'span': 1}, {}


def _read_equal_updates(request, source):
  """The snapshots nearest to one number of updates.

  It is the number for which the worst network comes nearest; of equals the
  largest.
  """
  del source
  _check_plain(request)
  kept = request.zoo.metrics
  kept = kept[kept['snapshot'].notna() & (kept['step'] > 0)
              & kept['id'].isin(request.epochs)]
  last = kept.groupby('id')['step'].max()
  if last.nunique() == 1:
    raise _Useless('all networks have made as many updates anyway')
  if len(last) < len(request.epochs):
    raise _Useless('a network has no snapshot after its first update')
  steps = {id: of['step'].to_numpy() for id, of in kept.groupby('id')}
  candidates = np.unique(kept['step'])[::-1]
  off = [max(np.abs(np.log(s / c)).min() for s in steps.values())
         for c in candidates]
  updates = int(candidates[np.argmin(off)])
  chosen = {}
  for id, of in kept.groupby('id'):
    nearest = np.abs(np.log(of['step'] / updates)).to_numpy().argmin()
    chosen[id] = (int(of['epoch'].iloc[nearest]),)
  return _read_again(request, chosen), {'span': 1}, {
      'updates': updates, 'updates_off': float(np.expm1(min(off)))}


def _drop_statistics(request, source):
  """Weights without what batch norm has seen of the images."""
  names = requests.list_parts(request)
  left = tuple(n for n in names if n[1] not in STATISTICS)
  if len(left) == len(names):
    raise _Useless('there are no running statistics')
  lengths = places.measure_parts(request, left)
  shortest = min(lengths)
  whole = request.window >= int(request.networks['num_weights'].min())
  window = shortest if whole else min(request.window, shortest)
  where = places.Where({}, left, window, max(lengths))
  return places.make(source, names, where, requests.make_looks(request),
                     request.pairs_Mx2, request.settings.seed), {}, {}


def _match_accuracy(request, source):
  """As many networks of each class at each test accuracy.

  Coarsened exact matching (S. Iacus, G. King, G. Porro, Political Analysis
  20, 2012): strata between quantiles of the test accuracy, in each of which
  every class keeps as many networks, at random, as the rarest has.
  """
  target = request.target
  if not target.classes or target.name in ('test_accuracy', 'train_accuracy',
                                           'valid_accuracy'):
    raise _Useless('it is of classes that are not accuracies themselves')
  _check_plain(request)
  accuracy_M = request.members['test_accuracy'].to_numpy()
  labels_M = target.label(request.sides)[0]
  strata = int(np.clip(len(labels_M) // (5 * target.outputs), 2, _STRATA))
  edges = np.unique(np.quantile(accuracy_M, np.arange(1, strata) / strata))
  stratum_M = np.searchsorted(edges, accuracy_M, side='right')
  rng = np.random.default_rng([request.settings.seed, 3])
  kept_M = np.zeros(len(labels_M), bool)
  for stratum in np.unique(stratum_M):
    rows = [rng.permutation(np.flatnonzero(
        (stratum_M == stratum) & (labels_M == k)))
            for k in range(target.outputs)]
    for some in rows:
      kept_M[some[:min(map(len, rows))]] = True
  if kept_M.sum() < 10 * target.outputs:
    raise _Useless(f'only {kept_M.sum()} networks can be matched')
  try:
    sides = windows.restrict(request.sides, kept_M)
  except errors.Wrong as e:
    raise _Useless(str(e)) from e
  # The classes that were matched: other networks have other quantiles.
  values_FxM = np.broadcast_to(
      labels_M, (len(sides.trains_F), len(labels_M)))
  return requests.make_place(request, source), {
      'sides': sides, 'values_FxM': values_FxM}, {
      'explained_before': _explain(accuracy_M, labels_M),
      'explained_after': _explain(accuracy_M[kept_M], labels_M[kept_M])}


def _explain(values_M, labels_M):
  """The share of the variance that lies between the classes (eta squared)."""
  total = np.var(values_M)
  means = np.bincount(labels_M, values_M) / np.maximum(np.bincount(labels_M), 1)
  return float(np.var(means[labels_M]) / total) if total else 0.0


def _take_norm(request, source):
  """The logarithm of the length of the last vector read."""
  from jax import numpy as jnp
  norm_M = np.asarray(jnp.linalg.norm(source.weights_MxExP[:, -1], axis=-1))
  return _give(request, np.log(norm_M + 1e-12))


def _take_number(request, source):
  del source
  return _give(request, np.log(request.rows['num_weights'].to_numpy()))


def _give(request, number_M):
  if request.pairs_Mx2 is not None:
    number_M = np.abs(np.subtract(*number_M[request.pairs_Mx2].T))
  if np.ptp(number_M) < 1e-9:
    raise _Useless('it is the same for all')
  return views.Numbers(number_M[:, None]), {'span': 1}, {}


def _check_plain(request):
  if request.members is not request.networks:
    raise _Useless('it is of networks, each read by itself')


def _read_again(request, epochs):
  try:
    return requests.make_place(request, requests.load(request, epochs))
  except errors.Wrong as e:
    raise _Useless(f'not all networks have such a snapshot: {e}') from e


_MAKE = {'epoch_0': _read_untrained, 'no_statistics': _drop_statistics,
         'accuracy_matched': _match_accuracy,
         'updates_matched': _read_equal_updates,
         'weight_norm': _take_norm, 'num_weights': _take_number}
