"""From decisions to figures: what result.json says of a target.

Windows of a network are pooled by their mean log-probability, or their mean
prediction, into one decision a network.
"""

import functools

import numpy as np

from nws_jax.meta import stats


def classify(decisions, labels_M, settings_M, classes, repetitions):
  """Figures of a classification; intervals as docs/contract.md says.

  Args:
    decisions: `measure.Decisions`.
    labels_M: int, the true classes of all networks read.
    settings_M: their settings.
    classes: how many classes there are.
    repetitions: of the bootstrap.

  Returns:
    {chance, per_network, per_window, balanced_accuracy, confusion}.
  """
  rows_T = decisions.rows_T
  labels_T, settings_T = labels_M[rows_T], settings_M[rows_T]
  outputs_TxSxK = decisions.outputs_TxSxO
  predicted_T = pool(decisions).argmax(-1)
  right_T = (predicted_T == labels_T).astype(float)
  right_TxS = outputs_TxSxK.argmax(-1) == labels_T[:, None]
  windows = right_TxS.shape[1]
  measure = functools.partial(
      stats.accuracy, settings_M=settings_T, repetitions=repetitions)
  balanced = stats.balanced_accuracy(
      predicted_T, labels_T, settings_T, repetitions=repetitions)
  return {
      'chance': float(np.bincount(labels_T).max() / len(labels_T)),
      'per_network': {
          **_name(measure(right_T), 'accuracy'), 'networks': len(rows_T)},
      'per_window': {
          **_name(measure(right_TxS.mean(1), decisions=windows), 'accuracy'),
          'windows': windows * len(rows_T)},
      'balanced_accuracy': _name(balanced, 'accuracy'),
      'confusion': stats.confusion(predicted_T, labels_T, classes).tolist(),
  }


def regress(decisions, target, settings_M, repetitions):
  """Figures of a regression: chance is what the mean explains, R² = 0.

  The mean absolute error is in the unit of members.csv; for learning_rate,
  which is regressed by its logarithm, there is that of the logarithm too.

  Args:
    decisions: `measure.Decisions`.
    target: `targets.Target`.
    settings_M: settings of all networks read.
    repetitions: of the bootstrap.
  """
  rows_T = decisions.rows_T
  true_T, settings_T = target.values_M[rows_T], settings_M[rows_T]
  predicted_T = pool(decisions)[:, 0]
  measure = functools.partial(
      stats.regression, settings_M=settings_T, repetitions=repetitions)
  figures = {
      'chance': 0.0,
      'r2': {**_name(measure(stats.r2, predicted_T, true_T)),
             'networks': len(rows_T)},
      'per_window': _score_windows(decisions, true_T, settings_T, repetitions),
      'kendall_tau': _name(measure(stats.kendall_tau, predicted_T, true_T)),
      'mean_absolute_error': _name(measure(
          stats.mean_absolute_error, target.natural(predicted_T),
          target.natural(true_T))),
  }
  if target.name == 'learning_rate':
    figures['mean_absolute_error_log'] = _name(measure(
        stats.mean_absolute_error, predicted_T, true_T))
  return figures


def score(decisions, target, settings_M, repetitions):
  """`classify` or `regress`, as the target wants it."""
  if target.classes:
    return classify(decisions, target.values_M, settings_M,
                    len(target.classes), repetitions)
  return regress(decisions, target, settings_M, repetitions)


def pool(decisions):
  """The mean over a network's windows: [T, O]."""
  return decisions.outputs_TxSxO.mean(1)


def main_figure(figures):
  """(value, low, high) of what a result is known by."""
  part = figures.get('r2') or figures['per_network']
  return (part.get('accuracy', part.get('value')), *part['interval'])


def _score_windows(decisions, true_T, settings_T, repetitions):
  """R² of every window against its network's value."""
  said_TxS = decisions.outputs_TxSxO[..., 0]
  error_T = np.mean((said_TxS - true_T[:, None])**2, 1)

  def explain(rows):
    total = np.mean((true_T[rows] - true_T[rows].mean())**2)
    return 1 - np.mean(error_T[rows]) / total if total else np.nan

  low, high = stats.bootstrap(
      explain, settings_T, repetitions=repetitions, seed=0)
  return {'value': float(explain(np.arange(len(true_T)))),
          'interval': [low, high], 'windows': said_TxS.size}


def _name(estimate, name='value'):
  return {name: estimate.value, 'interval': [estimate.low, estimate.high]}


def control(decisions, target, folds, settings_M, repetitions):
  """Controls that cost nothing: what the majority of the training side says.

  Args:
    folds: `windows.Sides`.
  """
  if not target.classes:
    return {}
  labels_M = target.values_M
  common_F = np.array([
      np.bincount(labels_M[rows[:n]]).argmax()
      for rows, n in zip(folds.train_FxN, folds.trains_F)])
  rows_T = decisions.rows_T
  right_T = (common_F[decisions.folds_T] == labels_M[rows_T]).astype(float)
  return {'majority': _name(stats.accuracy(
      right_T, settings_M[rows_T], repetitions=repetitions), 'accuracy')}


def control_shuffled(scored):
  """What runs on permuted labels reached, from their figures.

  The p-value counts them with the true run, so it is never 0.
  """
  true, *shuffled = [main_figure(f)[0] for f in scored]
  if not shuffled:
    return {}
  least, middle, most = np.quantile(shuffled, (0.025, 0.5, 0.975))
  return {'shuffled': {
      'value': float(middle), 'interval': [float(least), float(most)],
      'permutations': [float(x) for x in shuffled],
      'p_value': float((1 + np.sum(np.array(shuffled) >= true))
                       / (1 + len(shuffled)))}}


def permute(values_M, settings_M, count, rng):
  """The values, then `count` permutations of them: [1 + count, M].

  Settings move whole where all have as many networks, so that replicates stay
  alike; else networks move alone.
  """
  _, setting_M, sizes = np.unique(
      settings_M, return_inverse=True, return_counts=True)
  order = np.argsort(setting_M, kind='stable')
  runs = [values_M]
  for _ in range(count):
    moved = np.empty_like(values_M)
    if np.all(sizes == sizes[0]):
      groups = values_M[order].reshape(len(sizes), sizes[0])
      moved[order] = groups[rng.permutation(len(sizes))].ravel()
    else:
      moved = rng.permutation(values_M)
    runs.append(moved)
  return np.stack(runs)
