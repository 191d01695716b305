"""The answer to a request for one number: its figures and its controls."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import controls, score
from nws_jax.meta.answers.controls import control
from nws_jax.meta.data import regions, targets, windows
from nws_jax.meta.figures import calibration
from nws_jax.meta.training import cross_validation
from nws_jax.store import tables


class Answer(NamedTuple):
  """What is written of a request for one number."""
  record: dict[str, Any]  # result.json but for the time
  predictions: str  # text of predictions.csv
  outcome: cross_validation.Outcome  # of the first meta-seed, with its models


def reads_whole_networks(request: requests.Request) -> bool:
  """Whether its models predict from one network with all its tensors."""
  return request.pairs_Mx2 is None and not request.settings.exclude


def run(request: requests.Request, source: windows.Source,
        progress: Callable[[int, int, int], None]) -> Answer:
  """Trains and tests for one number, with its controls.

  Args:
    request: without axes.
    source: its weights.
    progress: called with (models done, models, rounds done).
  """
  s, target = request.settings, request.target
  # The score itself once a meta-seed, then the trials of the controls: those
  # without a place of their own share the first one.
  places: list[regions.AnyPlace] = [
      running.make_place(request, source, s.seed + n) for n in range(s.seeds)]
  main = [running.make_trial(request, place=n, seed=s.seed + n)
          for n in range(s.seeds)]
  trials = list(main)
  prepared, left_out = controls.prepare(request, source)
  for p in prepared:
    if p.place is not None:
      places.append(p.place)
    at = 0 if p.place is None else len(places) - 1
    trials += [t._replace(place=at) for t in p.trials]
  outcomes = running.decide(
      request, places, trials, progress, validate=True, keep=1)
  decisions = [o.tested[0] for o in outcomes]
  runs = decisions[:s.seeds]
  joined = score.join(runs)
  record = {**requests.describe(request), **score.score(
      joined, target, request.settings_M, s.bootstrap)}
  if s.seeds > 1:
    record['seeds'] = _describe_seeds(request, runs)
  record['controls'] = controls.describe(
      control.Score(request, record, main[0], runs[0]), prepared,
      decisions[s.seeds:])
  record['controls_left_out'] = left_out
  record['warnings'] = targets.warn(
      target, request.sides) + controls.warn(record) + score.warn(
          record, joined, request.members['id'].to_numpy())
  record['windows'] = {'length': request.window, 'per_network':
                       runs[0].outputs_TxSxO.shape[1]}
  if target.bins:
    record['cuts'] = target.natural(target.cut(request.sides)).tolist()
  shares = None
  if target.classes:
    shares, record['calibration'] = _calibrate(outcomes[:s.seeds])
  return Answer(record, write_predictions(request, runs, shares), outcomes[0])


def _describe_seeds(
    request: requests.Request,
    runs: Sequence[cross_validation.Decisions]) -> dict[str, Any]:
  """The score of each meta-seed, and their standard deviation."""
  values = [score.main_figure(score.score(
      d, request.target, request.settings_M, 20, brief=True)).value
            for d in runs]
  return {'values': values, 'deviation': float(np.std(values, ddof=1))}


def fit_temperatures(tested: cross_validation.Decisions,
                     valid: cross_validation.Decisions) -> dict[int, float]:
  """{fold: temperature}.

  A fold's temperature is fitted to the validation networks of all folds that
  this fold does not test.
  """
  found = {}
  for fold in np.unique(tested.folds_T).tolist():
    other = ~np.isin(valid.rows_T, tested.rows_T[tested.folds_T == fold])
    found[fold] = calibration.fit_temperature(
        score.pool(valid)[other], valid.true_T[other])
  return found


def _calibrate(
    outcomes: Sequence[cross_validation.Outcome],
) -> tuple[list[np.ndarray], dict[str, Any]]:
  """(probabilities [T, K] of each meta-seed, their part of result.json)."""
  raw, soft = [], []
  temperatures: list[float] = []
  for outcome in outcomes:
    tested, valid = outcome.tested[0], outcome.valid
    assert valid is not None
    pooled_TxK, found = score.pool(tested), fit_temperatures(tested, valid)
    raw.append(calibration.soften(pooled_TxK))
    soft.append(calibration.soften(
        pooled_TxK, np.array([found[f] for f in tested.folds_T])[:, None]))
    temperatures += found.values()
  true_T = np.concatenate([o.tested[0].true_T for o in outcomes])
  return soft, {
      'temperatures': temperatures,
      **calibration.describe(np.concatenate(soft), true_T),
      'uncalibrated': calibration.describe(np.concatenate(raw), true_T)}


def write_predictions(request: requests.Request,
                      runs: Sequence[cross_validation.Decisions],
                      shares: Sequence[np.ndarray] | None) -> str:
  """predictions.csv: a row a tested network, in the order of the zoo.

  Args:
    request: `Request`.
    runs: the decisions of each meta-seed.
    shares: calibrated probabilities [T, K] of each, or None.
  """
  target, rows = request.target, []
  keys = ['id', *(c for c in ('other', 'epoch') if c in request.members),
          'setting']
  columns = [*keys, 'fold', 'seed', 'true', 'predicted',
             *(f'p_{c}' for c in target.classes)]
  for n, decisions in enumerate(runs):
    pooled_TxO = score.pool(decisions)
    if target.classes:
      true, predicted = ([target.classes[i] for i in x]
                         for x in (decisions.true_T, pooled_TxO.argmax(1)))
    else:
      true, predicted = (target.natural(v).tolist()
                         for v in (decisions.true_T, pooled_TxO[:, 0]))
    share_TxK = np.zeros((len(true), 0)) if shares is None else shares[n]
    members = request.members.iloc[decisions.rows_T][keys]
    rows += [
        dict(zip(columns, (*key, fold, request.settings.seed + n, label,
                           prediction, *(f'{x:.6g}' for x in share))))
        for key, fold, label, prediction, share in zip(
            members.to_numpy().tolist(), decisions.folds_T, true, predicted,
            share_TxK.tolist())]
  return tables.format_rows(rows, columns)
