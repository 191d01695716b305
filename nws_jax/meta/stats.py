"""Intervals, and tests of differences, for what a meta-classifier reached.

The unit is the setting: replicates of a setting and windows of a network are
not independent. Accuracies have Wilson's interval for as many independent
decisions as the spread between settings speaks of; other figures are
resampled by setting. NumPy only, but for a quantile of Student's t.
"""

from typing import NamedTuple

import numpy as np

_Z = 1.959963984540054  # 97.5 % point of the normal distribution
_FLIPS = 9999  # random sign flips of a paired test


class Estimate(NamedTuple):
  """A number and its 95 % interval."""
  value: float
  low: float
  high: float


def wilson(share, n, z=_Z):
  """Wilson's score interval of a share seen in n independent decisions.

  E. B. Wilson, JASA 22 (1927): those p whose normal approximation does not
  reject the share at 5 %.
  """
  center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
  half = z / (1 + z**2 / n) * np.sqrt(
      share * (1 - share) / n + z**2 / (4 * n * n))
  return (float(np.clip(center - half, 0, share)),
          float(np.clip(center + half, share, 1)))


def bootstrap(statistic, settings_M, *, repetitions, seed):
  """Percentile interval of `statistic(rows)`, whole settings resampled.

  Args:
    statistic: rows (int indices into the networks, with repeats) -> float;
      NaN where it is undefined, such a resample is left out.
    settings_M: the setting of every network.
  """
  values = np.asarray([statistic(rows) for rows in _resample(
      settings_M, repetitions, seed)])
  low, high = np.quantile(values[np.isfinite(values)], (0.025, 0.975))
  return float(low), float(high)


def bootstrap_columns(statistic, values_MxC, settings_M, *, repetitions,
                      seed=0):
  """Percentile intervals of a statistic of each column: (low_C, high_C).

  Args:
    statistic: (values, axis) -> what of the rows, e.g. np.mean.
    values_MxC: finite.
    settings_M: the setting of every row; whole settings are resampled.
  """
  found_RxC = np.stack([statistic(values_MxC[rows], 0) for rows in _resample(
      settings_M, repetitions, seed)])
  return np.quantile(found_RxC, (0.025, 0.975), axis=0)


def _resample(settings_M, repetitions, seed):
  """Rows of each resample of whole settings."""
  _, setting_M = np.unique(settings_M, return_inverse=True)
  order = np.argsort(setting_M, kind='stable')
  members = np.split(order, np.cumsum(np.bincount(setting_M))[:-1])
  alone = len(members) == len(order)
  rng = np.random.default_rng(seed)
  for _ in range(repetitions):
    drawn = rng.integers(len(members), size=len(members))
    yield (order[drawn] if alone
           else np.concatenate([members[s] for s in drawn]))


def accuracy(correct_M, settings_M, *, decisions=1):
  """`Estimate` of an accuracy: Wilson's interval with the design effect.

  n is the number of independent decisions whose mean would be as uncertain as
  this one is by the spread between settings, and z the quantile of Student's
  t for that many settings (C. Franco et al., J. Survey Statistics and
  Methodology 7, 2019: the modified Wilson interval). With one decision a
  setting n is their number, but for the factor S / (S - 1) of a variance.

  Args:
    correct_M: share of a network's decisions that were right.
    settings_M: its setting.
    decisions: how many decisions of a network the share is of.
  """
  value = float(np.mean(correct_M))
  _, setting_M = np.unique(settings_M, return_inverse=True)
  off_S = np.bincount(setting_M, weights=correct_M - value)
  settings = n = len(off_S)
  if settings == 1:
    return Estimate(value, 0.0, 1.0)
  variance = np.sum(off_S**2) / len(correct_M)**2
  if variance > 1e-12:
    n = value * (1 - value) / variance
    if settings < len(correct_M) * decisions:
      n *= (settings - 1) / settings
    n = min(n, len(correct_M) * decisions)
  return Estimate(value, *wilson(value, n, _student(settings - 1)))


def _student(freedom):
  from scipy import stats  # slow to import
  return float(stats.t.ppf(0.975, freedom))


def balanced_accuracy(predicted_M, labels_M, settings_M, *, repetitions=1000,
                      seed=0):
  """`Estimate` of the mean recall over the classes."""
  def recall(rows):
    right = predicted_M[rows] == labels_M[rows]
    hits = np.bincount(labels_M[rows], weights=right)
    seen = np.bincount(labels_M[rows])
    return float(np.mean(hits[seen > 0] / seen[seen > 0]))

  value = recall(np.arange(len(labels_M)))
  drawn = bootstrap(recall, settings_M, repetitions=repetitions, seed=seed)
  settings = len(np.unique(settings_M))
  least = wilson(value, settings, _student(max(settings - 1, 1)))
  return Estimate(value, min(drawn[0], least[0]), max(drawn[1], least[1]))


def confusion(predicted_M, labels_M, classes):
  """int [K, K]: rows are the true classes, columns the predicted ones."""
  counts = np.zeros((classes, classes), int)
  np.add.at(counts, (labels_M, predicted_M), 1)
  return counts


def r2(predicted_M, target_M):
  """Share of the variance explained; below 0: worse than the mean."""
  total = np.sum((target_M - target_M.mean())**2)
  if not total:
    return np.nan
  return float(1 - np.sum((predicted_M - target_M)**2) / total)


def kendall_tau(predicted_M, target_M):
  """Kendall's tau-b; 0 where one side is constant."""
  from scipy import stats  # slow to import
  tau = stats.kendalltau(predicted_M, target_M).statistic
  return 0.0 if np.isnan(tau) else float(tau)


def mean_absolute_error(predicted_M, target_M):
  return float(np.mean(np.abs(predicted_M - target_M)))


def regression(statistic, predicted_M, target_M, *, settings_M,
               repetitions=1000, seed=0):
  """`Estimate` of statistic(predicted_M, target_M)."""
  low, high = bootstrap(
      lambda rows: statistic(predicted_M[rows], target_M[rows]), settings_M,
      repetitions=repetitions, seed=seed)
  return Estimate(statistic(predicted_M, target_M), low, high)


def compare(better_T, worse_T, settings_T, *, seed=0):
  """p-value, two-sided, of the difference between paired figures.

  The sign of each setting's difference is flipped at random (Fisher's
  randomisation test). Where all differences are one decision this is McNemar's
  test (Psychometrika 12, 1947), and is exact.

  Args:
    better_T: a figure of each network, e.g. 1 where it was read rightly.
    worse_T: the same of the other classifier, cell or control.
    settings_T: their settings.
  """
  _, setting_T = np.unique(settings_T, return_inverse=True)
  sum_S = np.bincount(setting_T, weights=np.asarray(better_T, float) - worse_T)
  sum_S = sum_S[np.abs(sum_S) > 1e-12]
  if not len(sum_S):
    return 1.0
  if np.allclose(np.abs(sum_S), np.abs(sum_S[0])):
    from scipy import stats  # slow to import
    return float(stats.binomtest(int(np.sum(sum_S > 0)), len(sum_S)).pvalue)
  signs = np.random.default_rng(seed).choice((-1.0, 1.0), (_FLIPS, len(sum_S)))
  extreme = np.abs(signs @ sum_S) >= abs(sum_S.sum()) - 1e-9
  return float((1 + extreme.sum()) / (1 + _FLIPS))


def exceed_chance(predicted_T, labels_T, settings_T, *, repetitions, seed=0):
  """p-value of predictions that tell more of the labels than chance.

  Labels are moved between settings while the predictions stay, so that an
  uneven choice of classes gains nothing. Classes: the share that is right;
  values: the squared error.

  Args:
    predicted_T: int classes, or float values, of each network.
    labels_T: the true ones.
    settings_T: their settings; they move whole where all have as many networks.
    repetitions: random moves.
  """
  rng = np.random.default_rng(seed)
  error = (np.not_equal if labels_T.dtype.kind in 'iub'
           else lambda a, b: (a - b)**2)
  seen, extreme = error(predicted_T, labels_T).sum(), 0
  for begin in range(0, repetitions, 1000):
    count = min(1000, repetitions - begin)
    order_RxT = move(settings_T, count, rng)
    extreme += np.sum(
        error(predicted_T[None], labels_T[order_RxT]).sum(1) <= seen + 1e-9)
  return float((1 + extreme) / (1 + repetitions))


def move(settings_M, count, rng):
  """Rows in `count` random orders, [count, M].

  Settings move whole where all have as many networks, so that replicates stay
  alike; else networks move alone.
  """
  _, setting_M, sizes = np.unique(
      settings_M, return_inverse=True, return_counts=True)
  rows = np.arange(len(setting_M))
  if np.any(sizes != sizes[0]):
    return rng.permuted(np.tile(rows, (count, 1)), axis=1)
  order_SxR = np.argsort(setting_M, kind='stable').reshape(len(sizes), -1)
  moved = np.empty((count, len(rows)), int)
  places = rng.permuted(np.tile(np.arange(len(sizes)), (count, 1)), axis=1)
  moved[:, order_SxR.ravel()] = order_SxR[places].reshape(
      count, len(rows))
  return moved


def holm(p_C):
  """Holm's corrected p-values (Scandinavian J. of Statistics 6, 1979).

  Whatever is called significant at 5 % after it, the chance that any of it is
  chance is at most 5 %.
  """
  p_C = np.asarray(p_C, float)
  order = np.argsort(p_C, kind='stable')
  steps = p_C[order] * (len(p_C) - np.arange(len(p_C)))
  corrected = np.empty_like(p_C)
  corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
  return corrected
