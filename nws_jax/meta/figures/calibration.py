"""Calibration of a classifier's probabilities by one temperature.

The temperature divides the logits; it is the one with the greatest likelihood
of the validation networks (C. Guo et al., ICML 2017, arXiv 1706.04599). These
are few, and where all predictions are correct the likelihood grows without end
as the temperature falls, so the labels are smoothed: of n networks and K
classes, each class has at least the probability 1 / (n + K) (J. Platt, 1999).
"""

from typing import TypedDict

import numpy as np

from nws_jax.meta.figures import intervals

_BINS = 10  # of equal width
_DRAWS = 500  # of correct and wrong predictions, were all probabilities true
_RANGE = (0.05, 20.0)  # bounds of the temperature


class Calibration(TypedDict):
  """See `describe`."""
  error: float
  curve: list[dict[str, float | tuple[float, float]]]
  if_true: list[float]
  loss: float


def soften(pooled_TxK: np.ndarray,
           temperature: float | np.ndarray = 1.0) -> np.ndarray:
  """Probabilities of pooled log-probabilities: [T, K]."""
  from scipy import special  # slow to import
  return special.softmax(pooled_TxK / temperature, 1)


def fit_temperature(pooled_TxK: np.ndarray, labels_T: np.ndarray) -> float:
  """The temperature with the greatest likelihood of these networks."""
  from scipy import optimize  # slow to import
  networks, classes = pooled_TxK.shape
  smoothed_TxK = np.full((networks, classes), 1 / (networks + classes))
  smoothed_TxK[np.arange(networks), labels_T] += networks / (networks + classes)

  def lose(log_t: float) -> float:
    shares_TxK = soften(pooled_TxK, np.exp(log_t))
    return float(-np.mean(
        np.sum(smoothed_TxK * np.log(shares_TxK + 1e-300), 1)))

  found = optimize.minimize_scalar(
      lose, bounds=np.log(_RANGE), method='bounded')
  return float(np.exp(found.x))


def describe(shares_TxK: np.ndarray, labels_T: np.ndarray) -> Calibration:
  """The expected calibration error of probabilities, and more.

  Of few networks the error is not 0 even where all probabilities are true:
  `if_true` are the median and the 95th percentile of the error then, of
  networks drawn by their probabilities. The loss is the mean negative
  logarithm of the true class's probability. The curve has a row for each bin
  of the largest probability that holds networks: its bounds, their number,
  their mean probability, and their accuracy with its interval.
  """
  sure_T = shares_TxK.max(1)
  right_T = shares_TxK.argmax(1) == labels_T
  bin_T = np.minimum((sure_T * _BINS).astype(int), _BINS - 1)
  curve = [{'low': n / _BINS, 'high': (n + 1) / _BINS,
            'networks': int(np.sum(bin_T == n)),
            'probability': float(sure_T[bin_T == n].mean()),
            'accuracy': float(right_T[bin_T == n].mean()),
            'interval': intervals.wilson(
                right_T[bin_T == n].mean(), int(np.sum(bin_T == n)))}
           for n in np.unique(bin_T).tolist()]
  drawn_DxT = np.random.default_rng(0).random((_DRAWS, len(sure_T))) < sure_T
  error, *drawn = np.abs(
      (np.vstack([right_T, drawn_DxT]) - sure_T)
      @ np.eye(_BINS)[bin_T]).sum(1) / len(labels_T)
  shares_T = shares_TxK[np.arange(len(labels_T)), labels_T]
  return {'error': float(error), 'curve': curve,
          'if_true': np.quantile(drawn, (0.5, 0.95)).tolist(),
          'loss': float(-np.log(np.maximum(shares_T, 1e-12)).mean())}
