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
_AT_HAND = 1 << 25  # labels of random orders that are held at once


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
  rows = np.arange(len(settings_M))
  return _interval([
      statistic(np.repeat(rows, w))
      for some_RxM in resample(settings_M, repetitions, seed)
      for w in some_RxM])


def bootstrap_columns(statistic, values_MxC, settings_M, *, repetitions,
                      seed=0):
  """Percentile intervals of a statistic of each column: (low_C, high_C).

  Args:
    statistic: (values, axis) -> what of the rows, e.g. np.mean.
    values_MxC: finite.
    settings_M: the setting of every row; whole settings are resampled.
  """
  rows = np.arange(len(values_MxC))
  found_RxC = np.stack([
      statistic(values_MxC[np.repeat(rows, w)], 0)
      for some_RxM in resample(settings_M, repetitions, seed)
      for w in some_RxM])
  return np.quantile(found_RxC, (0.025, 0.975), axis=0)


def resample(settings_M, repetitions, seed):
  """How often each network counts where settings are drawn again.

  Yields int [some of R, M], as many as may be held at once.
  """
  _, setting_M = np.unique(settings_M, return_inverse=True)
  settings, rng = setting_M.max() + 1, np.random.default_rng(seed)
  for some in _share(repetitions, len(setting_M)):
    drawn = rng.integers(settings, size=(some, settings))
    at = drawn + settings * np.arange(some)[:, None]
    yield np.bincount(at.ravel(), minlength=some * settings).reshape(
        some, settings)[:, setting_M]


def _share(count, size):
  """Parts of `count` rows of so many values that may be held at once."""
  some = max(1, min(1000, _AT_HAND // size))
  return [min(some, count - begin) for begin in range(0, count, some)]


def _resample(function, settings_M, repetitions, seed):
  """`function` (int [r, M] -> [r]) of all resamples: [R]."""
  return np.concatenate([function(some_RxM) for some_RxM in resample(
      settings_M, repetitions, seed)])


def _interval(values_R):
  values_R = np.asarray(values_R)
  low, high = np.quantile(values_R[np.isfinite(values_R)], (0.025, 0.975))
  return float(low), float(high)


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
  of_MxK = (labels_M[:, None] == np.unique(labels_M)).astype(float)
  right_MxK = of_MxK * (predicted_M == labels_M)[:, None]

  def recall(weights_RxM):
    seen_RxK = weights_RxM @ of_MxK
    shares_RxK = weights_RxM @ right_MxK / np.maximum(seen_RxK, 1)
    return shares_RxK.sum(1) / np.sum(seen_RxK > 0, 1)

  value, = recall(np.ones((1, len(labels_M)))).tolist()
  drawn = _interval(_resample(recall, settings_M, repetitions, seed))
  settings = len(np.unique(settings_M))
  least = wilson(value, settings, _student(max(settings - 1, 1)))
  return Estimate(value, min(drawn[0], least[0]), max(drawn[1], least[1]))


def confusion(predicted_M, labels_M, classes):
  """int [K, K]: rows are the true classes, columns the predicted ones."""
  counts = np.zeros((classes, classes), int)
  np.add.at(counts, (labels_M, predicted_M), 1)
  return counts


def kendall_tau(predicted_M, target_M):
  """Kendall's tau-b; 0 where one side is constant."""
  from scipy import stats  # slow to import
  tau = stats.kendalltau(predicted_M, target_M).statistic
  return 0.0 if np.isnan(tau) else float(tau)


def explained(error_M, target_M, *, settings_M, repetitions=1000, seed=0):
  """`Estimate` of R², from squared errors; below 0: worse than the mean.

  Args:
    error_M: of each network, or the mean of its windows'.
    target_M: what was to be told.
    settings_M: their settings.
    repetitions: of the bootstrap.
    seed: likewise.
  """
  centred_M = target_M - np.mean(target_M)

  def explain(weights_RxM):
    count_R = weights_RxM.sum(1)
    total_R = weights_RxM @ centred_M**2 - (
        weights_RxM @ centred_M)**2 / count_R
    # What does not vary has a rest of rounding: nothing of it is explained.
    total_R = np.where(
        total_R > 1e-12 * (centred_M @ centred_M), total_R, np.nan)
    return 1 - weights_RxM @ error_M / total_R

  value, = explain(np.ones((1, len(target_M)))).tolist()
  drawn = _resample(explain, settings_M, repetitions, seed)
  return Estimate(value, *(_interval(drawn) if np.isfinite(drawn).any()
                           else (np.nan, np.nan)))


def average(values_M, *, settings_M, repetitions=1000, seed=0):
  """`Estimate` of a mean over networks."""
  return Estimate(float(np.mean(values_M)), *_interval(_resample(
      lambda weights_RxM: weights_RxM @ values_M / weights_RxM.sum(1),
      settings_M, repetitions, seed)))


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
  if not sum_S.any():
    return 1.0
  sum_S /= np.abs(sum_S).max()  # figures may be of any scale
  sum_S = sum_S[np.abs(sum_S) > 1e-12]
  if np.allclose(np.abs(sum_S), np.abs(sum_S[0])):
    from scipy import stats  # slow to import
    return float(stats.binomtest(int(np.sum(sum_S > 0)), len(sum_S)).pvalue)
  signs = np.random.default_rng(seed).choice((-1.0, 1.0), (_FLIPS, len(sum_S)))
  extreme = np.abs(signs @ sum_S) >= abs(sum_S.sum()) - 1e-9
  return float((1 + extreme.sum()) / (1 + _FLIPS))


def exceed_chance(predicted_CxT, labels_T, settings_T, *, repetitions, seed=0):
  """p-values [C] of predictions that tell more of the labels than chance.

  Labels are moved between settings while the predictions stay, so that an
  uneven choice of classes gains nothing. Classes: the share that is right;
  values: the squared error.

  Args:
    predicted_CxT: int classes, or float values, of each network; C of them.
    labels_T: the true ones.
    settings_T: their settings, which move whole (`move`).
    repetitions: random moves, the same for all C.
  """
  def agree(moved_RxT):
    if labels_T.dtype.kind in 'iub':
      return sum(np.float32(moved_RxT == k) @ np.float32(predicted_CxT == k).T
                 for k in np.unique(labels_T))
    return moved_RxT @ predicted_CxT.T  # the rest of the error does not move

  rng = np.random.default_rng(seed)
  seen_C, extreme_C = agree(labels_T[None])[0], np.zeros(len(predicted_CxT))
  least_C = seen_C - 1e-9 * np.abs(seen_C)
  for some in _share(repetitions, len(labels_T)):
    order_RxT = move(settings_T, some, rng)
    extreme_C += np.sum(agree(labels_T[order_RxT]) >= least_C, 0)
  return (1 + extreme_C) / (1 + repetitions)


def move(settings_M, count, rng):
  """Rows in `count` random orders, [count, M].

  Settings move whole among those of as many rows, so that replicates stay
  alike; and the rows of each change places, for where a label differs within
  settings, as an epoch does, all settings may hold the same ones.
  """
  _, setting_M, sizes = np.unique(
      settings_M, return_inverse=True, return_counts=True)
  moved_RxM = np.empty((count, len(setting_M)), int)
  for size in np.unique(sizes):
    rows = np.flatnonzero(sizes[setting_M] == size)
    order_SxK = rows[np.argsort(setting_M[rows], kind='stable')].reshape(
        -1, size)
    found_RxSxK = order_SxK[rng.permuted(np.tile(np.arange(
        len(order_SxK)), (count, 1)), axis=1)]
    if size > 1:
      found_RxSxK = rng.permuted(found_RxSxK, axis=2)
    moved_RxM[:, order_SxK.ravel()] = found_RxSxK.reshape(
        count, len(rows))
  return moved_RxM


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
