"""Whether a classifier's probabilities are what they say.

One temperature divides the logits: the one that the validation networks find
likeliest (C. Guo et al., ICML 2017, arXiv 1706.04599). There are few of them,
and where all are read rightly no temperature would be low enough, so each
counts as every other class once in n + K times (J. Platt's targets, 1999).
"""

import numpy as np

from nws_jax.meta.figures import stats

_BINS = 10  # of equal width
_DRAWS = 500  # of what the networks might have been
_RANGE = (0.05, 20.0)  # temperatures that are tried


def soften(pooled_TxK, temperature=1.0):
  """Probabilities of pooled log-probabilities: [T, K]."""
  from scipy import special  # slow to import
  return special.softmax(pooled_TxK / temperature, 1)


def fit_temperature(pooled_TxK, labels_T):
  """The likeliest temperature for these networks."""
  from scipy import optimize  # slow to import
  networks, classes = pooled_TxK.shape
  wanted_TxK = np.full((networks, classes), 1 / (networks + classes))
  wanted_TxK[np.arange(networks), labels_T] += networks / (networks + classes)

  def lose(log_t):
    shares_TxK = soften(pooled_TxK, np.exp(log_t))
    return -np.mean(np.sum(wanted_TxK * np.log(shares_TxK + 1e-300), 1))

  found = optimize.minimize_scalar(
      lose, bounds=np.log(_RANGE), method='bounded')
  return float(np.exp(found.x))


def describe(shares_TxK, labels_T):
  """{error, if_true, loss, curve}: the expected calibration error.

  Of few networks it is not 0 even where all probabilities are true: `if_true`
  are the median and the 95 % point of the errors then, of drawn networks.
  The loss is the mean of minus the logarithm of the true class's probability.
  The curve has a row for each bin of the largest probability that holds
  networks: its bounds, how many, their mean probability, and their accuracy
  with its interval.
  """
  sure_T = shares_TxK.max(1)
  right_T = shares_TxK.argmax(1) == labels_T
  bin_T = np.minimum((sure_T * _BINS).astype(int), _BINS - 1)
  curve = [{'low': n / _BINS, 'high': (n + 1) / _BINS,
            'networks': int(np.sum(bin_T == n)),
            'probability': float(sure_T[bin_T == n].mean()),
            'accuracy': float(right_T[bin_T == n].mean()),
            'interval': stats.wilson(
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
