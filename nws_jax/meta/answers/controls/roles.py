"""How the outcome of a control is described, and when it explains a score.

Some controls know little: weights before training, their norm, their number.
They explain a score that is not higher than theirs. Others take something
away: the running statistics, or what differs between classes without being
asked for. They explain a score that is gone without it. Permuted labels show
what is reached where there is nothing to read.
"""

from typing import Any

import numpy as np

from nws_jax.meta.answers import score
from nws_jax.meta.answers.controls import control
from nws_jax.meta.figures import intervals, significance
from nws_jax.meta.training import cross_validation

_LEVEL = 0.05  # of p-values


def _describe_reading(
    main: control.Score,
    decisions: list[cross_validation.Decisions]) -> dict[str, Any]:
  """The figures of one trial, compared with the score network by network."""
  request, (decided,) = main.request, decisions
  figures = score.score(decided, request.target, request.settings_M,
                        request.settings.bootstrap, brief=True)
  # The networks that both tested: a control may have fewer.
  _, here, there = np.intersect1d(
      decided.rows_T, main.decisions.rows_T, return_indices=True)
  p = significance.compare(
      score.judge(main.decisions)[there], score.judge(decided)[here],
      request.settings_M[main.decisions.rows_T[there]])
  return {**score.main_figure(figures).to_json(
      'accuracy' if request.target.classes else 'value'),
          'chance': figures['chance'], 'networks': len(here),
          'difference_p': p}


def _describe_guess(
    main: control.Score,
    decisions: list[cross_validation.Decisions]) -> dict[str, Any]:
  """The accuracy of the commonest class of the training side, without models.
  """
  del decisions
  decided, trial = main.decisions, main.trial
  common_F = np.array([
      np.bincount(labels_M[rows[:n]]).argmax() for labels_M, rows, n in zip(
          trial.values_FxM, trial.sides.train_FxN, trial.sides.trains_F)])
  return intervals.accuracy(
      common_F[decided.folds_T] == decided.true_T,
      main.request.settings_M[decided.rows_T]).to_json('accuracy')


def _describe_permutations(
    main: control.Score,
    decisions: list[cross_validation.Decisions]) -> dict[str, Any]:
  """The scores on permuted labels.

  The p-value counts the true labels among them, so it is never 0.
  """
  request = main.request

  def measure(decided: cross_validation.Decisions) -> float:
    return score.main_figure(score.score(
        decided, request.target, request.settings_M, 20, brief=True)).value

  observed = measure(main.decisions)
  permuted = np.array([measure(d) for d in decisions])
  low, middle, high = np.quantile(permuted, (0.025, 0.5, 0.975)).tolist()
  return {**intervals.Estimate(middle, low, high).to_json(),
          'permutations': permuted.tolist(),
          'p_value': float((1 + np.sum(permuted >= observed))
                           / (1 + len(permuted)))}


def _explain_alone(name: str, part: dict[str, Any],
                   figures: dict[str, Any]) -> str:
  """It is above its own chance, and the score is not higher."""
  reached = intervals.Estimate.from_json(part)
  explains = reached.exceeds(part.get('chance', figures['chance'])) and (
      reached.value >= score.main_figure(figures).value
      or part.get('difference_p', 0.0) > _LEVEL)
  return (f'{name} explains the score: it alone reaches {reached.value:.3f}.'
          if explains else '')


def _explain_without(name: str, part: dict[str, Any],
                     figures: dict[str, Any]) -> str:
  """The score is at chance once that is taken away."""
  del figures
  left = intervals.Estimate.from_json(part)
  return '' if left.exceeds(part['chance']) else (
      f'{name} explains the score: with it {left.value:.3f} is left, which may '
      f'be chance ({part["networks"]} networks).')


def _explain_permuted(name: str, part: dict[str, Any],
                      figures: dict[str, Any]) -> str:
  """Permuted labels reach as much too often."""
  del figures
  least = 1 / (1 + len(part['permutations']))  # that so few can show
  return (f'{name} explains the score: permuted labels reach as much, p = '
          f'{part["p_value"]:.3f}.' if part['p_value'] > max(_LEVEL, least)
          else '')


GUESSES = control.Role(
    'what is reached without looking at a network', _describe_guess,
    _explain_alone)
KNOWS_LITTLE = control.Role(
    'what is reached from little that is known of a network',
    _describe_reading, _explain_alone)
TAKES_AWAY = control.Role(
    'what is left of the score without something that could explain it',
    _describe_reading, _explain_without)
PERMUTES = control.Role(
    'what is reached where labels are permuted between settings',
    _describe_permutations, _explain_permuted)
