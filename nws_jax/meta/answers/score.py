"""From decisions to figures: what result.json says of a target.

Windows of a network are pooled by their mean log-probability, or their mean
prediction, into one decision a network; by majority vote for comparison.
"""

import numpy as np

from nws_jax.meta.figures import intervals, significance
from nws_jax.meta.training import trials as trials_lib

_FAR = -0.5  # R² that is much worse than what the mean of all reaches
_NAMED = 5  # networks that a warning names


def classify(decisions, settings_M, classes, repetitions):
  """Figures of a classification; intervals as docs/contract.md says.

  Args:
    decisions: `trials.Decisions`; networks stand there once a meta-seed.
    settings_M: settings of all networks read.
    classes: how many classes there are.
    repetitions: of the bootstrap.

  Returns:
    {chance, per_network, per_window, vote_accuracy, balanced_accuracy,
    confusion}.
  """
  labels_T, settings_T = decisions.true_T, settings_M[decisions.rows_T]
  predicted_T = pool(decisions).argmax(-1)
  right_TxS = decisions.outputs_TxSxO.argmax(-1) == labels_T[:, None]
  networks, windows = len(np.unique(decisions.rows_T)), right_TxS.shape[1]
  balanced = intervals.balanced_accuracy(
      predicted_T, labels_T, settings_T, repetitions=repetitions)
  return {
      'chance': float(np.bincount(labels_T).max() / len(labels_T)),
      'per_network': {
          **_name(intervals.accuracy(predicted_T == labels_T, settings_T),
                  'accuracy'), 'networks': networks},
      'per_window': {
          **_name(intervals.accuracy(
              right_TxS.mean(1), settings_T, decisions=windows), 'accuracy'),
          'windows': right_TxS.size},
      'vote_accuracy': _name(intervals.accuracy(
          vote(decisions) == labels_T, settings_T), 'accuracy'),
      'balanced_accuracy': _name(balanced, 'accuracy'),
      'confusion': intervals.confusion(predicted_T, labels_T, classes).tolist(),
  }


def regress(decisions, target, settings_M, repetitions, brief=False):
  """Figures of a regression: chance is what the mean explains, R² = 0.

  The mean absolute error is in the unit of members.csv; for learning_rate,
  which is regressed by its logarithm, there is that of the logarithm too.

  Args:
    decisions: `trials.Decisions`.
    target: `targets.Target`.
    settings_M: settings of all networks read.
    repetitions: of the bootstrap.
    brief: only chance, R² and that of windows.
  """
  true_T, settings_T = decisions.true_T, settings_M[decisions.rows_T]
  predicted_T, said_TxS = pool(decisions)[:, 0], decisions.outputs_TxSxO[..., 0]
  drawn = {'settings_M': settings_T, 'repetitions': repetitions}

  def explain(error_T):
    return _name(intervals.explained(error_T, true_T, **drawn))

  def miss(predicted_T, true_T):
    return _name(intervals.average(np.abs(predicted_T - true_T), **drawn))

  figures = {
      'chance': 0.0,
      'r2': {**explain((predicted_T - true_T)**2),
             'networks': len(np.unique(decisions.rows_T))},
      'per_window': {**explain(((said_TxS - true_T[:, None])**2).mean(1)),
                     'windows': said_TxS.size}}
  if brief:
    return figures
  figures |= {
      'kendall_tau': _name(intervals.regression(
          intervals.kendall_tau, predicted_T, true_T, **drawn)),
      'mean_absolute_error': miss(
          target.natural(predicted_T), target.natural(true_T))}
  if target.name == 'learning_rate':
    figures['mean_absolute_error_log'] = miss(predicted_T, true_T)
  return figures


def score(decisions, target, settings_M, repetitions, brief=False):
  """`classify` or `regress`, as the target wants it.

  `brief` leaves out what is slow and no table of many results shows.
  """
  if target.classes:
    return classify(decisions, settings_M, len(target.classes), repetitions)
  return regress(decisions, target, settings_M, repetitions, brief)


def pool(decisions):
  """The mean over a network's windows: [T, O]."""
  return decisions.outputs_TxSxO.mean(1)


def vote(decisions):
  """The class that most windows of a network name; of equals the likelier."""
  named_TxS = decisions.outputs_TxSxO.argmax(-1)
  pooled_TxK = pool(decisions)
  votes_TxK = (named_TxS[..., None] == np.arange(pooled_TxK.shape[1])).sum(1)
  most_TxK = votes_TxK == votes_TxK.max(1, keepdims=True)
  return np.where(most_TxK, pooled_TxK, -np.inf).argmax(1)


def join(decisions):
  """Decisions of several meta-seeds, behind one another."""
  return trials_lib.Decisions(*(np.concatenate(x) for x in zip(*decisions)))


def judge(decisions):
  """How well each network was read: 1 or 0, or minus the squared error."""
  if decisions.true_T.dtype.kind == 'i':
    return (pool(decisions).argmax(-1) == decisions.true_T).astype(float)
  return -(pool(decisions)[:, 0] - decisions.true_T)**2


def main_figure(figures):
  """(value, low, high) of what a result is known by."""
  part = figures.get('r2') or figures['per_network']
  return (part.get('accuracy', part.get('value')), *part['interval'])


def warn(record, decisions, ids_M):
  """Sentences on a number that is read much worse than the mean of all.

  They name the networks without whose errors it would not be worse.

  Args:
    record: figures of a target.
    decisions: the `trials.Decisions` that they are of.
    ids_M: the network of each row.
  """
  value = main_figure(record)[0]
  if 'r2' not in record or not value < _FAR:
    return []
  ids, of_T = np.unique(ids_M[decisions.rows_T], return_inverse=True)
  errors_N = np.bincount(of_T, weights=-judge(decisions))
  order, total = np.argsort(-errors_N, kind='stable'), errors_N.sum()
  rest_N = total - np.cumsum(errors_N[order])
  worst = order[:1 + np.sum(rest_N > total / (1 - value))]
  named = ', '.join(str(i) for i in ids[worst[:_NAMED]])
  return [
      f'R² is {value:,.2f}, far worse than saying the mean of all: '
      f'{100 * errors_N[worst].sum() / total:.0f} % of the squared error is of '
      f'{len(worst)} of {len(ids)} networks, the worst are {named}. '
      'predictions.csv shows them.']


def _name(estimate, name='value'):
  return {name: estimate.value, 'interval': [estimate.low, estimate.high]}


def guess(decisions, trial, settings_M):
  """What always naming the commonest class of the training side reaches."""
  common_F = np.array([
      np.bincount(labels_M[rows[:n]]).argmax() for labels_M, rows, n in zip(
          trial.values_FxM, trial.sides.train_FxN, trial.sides.trains_F)])
  right_T = common_F[decisions.folds_T] == decisions.true_T
  return _name(intervals.accuracy(right_T, settings_M[decisions.rows_T]),
               'accuracy')


def shuffle(true, shuffled):
  """What runs on permuted labels reached; `true` is the run on the true ones.

  The p-value counts that run with them, so it is never 0.
  """
  least, middle, most = np.quantile(shuffled, (0.025, 0.5, 0.975))
  return {
      'value': float(middle), 'interval': [float(least), float(most)],
      'permutations': [float(x) for x in shuffled],
      'p_value': float((1 + np.sum(np.array(shuffled) >= true))
                       / (1 + len(shuffled)))}


def permute(values_M, settings_M, count, rng):
  """`count` permutations of the values, by `significance.permute`."""
  return values_M[significance.permute(settings_M, count, rng)]
