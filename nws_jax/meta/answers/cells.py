"""Rows of ablation.csv: the figures of each cell, and its comparisons."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax.meta import request as requests
from nws_jax.meta.answers import score
from nws_jax.meta.figures import intervals, significance
from nws_jax.meta.training import cross_validation

HOLD_OUT = 'hold_out'  # the axis of levels that are held out
FIGURES = ('window', 'value', 'low', 'high', 'chance', 'above_chance',
           'networks', 'window_value', 'window_low', 'window_high', 'p',
           'p_holm', 'p_best')
COMMON = ('common_window', 'common_value', 'common_low', 'common_high',
          'common_p_holm')
SEEN = ('seen_value', 'seen_low', 'seen_high', 'seen_p')
UNHELD = {HOLD_OUT: None}  # nothing is: the usual split, to compare with
_PERMUTATIONS = 10_000  # of the labels for a p-value, at least


class Cell(NamedTuple):
  """A cell of a grid, before it has figures."""
  values: dict[str, Any]  # of the axes
  window: int  # its length
  decisions: cross_validation.Decisions


Key = tuple[tuple[str, Hashable], ...]
Row = dict[str, Any]


def key(values: Mapping[str, Hashable]) -> Key:
  """The values of the axes, as what identifies a cell."""
  return tuple(values.items())


def tabulate(request: requests.Request, cells: Sequence[Cell],
             common: Mapping[Key, Cell],
             seen: Mapping[Key, cross_validation.Decisions]) -> list[Row]:
  """Rows of ablation.csv.

  Args:
    request: with axes.
    cells: all cells, in their order.
    common: by `key`, the same cells at the length that all have; may be empty.
    seen: by `key`, decisions of models that learned from held-out levels too;
      empty where none are held out.
  """
  rows = _make_rows(request, cells)
  p_best = _compare_best(rows, cells, request.settings_M)
  again = _make_rows(
      request, [common[key(c.values)] for c in cells if common])
  for n, (row, cell) in enumerate(zip(rows, cells)):
    row['p_best'] = p_best[n]
    if common:
      row |= {name: again[n][name.removeprefix('common_')] for name in COMMON}
    if seen:
      row |= _compare_seen(request, cell.decisions, seen[key(
          {**cell.values, **UNHELD})])
  return rows


def _compare_best(rows: Sequence[Row], cells: Sequence[Cell],
                  settings_M: np.ndarray) -> list[float]:
  """p of each cell's difference from the best, by the networks of both."""
  best = int(np.argmax([row['value'] for row in rows]))
  judged = [(c.decisions.rows_T, score.judge(c.decisions)) for c in cells]
  best_rows_T, best_T = judged[best]
  found = []
  for rows_T, judged_T in judged:
    _, here, there = np.intersect1d(
        rows_T, best_rows_T, return_indices=True)
    found.append(significance.compare(
        best_T[there], judged_T[here], settings_M[rows_T[here]])
                 if len(here) else np.nan)
  return found


def _compare_seen(request: requests.Request,
                  decisions: cross_validation.Decisions,
                  seen: cross_validation.Decisions) -> Row:
  """The same networks, read by models that learned from others of their level.
  """
  settings_M = request.settings_M
  seen = cross_validation.Decisions(*(x[np.isin(seen.rows_T, decisions.rows_T)]
                                for x in seen))
  if not len(seen.rows_T):
    return dict.fromkeys(SEEN, np.nan)
  figure = score.main_figure(score.score(
      seen, request.target, settings_M, request.settings.bootstrap,
      brief=True))
  here = np.isin(decisions.rows_T, seen.rows_T)
  return dict(zip(SEEN, (*figure, significance.compare(
      score.judge(seen), score.judge(decisions)[here],
      settings_M[seen.rows_T]))))


def _make_rows(request: requests.Request, cells: Sequence[Cell]) -> list[Row]:
  """Rows of ablation.csv without the comparisons of one cell with another."""
  rows: list[Row] = []
  for values, window, decisions in cells:
    figures = score.score(decisions, request.target, request.settings_M,
                          request.settings.bootstrap, brief=True)
    figure, chance = score.main_figure(figures), figures['chance']
    rows.append({a: values[a] for a in request.axes if a in values} | dict(
        zip(FIGURES, (
            window, *figure, chance, figure.exceeds(chance),
            len(np.unique(decisions.rows_T)),
            *intervals.Estimate.from_json(figures['per_window']),
            *[np.nan] * 3))))
  p = _exceed_chance(request, [c.decisions for c in cells])
  for row, own, corrected in zip(rows, p, significance.holm(p)):
    row['p'], row['p_holm'] = float(own), float(corrected)
  return rows


def _exceed_chance(
    request: requests.Request,
    decisions: Sequence[cross_validation.Decisions]) -> np.ndarray:
  """p of each cell; of those on the same networks, by the same permutations."""
  repetitions = max(_PERMUTATIONS, 200 * len(decisions)) - 1
  alike: dict[tuple[bytes, bytes], list[int]] = {}
  p = np.ones(len(decisions))
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
