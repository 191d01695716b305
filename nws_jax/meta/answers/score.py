"""From decisions to figures: the part of result.json about the target.

The windows of a network are pooled by their mean log-probability, or their mean
prediction, into one decision a network; by majority vote for comparison.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nws_jax.meta.data import targets
from nws_jax.meta.figures import intervals
from nws_jax.meta.training import cross_validation

_POOR = -0.5  # an R² below it is much worse than predicting the mean
_NAMED = 5  # networks that a warning names


def classify(decisions: cross_validation.Decisions, settings_M: np.ndarray,
             classes: int, repetitions: int) -> dict[str, Any]:
  """Figures of a classification; intervals as docs/contract.md says.

  Args:
    decisions: networks stand there once a meta-seed.
    settings_M: settings of all networks read.
    classes: number of classes.
    repetitions: of the bootstrap.

  Returns:
    {chance, per_network, per_window, vote_accuracy, balanced_accuracy,
    confusion}.
  """
  labels_T, settings_T = decisions.true_T, settings_M[decisions.rows_T]
  predicted_T = pool(decisions).argmax(-1)
  correct_TxS = decisions.outputs_TxSxO.argmax(-1) == labels_T[:, None]
  networks, windows = len(np.unique(decisions.rows_T)), correct_TxS.shape[1]
  per_network = intervals.accuracy(predicted_T == labels_T, settings_T)
  per_window = intervals.accuracy(
      correct_TxS.mean(1), settings_T, decisions=windows)
  vote_accuracy = intervals.accuracy(vote(decisions) == labels_T, settings_T)
  balanced = intervals.balanced_accuracy(
      predicted_T, labels_T, settings_T, repetitions=repetitions)
  return {
      'chance': float(np.bincount(labels_T).max() / len(labels_T)),
      'per_network': {**per_network.to_json('accuracy'), 'networks': networks},
      'per_window': {
          **per_window.to_json('accuracy'), 'windows': correct_TxS.size},
      'vote_accuracy': vote_accuracy.to_json('accuracy'),
      'balanced_accuracy': balanced.to_json('accuracy'),
      'confusion': intervals.confusion(
          predicted_T, labels_T, classes).tolist(),
  }


def regress(decisions: cross_validation.Decisions, target: targets.Target,
            settings_M: np.ndarray, repetitions: int,
            brief: bool = False) -> dict[str, Any]:
  """Figures of a regression: at chance, which is the mean, R² is 0.

  The mean absolute error is in the unit of members.csv; for learning_rate,
  which is regressed by its logarithm, there is that of the logarithm too.

  Args:
    decisions: networks stand there once a meta-seed.
    target: what they are of.
    settings_M: settings of all networks read.
    repetitions: of the bootstrap.
    brief: only chance, R² and that of windows.
  """
  true_T, settings_T = decisions.true_T, settings_M[decisions.rows_T]
  predicted_T = pool(decisions)[:, 0]
  predicted_TxS = decisions.outputs_TxSxO[..., 0]

  def explain(error_T: np.ndarray) -> dict[str, Any]:
    return intervals.explained(error_T, true_T, settings_M=settings_T,
                               repetitions=repetitions).to_json()

  def measure_error(predicted_T: np.ndarray,
                    true_T: np.ndarray) -> dict[str, Any]:
    return intervals.average(
        np.abs(predicted_T - true_T), settings_M=settings_T,
        repetitions=repetitions).to_json()

  figures = {
      'chance': 0.0,
      'r2': {**explain((predicted_T - true_T)**2),
             'networks': len(np.unique(decisions.rows_T))},
      'per_window': {**explain(((predicted_TxS - true_T[:, None])**2).mean(1)),
                     'windows': predicted_TxS.size}}
  if brief:
    return figures
  figures |= {
      'kendall_tau': intervals.regression(
          intervals.kendall_tau, predicted_T, true_T, settings_M=settings_T,
          repetitions=repetitions).to_json(),
      'mean_absolute_error': measure_error(
          target.natural(predicted_T), target.natural(true_T))}
  if target.name == 'learning_rate':
    figures['mean_absolute_error_log'] = measure_error(predicted_T, true_T)
  return figures


def score(decisions: cross_validation.Decisions, target: targets.Target,
          settings_M: np.ndarray, repetitions: int,
          brief: bool = False) -> dict[str, Any]:
  """`classify` or `regress`, by the kind of the target.

  `brief` leaves out what is slow and no table of many results shows.
  """
  if target.classes:
    return classify(decisions, settings_M, len(target.classes), repetitions)
  return regress(decisions, target, settings_M, repetitions, brief)


def pool(decisions: cross_validation.Decisions) -> np.ndarray:
  """The mean over a network's windows: [T, O]."""
  return decisions.outputs_TxSxO.mean(1)


def vote(decisions: cross_validation.Decisions) -> np.ndarray:
  """The class that most windows of a network predict: [T].

  Of equally many the one with the greatest mean log-probability.
  """
  predicted_TxS = decisions.outputs_TxSxO.argmax(-1)
  pooled_TxK = pool(decisions)
  votes_TxK = (predicted_TxS[..., None]
               == np.arange(pooled_TxK.shape[1])).sum(1)
  most_TxK = votes_TxK == votes_TxK.max(1, keepdims=True)
  return np.where(most_TxK, pooled_TxK, -np.inf).argmax(1)


def join(decisions: Sequence[cross_validation.Decisions]
         ) -> cross_validation.Decisions:
  """Concatenates the decisions of several meta-seeds."""
  return cross_validation.Decisions(
      *(np.concatenate(x) for x in zip(*decisions)))


def judge(decisions: cross_validation.Decisions) -> np.ndarray:
  """How well each network is predicted: 1 or 0, or minus the squared error."""
  if decisions.true_T.dtype.kind == 'i':
    return (pool(decisions).argmax(-1) == decisions.true_T).astype(float)
  return -(pool(decisions)[:, 0] - decisions.true_T)**2


def main_figure(figures: dict[str, Any]) -> intervals.Estimate:
  """The one figure that stands for a result: accuracy per network, or R²."""
  return intervals.Estimate.from_json(
      figures.get('r2') or figures['per_network'])


def warn(record: dict[str, Any], decisions: cross_validation.Decisions,
         ids_M: np.ndarray) -> list[str]:
  """Sentences on a number that is predicted much worse than by the mean.

  They name the networks without whose errors it would not be worse.

  Args:
    record: figures of a target.
    decisions: that they are of.
    ids_M: the network of each row.
  """
  value = main_figure(record).value
  if 'r2' not in record or not value < _POOR:
    return []
  ids, of_T = np.unique(ids_M[decisions.rows_T], return_inverse=True)
  errors_N = np.bincount(of_T, weights=-judge(decisions))
  order, total = np.argsort(-errors_N, kind='stable'), errors_N.sum()
  # The error of the mean is total / (1 - R²): networks are left out, the worst
  # first, until the rest has no more.
  rest_N = total - np.cumsum(errors_N[order])
  worst = order[:1 + np.sum(rest_N > total / (1 - value))]
  named = ', '.join(str(i) for i in ids[worst[:_NAMED]])
  return [
      f'R² is {value:,.2f}, far worse than predicting the mean: '
      f'{100 * errors_N[worst].sum() / total:.0f} % of the squared error comes '
      f'from {len(worst)} of {len(ids)} networks, the worst are {named}. See '
      'predictions.csv.']
