"""The answer to a request for one number: its figures and its controls."""

import csv
import io

import numpy as np

from nws_jax.meta import request as requests
from nws_jax.meta.answers import controls, score
from nws_jax.meta.data import targets
from nws_jax.meta.figures import calibration


def run(request, source, progress):
  """Trains and tests for one number, with its controls.

  Returns:
    (what result.json says but for the time, text of predictions.csv, the
    `asking.Outcome` of the first meta-seed with its models).
  """
  s, target = request.settings, request.target
  asked, left_out = controls.choose(request, source)
  places = [requests.make_place(request, source, s.seed + n)
            for n in range(s.seeds)] + [c.place for c in asked]
  main = [requests.make_trial(request, place=n, seed=s.seed + n)
          for n in range(s.seeds)]
  shuffled = [requests.make_trial(request, values_FxM=target.label(
      request.sides, values_M)) for values_M in score.permute(
          target.values_M, request.settings_M,
          controls.count_permutations(s), np.random.default_rng([s.seed, 1]))]
  outcomes = requests.decide(
      request, places,
      main + shuffled + [c.trial._replace(place=s.seeds + n)
                         for n, c in enumerate(asked)],
      progress, validate=True, keep=1)
  said = [o.tested[0] for o in outcomes]
  runs, said = said[:s.seeds], said[s.seeds:]
  decisions = score.join(runs)
  record = {**requests.describe(request), **score.score(
      decisions, target, request.settings_M, s.bootstrap)}
  if s.seeds > 1:
    record['seeds'] = _tell_seeds(request, runs)
  record['controls'] = controls.score_all(
      request, record, main[0], runs[0], asked,
      said[:len(shuffled)], said[len(shuffled):])
  record['controls_left_out'] = left_out
  record['warnings'] = targets.warn(
      target, request.sides) + controls.warn(record) + score.warn(
          record, decisions, request.members['id'].to_numpy())
  record['windows'] = {'length': request.window, 'per_network':
                       runs[0].outputs_TxSxO.shape[1]}
  if target.bins:
    record['cuts'] = target.natural(target.cut(request.sides)).tolist()
  shares = None
  if target.classes:
    shares, record['calibration'] = _calibrate(outcomes[:s.seeds])
  return record, write_predictions(request, runs, shares), outcomes[0]


def _tell_seeds(request, runs):
  """What each meta-seed reached, and how far they spread."""
  values = [score.main_figure(score.score(
      d, request.target, request.settings_M, 20, brief=True))[0] for d in runs]
  return {'values': values, 'deviation': float(np.std(values, ddof=1))}


def fit_temperatures(tested, valid):
  """{fold: temperature} of `asking.Decisions`.

  A fold's temperature is fitted to the validation networks of all folds that
  this fold does not test.
  """
  found = {}
  for fold in np.unique(tested.folds_T).tolist():
    other = ~np.isin(valid.rows_T, tested.rows_T[tested.folds_T == fold])
    found[fold] = calibration.fit_temperature(
        score.pool(valid)[other], valid.true_T[other])
  return found


def _calibrate(outcomes):
  """(probabilities of every network and seed, what result.json says)."""
  raw, soft, temperatures = [], [], []
  for tested, valid in ((o.tested[0], o.valid) for o in outcomes):
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


def write_predictions(request, runs, shares):
  """predictions.csv: a row a tested network, in the order of the zoo.

  Args:
    request: `Request`.
    runs: `asking.Decisions` of each meta-seed.
    shares: calibrated probabilities [T, K] of each, or None.
  """
  target, out = request.target, io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  more = [c for c in ('other', 'epoch') if c in request.members]
  writer.writerow(['id', *more, 'setting', 'fold', 'seed', 'true', 'predicted',
                   *(f'p_{c}' for c in target.classes)])
  for n, said in enumerate(runs):
    pooled_TxO = score.pool(said)
    if target.classes:
      true, predicted = ([target.classes[i] for i in x]
                         for x in (said.true_T, pooled_TxO.argmax(1)))
      share_TxK = shares[n]
    else:
      true, predicted = (target.natural(v).tolist()
                         for v in (said.true_T, pooled_TxO[:, 0]))
      share_TxK = np.zeros((len(true), 0))
    rows = request.members.iloc[said.rows_T]
    for row, fold, *told, share in zip(
        rows[['id', *more, 'setting']].to_numpy().tolist(), said.folds_T,
        true, predicted, share_TxK.tolist()):
      writer.writerow([*row, fold, request.settings.seed + n, *told,
                       *(f'{x:.6g}' for x in share)])
  return out.getvalue()
