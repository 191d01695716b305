"""Which weights a classifier's predictions depend on: integrated gradients.

The evidence for the true label is attributed, of the models that hold the
network out: the pooled log-probability of its class, in nats, or minus the
squared error in units of the variance, whose mean is R² up to what the baseline
explains. Gradients are summed along a straight line
from a baseline (M. Sundararajan et al., ICML 2017, arXiv 1703.01365); the sum
of all attributions is the difference of the evidence.

The line lies in the weights for classifiers that see them, and begins at the
mean of the training networks of the same architecture. For `fast` it lies in
the inputs of that classifier, the encoded statistics of each part, and begins
at the median of each statistic over the training networks: the logarithm of a
modulus has a pole where a weight crosses 0, and the encoding is constant beyond
the training networks, so that no sum along a line through the weights would
converge. Statistics do not depend on the order of the values in a part, so the
attribution of a part is spread evenly over its places.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from nws_jax.meta.classifiers import interface
from nws_jax.meta.data import descriptions, regions, splits
from nws_jax.meta.explain import integrated_gradients
from nws_jax.meta.training import cross_validation

BINS = 100  # along a vector


class Attribution(NamedTuple):
  """The attributions of N held-out networks."""
  rows_N: np.ndarray  # among those read
  folds_N: np.ndarray
  tensors_NxT: np.ndarray  # by part of the `windows.Source`
  bins_NxB: np.ndarray  # by hundredth of the vector
  before_N: np.ndarray  # evidence at the baseline
  after_N: np.ndarray  # of the network

  @property
  def residual_N(self) -> np.ndarray:
    """The sum less the difference of the evidence: the error of the steps."""
    return self.tensors_NxT.sum(1) - (self.after_N - self.before_N)


def describe_line(classifier: interface.Classifier) -> tuple[str, str]:
  """(what changes along the line, the baseline that it begins at), in words."""
  if isinstance(classifier.inputs, descriptions.Description):
    return ('statistics of each part of a window, encoded as the classifier '
            'sees them; spread evenly over the places of a part',
            'the median of each over the training networks')
  return ('weights', 'the mean of the training networks of the same '
          'architecture')


def run(models: cross_validation.TrainedModels, place: regions.Place,
        values_FxM: np.ndarray, sides: splits.Sides,
        progress: Callable[[int, int], None] = lambda done, of: None,
        steps: int | None = None, most: int | None = None) -> Attribution:
  """The `Attribution` of held-out networks, or of evenly spaced ones of many.

  Args:
    models: of a classifier that can be attributed.
    place: of all networks.
    values_FxM: labels or values, as each fold has them.
    sides: that the models were trained by.
    progress: called with (networks done, networks).
    steps: points on the line; None: as the table of classifiers says.
    most: networks at most; likewise.
  """
  about, inputs = models.classifier.attribution, models.classifier.inputs
  assert isinstance(about, interface.Attribution)
  steps, most = steps or about.steps, most or about.networks
  rows_N = np.concatenate([r[:n] for r, n in zip(
      sides.test_FxN, sides.tests_F)])
  folds_N = np.repeat(np.arange(len(sides.tests_F)), sides.tests_F)
  line: integrated_gradients.Features | integrated_gradients.Weights
  if isinstance(inputs, descriptions.Description):
    line = integrated_gradients.Features(models, place, sides)
  else:
    line = integrated_gradients.Weights(models, place, sides)
  possible = [n for n, (m, f) in enumerate(zip(rows_N, folds_N))
              if line.has_start(m, f)]
  most = min(len(possible), most)
  picked = np.array(possible)[
      np.arange(most) * len(possible) // max(most, 1)]
  rows_N, folds_N = rows_N[picked], folds_N[picked]
  found = []
  for n, (m, f) in enumerate(zip(rows_N, folds_N)):
    value = values_FxM[f, m]
    if values_FxM.dtype.kind == 'f':
      value = (value - models.units.center[f]) / models.units.scale[f]
    trained = jax.tree.map(lambda x, f=f: x[f::models.folds], models.trained)
    path = line.integrate(
        m, f, trained, value if models.outputs == 1 else int(value), steps)
    found.append((*_sum(place, m, path.given_P), path.before, path.after))
    progress(n + 1, most)
  return Attribution(rows_N, folds_N, *map(np.array, zip(*found)))


def _sum(place: regions.Place, m: np.integer,
         given_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(by part of the source [T], by hundredth of the network's vector [B])."""
  parts_AxP, high = np.asarray(place.source.parts_AxP), place.region.high_M[m]
  part_P = parts_AxP[int(place.source.layout_M[m]), :high]
  bin_P = np.arange(high) * BINS // high
  return (np.bincount(part_P, given_P[:high], minlength=parts_AxP.max() + 1),
          np.bincount(bin_P, given_P[:high], minlength=BINS))
