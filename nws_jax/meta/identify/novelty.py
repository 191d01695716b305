"""Whether a network is like those that a classifier was trained on.

Its distance is Mahalanobis', in the logarithms of the statistics, from the
networks of the zoo. A reference is fitted without each fold in turn, and the
threshold is what a stated share of the held-out networks exceeds.
"""

from typing import NamedTuple

import numpy as np

FALSE_ALARMS = 0.05  # of the networks of the zoo, called unlike it
_FINE = 1e3  # statistics far below its inverse are alike
_FLOOR = 1e-3  # least deviation of a statistic
_SHRINK = 0.03  # share of the mean variance that every direction has at least


class Reference(NamedTuple):
  """One a fold: fitted to the others."""
  center_FxC: np.ndarray
  scale_FxC: np.ndarray
  axes_FxRxC: np.ndarray  # principal directions, padded with zeros
  precision_FxR: np.ndarray
  rest_F: np.ndarray  # precision across them
  threshold: float


def fit(rows_NxC, folds_N):
  """The `Reference` of statistics.

  Args:
    rows_NxC: of each network; NaN is what it lacks.
    folds_N: its fold.
  """
  parts, held = [], []
  x_NxC = _prepare(rows_NxC)
  for fold in range(int(np.max(folds_N)) + 1):
    rest = x_NxC[folds_N != fold]
    parts.append(_fit_one(rest if len(rest) else x_NxC))
    held.append(_measure_one(parts[-1], x_NxC[folds_N == fold]))
  rank = max(len(axes) for _, _, axes, _, _ in parts)

  def pad(x):
    return np.concatenate([x, np.zeros((rank - len(x),) + x.shape[1:])])

  center, scale, axes, precision, rest = zip(*parts)
  return Reference(
      np.stack(center), np.stack(scale), np.stack([pad(x) for x in axes]),
      np.stack([pad(x) for x in precision]), np.array(rest),
      float(np.quantile(np.concatenate(held), 1 - FALSE_ALARMS)))


def measure(reference, rows_NxC, fold=None):
  """Distances in units of the threshold: above 1 is unlike. [N].

  Args:
    reference: `Reference`.
    rows_NxC: statistics of the networks.
    fold: the only fold to ask; else the median of all.
  """
  x_NxC = _prepare(rows_NxC)
  folds = range(len(reference.rest_F)) if fold is None else [fold]
  found = [_measure_one([x[f] for x in reference[:5]], x_NxC) for f in folds]
  return np.median(found, 0) / reference.threshold


def write(path, reference):
  with open(path, 'wb') as f:
    np.savez(f, **{name: np.asarray(x, np.float32)
                   for name, x in reference._asdict().items()})


def read(path):
  """Raises `KeyError`, or what `np.load` raises, for what `write` did not
  write."""
  with open(path, 'rb') as f, np.load(f, allow_pickle=False) as arrays:
    found = Reference(*(arrays[name] for name in Reference._fields))
  return found._replace(threshold=float(found.threshold))


def _prepare(rows_NxC):
  """Symmetric logarithms: statistics range over many orders of magnitude."""
  rows_NxC = np.clip(np.asarray(rows_NxC, np.float64), -1e30, 1e30)
  return np.sign(rows_NxC) * np.log1p(np.abs(rows_NxC) * _FINE)


def _fit_one(x_NxC):
  there = ~np.isnan(x_NxC)
  count_C = np.maximum(there.sum(0), 1)
  center_C = np.where(there, x_NxC, 0).sum(0) / count_C
  centred = np.where(there, x_NxC - center_C, 0)
  scale_C = np.sqrt((centred**2).sum(0) / count_C) + _FLOOR
  _, values_R, axes_RxC = np.linalg.svd(
      centred / scale_C, full_matrices=False)
  variance_R = values_R**2 / len(x_NxC)
  least = max(_SHRINK * variance_R.sum() / len(center_C), 1e-9)
  return center_C, scale_C, axes_RxC, 1 / (variance_R + least), 1 / least


def _measure_one(part, x_NxC):
  center_C, scale_C, axes_RxC, precision_R, rest = part
  x_NxC = np.nan_to_num((x_NxC - center_C) / scale_C)
  along_NxR = x_NxC @ axes_RxC.T
  # Padding has no direction: what lies along it is nothing.
  across_N = np.maximum((x_NxC**2).sum(1) - (along_NxR**2).sum(1), 0)
  return np.sqrt((along_NxR**2 * precision_R).sum(1) + across_N * rest)
