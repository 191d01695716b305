"""Rows of ablation.csv: what each cell's decisions are worth."""

import csv
import io

import numpy as np

from nws_jax.meta.answers import score
from nws_jax.meta.figures import significance
from nws_jax.meta.training import trials as trials_lib

HOLD_OUT = 'hold_out'  # the axis of levels that are held out
FIGURES = ('window', 'value', 'low', 'high', 'chance', 'above_chance',
           'networks', 'window_value', 'window_low', 'window_high', 'p',
           'p_holm', 'p_best')
COMMON = ('common_window', 'common_value', 'common_low', 'common_high',
          'common_p_holm')
SEEN = ('seen_value', 'seen_low', 'seen_high', 'seen_p')
UNHELD = {HOLD_OUT: None}  # nothing is: the usual split, to compare with
_MOVES = 10_000  # random moves of the labels for a p-value, at least


def key(values):
  """What tells a cell apart, whatever is held out."""
  return tuple(values.items())


def tabulate(request, cells, common, seen):
  """Rows of ablation.csv from (values of the axes, window, decisions)."""
  rows, settings_M = _make_rows(request, cells), request.settings_M
  p_best = _compare_best(rows, cells, settings_M)
  again = _make_rows(request, [common[key(c[0])] for c in cells if common])
  for n, (row, (values, _, decisions)) in enumerate(zip(rows, cells)):
    row['p_best'] = p_best[n]
    if common:
      row |= {name: again[n][name.removeprefix('common_')] for name in COMMON}
    if seen:
      row |= _compare_seen(request, decisions, seen[key(
          {**values, **UNHELD})])
  return rows


def _compare_best(rows, cells, settings_M):
  """p of each cell's difference from the best, by the networks of both."""
  best = int(np.argmax([row['value'] for row in rows]))
  judged = [(d.rows_T, score.judge(d)) for *_, d in cells]
  found = []
  for rows_T, judged_T in judged:
    _, here, there = np.intersect1d(
        rows_T, judged[best][0], return_indices=True)
    found.append(significance.compare(
        judged[best][1][there], judged_T[here], settings_M[rows_T[here]])
                 if len(here) else np.nan)
  return found


def _compare_seen(request, decisions, seen):
  """The same networks, read by what learned from others of their level too."""
  target, settings_M = request.target, request.settings_M
  seen = trials_lib.Decisions(*(x[np.isin(seen.rows_T, decisions.rows_T)]
                             for x in seen))
  if not len(seen.rows_T):
    return dict.fromkeys(SEEN, np.nan)
  figures = score.main_figure(score.score(
      seen, target, settings_M, request.settings.bootstrap, brief=True))
  here = np.isin(decisions.rows_T, seen.rows_T)
  return dict(zip(SEEN, (*figures, significance.compare(
      score.judge(seen), score.judge(decisions)[here],
      settings_M[seen.rows_T]))))


def _make_rows(request, cells):
  """Rows of ablation.csv as far as each cell has them by itself."""
  target, rows = request.target, []
  for values, window, decisions in cells:
    figures = score.score(decisions, target, request.settings_M,
                          request.settings.bootstrap, brief=True)
    value, low, high = score.main_figure(figures)
    per_window = figures['per_window']
    rows.append({a: values[a] for a in request.axes if a in values} | dict(
        zip(FIGURES, (
            window, value, low, high, figures['chance'],
            low > figures['chance'], len(np.unique(decisions.rows_T)),
            per_window.get('accuracy', per_window.get('value')),
            *per_window['interval'], *[np.nan] * 3))))
  p = _exceed_chance(request, [decisions for *_, decisions in cells])
  for row, own, corrected in zip(rows, p, significance.holm(p)):
    row['p'], row['p_holm'] = float(own), float(corrected)
  return rows


def _exceed_chance(request, decisions):
  """p of each cell; of those on the same networks, by the same moves."""
  repetitions = max(_MOVES, 200 * len(decisions)) - 1
  alike, p = {}, np.ones(len(decisions))
  for n, d in enumerate(decisions):
    alike.setdefault((d.rows_T.tobytes(), d.true_T.tobytes()), []).append(n)
  for some in alike.values():
    first, pooled = decisions[some[0]], np.stack(
        [score.pool(decisions[n]) for n in some])
    p[some] = significance.exceed_chance(
        pooled.argmax(-1) if request.target.classes else pooled[..., 0],
        first.true_T, request.settings_M[first.rows_T],
        repetitions=repetitions)
  return p


def write(cells):
  """The text of ablation.csv."""
  out = io.StringIO()
  writer = csv.DictWriter(out, list(cells[0]), lineterminator='\n')
  writer.writeheader()
  writer.writerows(cells)
  return out.getvalue()
