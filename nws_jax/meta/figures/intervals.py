"""The figures of a meta-classifier with their 95 % intervals.

The unit is the setting: replicates of a setting and windows of a network are
not independent. Accuracies have Wilson's interval for the effective number of
independent decisions, estimated from the spread between settings; all other
figures have percentile intervals of a bootstrap over settings.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_Z = 1.959963984540054  # 97.5 % point of the normal distribution
_MOST_VALUES = 1 << 25  # of resamples that are held in memory at once


class Estimate(NamedTuple):
  """A number and its 95 % interval."""
  value: float
  low: float
  high: float

  def exceeds(self, chance: float) -> bool:
    """Whether it is above chance: its whole interval is."""
    return self.low > chance

  def to_json(self, name: str = 'value') -> dict[str, Any]:
    """As records of results hold it."""
    return {name: self.value, 'interval': [self.low, self.high]}

  @classmethod
  def from_json(cls, part: dict[str, Any]) -> 'Estimate':
    """Inverse of `to_json`; its name is `accuracy` or `value`."""
    value = part['accuracy'] if 'accuracy' in part else part['value']
    return cls(value, *part['interval'])


def wilson(share: float, n: float, z: float = _Z) -> tuple[float, float]:
  """Wilson's score interval of a share observed in n independent decisions.

  E. B. Wilson, JASA 22 (1927): those p whose normal approximation does not
  reject the share at 5 %.
  """
  center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
  half = z / (1 + z**2 / n) * np.sqrt(
      share * (1 - share) / n + z**2 / (4 * n * n))
  return (float(np.clip(center - half, 0, share)),
          float(np.clip(center + half, share, 1)))


def bootstrap(statistic: Callable[[np.ndarray], float], settings_M: np.ndarray,
              *, repetitions: int, seed: int) -> tuple[float, float]:
  """Percentile interval of `statistic(rows)`; whole settings are resampled.

  Args:
    statistic: rows (int indices into the networks, with repeats) -> float;
      NaN where it is undefined: such a resample is left out.
    settings_M: the setting of every network.
    repetitions: number of resamples.
    seed: of the resamples.
  """
  rows = np.arange(len(settings_M))
  return _interval([
      statistic(np.repeat(rows, w))
      for some_RxM in resample(settings_M, repetitions, seed)
      for w in some_RxM])


def bootstrap_columns(
    statistic: Callable[[np.ndarray, int], np.ndarray], values_MxC: np.ndarray,
    settings_M: np.ndarray, *, repetitions: int, seed: int = 0) -> np.ndarray:
  """Percentile intervals of a statistic of each column: (low_C, high_C).

  Args:
    statistic: (values, axis) -> values reduced along the axis, e.g. np.mean.
    values_MxC: finite.
    settings_M: the setting of every row; whole settings are resampled.
    repetitions: number of resamples.
    seed: of the resamples.
  """
  rows = np.arange(len(values_MxC))
  found_RxC = np.stack([
      statistic(values_MxC[np.repeat(rows, w)], 0)
      for some_RxM in resample(settings_M, repetitions, seed)
      for w in some_RxM])
  return np.quantile(found_RxC, (0.025, 0.975), axis=0)


def resample(settings_M: np.ndarray, repetitions: int,
             seed: int) -> Iterator[np.ndarray]:
  """How often each network counts in each bootstrap resample of the settings.

  Yields int [some of R, M], as many as may be held in memory at once.
  """
  _, setting_M = np.unique(settings_M, return_inverse=True)
  settings, rng = setting_M.max() + 1, np.random.default_rng(seed)
  for some in chunk(repetitions, len(setting_M)):
    drawn = rng.integers(settings, size=(some, settings))
    # One bincount for all resamples: each has its own range of numbers.
    at = drawn + settings * np.arange(some)[:, None]
    yield np.bincount(at.ravel(), minlength=some * settings).reshape(
        some, settings)[:, setting_M]


def chunk(count: int, size: int) -> list[int]:
  """Splits `count` rows of `size` values into chunks that memory holds."""
  some = max(1, min(1000, _MOST_VALUES // size))
  return [min(some, count - begin) for begin in range(0, count, some)]


def _resample(function: Callable[[np.ndarray], np.ndarray],
              settings_M: np.ndarray, repetitions: int,
              seed: int) -> np.ndarray:
  """`function` (int [r, M] -> [r]) of all resamples: [R]."""
  return np.concatenate([function(some_RxM) for some_RxM in resample(
      settings_M, repetitions, seed)])


def _interval(found_R: npt.ArrayLike) -> tuple[float, float]:
  values_R = np.asarray(found_R)
  low, high = np.quantile(values_R[np.isfinite(values_R)], (0.025, 0.975))
  return float(low), float(high)


def accuracy(correct_M: np.ndarray, settings_M: np.ndarray, *,
             decisions: int = 1) -> Estimate:
  """`Estimate` of an accuracy: Wilson's interval with the design effect.

  n is the effective number of independent decisions: a mean of that many is as
  uncertain as the spread between settings says. z is the quantile of Student's
  t for that many settings (C. Franco et al., J. Survey Statistics and
  Methodology 7, 2019: the modified Wilson interval). With one decision a
  setting n is their number, but for the factor S / (S - 1) of a variance.

  Args:
    correct_M: share of a network's decisions that are correct.
    settings_M: its setting.
    decisions: number of decisions of a network that the share is of.
  """
  value = float(np.mean(correct_M))
  _, setting_M = np.unique(settings_M, return_inverse=True)
  off_S = np.bincount(setting_M, weights=correct_M - value)
  settings, n = len(off_S), float(len(off_S))
  if settings == 1:
    return Estimate(value, 0.0, 1.0)
  # Of the mean, by the deviations of whole settings from it.
  variance = float(np.sum(off_S**2)) / len(correct_M)**2
  if variance > 1e-12:
    n = value * (1 - value) / variance
    if settings < len(correct_M) * decisions:
      n *= (settings - 1) / settings
    n = min(n, float(len(correct_M) * decisions))
  return Estimate(value, *wilson(value, n, _student(settings - 1)))


def _student(freedom: int) -> float:
  from scipy import stats  # slow to import
  return float(stats.t.ppf(0.975, freedom))


def balanced_accuracy(
    predicted_M: np.ndarray, labels_M: np.ndarray, settings_M: np.ndarray, *,
    repetitions: int = 1000, seed: int = 0) -> Estimate:
  """`Estimate` of the mean recall over the classes, never narrower than
  Wilson's interval."""
  of_MxK = (labels_M[:, None] == np.unique(labels_M)).astype(float)
  right_MxK = of_MxK * (predicted_M == labels_M)[:, None]

  def recall(weights_RxM: np.ndarray) -> np.ndarray:
    seen_RxK = weights_RxM @ of_MxK
    shares_RxK = weights_RxM @ right_MxK / np.maximum(seen_RxK, 1)
    return shares_RxK.sum(1) / np.sum(seen_RxK > 0, 1)

  value, = recall(np.ones((1, len(labels_M)))).tolist()
  drawn = _interval(_resample(recall, settings_M, repetitions, seed))
  settings = len(np.unique(settings_M))
  least = wilson(value, settings, _student(max(settings - 1, 1)))
  return Estimate(value, min(drawn[0], least[0]), max(drawn[1], least[1]))


def confusion(predicted_M: np.ndarray, labels_M: np.ndarray,
              classes: int) -> np.ndarray:
  """int [K, K]: rows are the true classes, columns the predicted ones."""
  counts = np.zeros((classes, classes), int)
  np.add.at(counts, (labels_M, predicted_M), 1)
  return counts


def kendall_tau(predicted_M: np.ndarray, target_M: np.ndarray) -> float:
  """Kendall's tau-b; 0 where one side is constant."""
  from scipy import stats  # slow to import
  tau = stats.kendalltau(predicted_M, target_M).statistic
  return 0.0 if np.isnan(tau) else float(tau)


def explained(error_M: np.ndarray, target_M: np.ndarray, *,
              settings_M: np.ndarray, repetitions: int = 1000,
              seed: int = 0) -> Estimate:
  """`Estimate` of R², from squared errors; below 0: worse than the mean.

  Args:
    error_M: squared error of each network, or the mean of its windows'.
    target_M: the true values.
    settings_M: their settings.
    repetitions: number of bootstrap resamples.
    seed: of the resamples.
  """
  centred_M = target_M - np.mean(target_M)

  def explain(weights_RxM: np.ndarray) -> np.ndarray:
    count_R = weights_RxM.sum(1)
    total_R = weights_RxM @ centred_M**2 - (
        weights_RxM @ centred_M)**2 / count_R
    # Constant values leave only a rounding error: R² is undefined there.
    total_R = np.where(
        total_R > 1e-12 * (centred_M @ centred_M), total_R, np.nan)
    return 1 - weights_RxM @ error_M / total_R

  value, = explain(np.ones((1, len(target_M)))).tolist()
  drawn = _resample(explain, settings_M, repetitions, seed)
  return Estimate(value, *(_interval(drawn) if np.isfinite(drawn).any()
                           else (np.nan, np.nan)))


def average(values_M: np.ndarray, *, settings_M: np.ndarray,
            repetitions: int = 1000, seed: int = 0) -> Estimate:
  """`Estimate` of a mean over networks."""
  return Estimate(float(np.mean(values_M)), *_interval(_resample(
      lambda weights_RxM: weights_RxM @ values_M / weights_RxM.sum(1),
      settings_M, repetitions, seed)))


def regression(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    predicted_M: np.ndarray, target_M: np.ndarray, *, settings_M: np.ndarray,
    repetitions: int = 1000, seed: int = 0) -> Estimate:
  """`Estimate` of statistic(predicted_M, target_M)."""
  low, high = bootstrap(
      lambda rows: statistic(predicted_M[rows], target_M[rows]), settings_M,
      repetitions=repetitions, seed=seed)
  return Estimate(statistic(predicted_M, target_M), low, high)
