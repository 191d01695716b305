"""Whether probabilities are what they say, and one number that makes them so.

NumPy only. A temperature divides log-probabilities (Guo et al., arXiv
1706.04599); it changes no decision.
"""

import numpy as np

LEAST, MOST = 0.05, 20.0  # of a temperature
BINS = 10


def log_softmax(scores_NxK):
  centred = scores_NxK - scores_NxK.max(-1, keepdims=True)
  return centred - np.log(np.exp(centred).sum(-1, keepdims=True))


def fit_temperature(scores_NxK, labels_N):
  """The temperature of least cross-entropy; the loss is convex in 1 / it."""
  if not len(labels_N):
    return 1.0

  def loss(log_temperature):
    said = log_softmax(scores_NxK / np.exp(log_temperature))
    return -said[np.arange(len(labels_N)), labels_N].mean()

  low, high = np.log(LEAST), np.log(MOST)
  shrink = (np.sqrt(5) - 1) / 2
  a, b = high - shrink * (high - low), low + shrink * (high - low)
  loss_a, loss_b = loss(a), loss(b)
  while high - low > 1e-4:  # golden section: unimodal in the logarithm too
    if loss_a < loss_b:
      high, b, loss_b = b, a, loss_a
      a = high - shrink * (high - low)
      loss_a = loss(a)
    else:
      low, a, loss_a = a, b, loss_b
      b = low + shrink * (high - low)
      loss_b = loss(b)
  return float(np.exp((low + high) / 2))


def expected_error(shares_NxK, labels_N, bins=BINS):
  """Expected calibration error of the likeliest class, equally wide bins."""
  sure_N = shares_NxK.max(-1)
  right_N = shares_NxK.argmax(-1) == labels_N
  bin_N = np.minimum((sure_N * bins).astype(int), bins - 1)
  gaps = np.bincount(bin_N, weights=right_N - sure_N, minlength=bins)
  return float(np.abs(gaps).sum() / len(labels_N))
