"""Whether a network is out of the distribution of a classifier's zoo.

The distance is Mahalanobis', in the logarithms of the statistics, from the
networks of the zoo. One reference a fold is fitted to the other folds; the
threshold is a percentile of the distances of all held-out networks.
"""

from typing import Any, NamedTuple

import numpy as np

FALSE_POSITIVES = 0.05  # share of the zoo's own networks beyond the threshold
_FINE = 1e3  # statistics far below its inverse count as equal
_FLOOR = 1e-3  # least deviation of a statistic
_SHRINK = 0.03  # least variance of a direction, as a share of the mean one


class Reference(NamedTuple):
  """One distribution a fold, fitted to the other folds."""
  center_FxC: np.ndarray
  scale_FxC: np.ndarray
  axes_FxRxC: np.ndarray  # principal directions, padded with zeros
  precision_FxR: np.ndarray  # along them
  rest_F: np.ndarray  # precision orthogonal to them
  threshold: float


class _Gaussian(NamedTuple):
  """The distribution of one fold; fields as of `Reference`."""
  center_C: np.ndarray
  scale_C: np.ndarray
  axes_RxC: np.ndarray
  precision_R: np.ndarray
  rest: float


def fit(rows_NxC: np.ndarray, folds_N: np.ndarray) -> Reference:
  """The `Reference` of statistics.

  Args:
    rows_NxC: of each network; NaN where it lacks a tensor.
    folds_N: its fold.
  """
  parts: list[_Gaussian] = []
  held: list[np.ndarray] = []
  x_NxC = _prepare(rows_NxC)
  for fold in range(int(np.max(folds_N)) + 1):
    rest = x_NxC[folds_N != fold]
    parts.append(_fit_one(rest if len(rest) else x_NxC))
    held.append(_measure_one(parts[-1], x_NxC[folds_N == fold]))
  rank = max(len(part.axes_RxC) for part in parts)

  def pad(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.zeros((rank - len(x),) + x.shape[1:])])

  center, scale, axes, precision, rest = zip(*parts)
  return Reference(
      np.stack(center), np.stack(scale), np.stack([pad(x) for x in axes]),
      np.stack([pad(x) for x in precision]), np.array(rest),
      float(np.quantile(np.concatenate(held), 1 - FALSE_POSITIVES)))


def measure(reference: Reference, rows_NxC: np.ndarray,
            fold: int | None = None) -> np.ndarray:
  """Distances [N] in units of the threshold: above 1 is out of distribution.

  Args:
    reference: `Reference`.
    rows_NxC: statistics of the networks.
    fold: the fold whose distribution is used; None: the median of all.
  """
  x_NxC = _prepare(rows_NxC)
  folds = range(len(reference.rest_F)) if fold is None else [fold]
  found = [_measure_one(_Gaussian(*(x[f] for x in reference[:5])), x_NxC)
           for f in folds]
  return np.median(found, 0) / reference.threshold


def write(path: str, reference: Reference) -> None:
  with open(path, 'wb') as f:
    arrays: dict[str, Any] = {name: np.asarray(x, np.float32)
                              for name, x in reference._asdict().items()}
    np.savez(f, **arrays)


def read(path: str) -> Reference:
  """Raises `KeyError`, or what `np.load` raises, for what `write` did not
  write."""
  with open(path, 'rb') as f, np.load(f, allow_pickle=False) as arrays:
    found = Reference(*(arrays[name] for name in Reference._fields))
  return found._replace(threshold=float(found.threshold))


def _prepare(rows_NxC: np.ndarray) -> np.ndarray:
  """Symmetric logarithms: statistics range over many orders of magnitude."""
  rows_NxC = np.clip(np.asarray(rows_NxC, np.float64), -1e30, 1e30)
  return np.sign(rows_NxC) * np.log1p(np.abs(rows_NxC) * _FINE)


def _fit_one(x_NxC: np.ndarray) -> _Gaussian:
  there = ~np.isnan(x_NxC)
  count_C = np.maximum(there.sum(0), 1)
  center_C = np.where(there, x_NxC, 0).sum(0) / count_C
  centred = np.where(there, x_NxC - center_C, 0)
  scale_C = np.sqrt((centred**2).sum(0) / count_C) + _FLOOR
  # There are fewer networks than statistics: directions that no network spans
  # have the least variance.
  _, values_R, axes_RxC = np.linalg.svd(
      centred / scale_C, full_matrices=False)
  variance_R = values_R**2 / len(x_NxC)
  least = max(_SHRINK * float(variance_R.sum()) / len(center_C), 1e-9)
  return _Gaussian(
      center_C, scale_C, axes_RxC, 1 / (variance_R + least), 1 / least)


def _measure_one(part: _Gaussian, x_NxC: np.ndarray) -> np.ndarray:
  center_C, scale_C, axes_RxC, precision_R, rest = part
  x_NxC = np.nan_to_num((x_NxC - center_C) / scale_C)
  along_NxR = x_NxC @ axes_RxC.T
  # Axes of padding are zero, and so add nothing.
  across_N = np.maximum((x_NxC**2).sum(1) - (along_NxR**2).sum(1), 0)
  return np.sqrt((along_NxR**2 * precision_R).sum(1) + across_N * rest)
