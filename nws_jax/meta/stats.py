"""Intervals for what a meta-classifier reached. NumPy only.

One decision a network, every network its own setting: Wilson's interval.
Anything else is resampled by setting, because replicates of a setting and
windows of a network are not independent, and is never narrower than Wilson's
interval for that many settings (a bootstrap of all-correct has no width).
"""

from typing import NamedTuple

import numpy as np

_Z = 1.959963984540054  # 97.5 % point of the normal distribution


class Estimate(NamedTuple):
  """A number and its 95 % interval."""
  value: float
  low: float
  high: float


def wilson(share, n):
  """Wilson's score interval of a share seen in n independent decisions.

  E. B. Wilson, JASA 22 (1927): those p whose normal approximation does not
  reject the share at 5 %.
  """
  center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
  half = _Z / (1 + _Z**2 / n) * np.sqrt(
      share * (1 - share) / n + _Z**2 / (4 * n * n))
  return (float(np.clip(center - half, 0, share)),
          float(np.clip(center + half, share, 1)))


def bootstrap(statistic, settings_M, *, repetitions, seed):
  """Percentile interval of `statistic(rows)`, whole settings resampled.

  Args:
    statistic: rows (int indices into the networks, with repeats) -> float;
      NaN where it is undefined, such a resample is left out.
    settings_M: the setting of every network.
  """
  _, setting_M = np.unique(settings_M, return_inverse=True)
  order = np.argsort(setting_M, kind='stable')
  members = np.split(order, np.cumsum(np.bincount(setting_M))[:-1])
  alone = len(members) == len(order)
  rng = np.random.default_rng(seed)
  values = []
  for _ in range(repetitions):
    drawn = rng.integers(len(members), size=len(members))
    values.append(statistic(
        order[drawn] if alone else np.concatenate([members[s] for s in drawn])))
  values = np.asarray(values)
  low, high = np.quantile(values[np.isfinite(values)], (0.025, 0.975))
  return float(low), float(high)


def accuracy(correct_M, settings_M, *, decisions=1, repetitions=1000, seed=0):
  """`Estimate` of an accuracy.

  Args:
    correct_M: share of a network's decisions that were right.
    settings_M: its setting.
    decisions: how many decisions of a network the share is of.
  """
  value = float(np.mean(correct_M))
  settings = len(np.unique(settings_M))
  low, high = wilson(value, settings)
  if decisions > 1 or settings < len(correct_M):
    drawn = bootstrap(lambda rows: correct_M[rows].mean(), settings_M,
                      repetitions=repetitions, seed=seed)
    low, high = min(low, drawn[0]), max(high, drawn[1])
  return Estimate(value, low, high)


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
  least = wilson(value, len(np.unique(settings_M)))
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
