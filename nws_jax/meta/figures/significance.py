"""Significance tests by permutation, of what a meta-classifier reached.

The unit is the setting, as in `intervals`: replicates of a setting are permuted
together.
"""

import numpy as np
import numpy.typing as npt

from nws_jax.meta.figures import intervals

_FLIPS = 9999  # random sign flips of a paired test


def compare(better_T: np.ndarray, worse_T: np.ndarray, settings_T: np.ndarray,
            *, seed: int = 0) -> float:
  """Two-sided p-value of the difference between paired figures.

  The sign of each setting's difference is flipped at random (Fisher's
  randomisation test). Where all differences are one decision this is McNemar's
  test (Psychometrika 12, 1947), and is exact.

  Args:
    better_T: a figure of each network, e.g. 1 where its prediction is correct.
    worse_T: the same of the other classifier, cell or control.
    settings_T: their settings.
    seed: of the sign flips.
  """
  _, setting_T = np.unique(settings_T, return_inverse=True)
  sum_S = np.bincount(setting_T, weights=np.asarray(better_T, float) - worse_T)
  if not sum_S.any():
    return 1.0
  sum_S = sum_S / np.abs(sum_S).max()  # figures may be of any scale
  sum_S = sum_S[np.abs(sum_S) > 1e-12]
  if np.allclose(np.abs(sum_S), np.abs(sum_S[0])):
    from scipy import stats  # slow to import
    return float(stats.binomtest(int(np.sum(sum_S > 0)), len(sum_S)).pvalue)
  signs = np.random.default_rng(seed).choice((-1.0, 1.0), (_FLIPS, len(sum_S)))
  extreme = np.abs(signs @ sum_S) >= abs(sum_S.sum()) - 1e-9
  return float((1 + extreme.sum()) / (1 + _FLIPS))


def exceed_chance(predicted_CxT: np.ndarray, labels_T: np.ndarray,
                  settings_T: np.ndarray, *, repetitions: int,
                  seed: int = 0) -> np.ndarray:
  """p-values [C] of predictions against the hypothesis that they are chance.

  Labels are permuted between settings while the predictions stay, so that
  predicting the commonest class more often gains nothing. Of classes the
  statistic is the accuracy, of values the squared error.

  Args:
    predicted_CxT: int classes, or float values, of each network; C of them.
    labels_T: the true ones.
    settings_T: their settings; see `permute`.
    repetitions: number of random permutations, the same for all C.
    seed: of the permutations.
  """
  def agree(permuted_RxT: np.ndarray) -> np.ndarray:
    """The statistic [R, C], up to what no permutation changes."""
    if labels_T.dtype.kind in 'iub':
      found_RxC = np.zeros((len(permuted_RxT), len(predicted_CxT)), np.float32)
      for k in np.unique(labels_T):
        found_RxC += ((permuted_RxT == k).astype(np.float32)
                      @ (predicted_CxT == k).astype(np.float32).T)
      return found_RxC
    # Of (a - b)**2 only the mixed term changes.
    return permuted_RxT @ predicted_CxT.T

  rng = np.random.default_rng(seed)
  seen_C, extreme_C = agree(labels_T[None])[0], np.zeros(len(predicted_CxT))
  least_C = seen_C - 1e-9 * np.abs(seen_C)
  for some in intervals.chunk(repetitions, len(labels_T)):
    order_RxT = permute(settings_T, some, rng)
    extreme_C += np.sum(agree(labels_T[order_RxT]) >= least_C, 0)
  return (1 + extreme_C) / (1 + repetitions)


def permute(settings_M: np.ndarray, count: int,
            rng: np.random.Generator) -> np.ndarray:
  """`count` random permutations of the rows: indices [count, M].

  Settings of equally many rows are exchanged as a whole, so that replicates
  keep equal labels; and the rows within each are shuffled: where a label
  differs within settings, as an epoch does, all settings may hold the same
  ones.
  """
  _, setting_M, sizes = np.unique(
      settings_M, return_inverse=True, return_counts=True)
  order_RxM = np.empty((count, len(setting_M)), int)
  for size in np.unique(sizes):
    # The rows of all settings of this size, a setting a row.
    rows = np.flatnonzero(sizes[setting_M] == size)
    order_SxK = rows[np.argsort(setting_M[rows], kind='stable')].reshape(
        -1, size)
    found_RxSxK = order_SxK[rng.permuted(np.tile(np.arange(
        len(order_SxK)), (count, 1)), axis=1)]
    if size > 1:
      found_RxSxK = rng.permuted(found_RxSxK, axis=2)
    order_RxM[:, order_SxK.ravel()] = found_RxSxK.reshape(
        count, len(rows))
  return order_RxM


def holm(p_values_C: npt.ArrayLike) -> np.ndarray:
  """Holm's corrected p-values (Scandinavian J. of Statistics 6, 1979).

  Where all corrected ones up to 5 % are called significant, the probability
  that any of them is a false positive is at most 5 %.
  """
  p_C = np.asarray(p_values_C, float)
  order = np.argsort(p_C, kind='stable')
  steps = p_C[order] * (len(p_C) - np.arange(len(p_C)))
  corrected = np.empty_like(p_C)
  corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
  return corrected
