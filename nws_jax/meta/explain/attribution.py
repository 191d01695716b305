"""Which weights a classifier's words rest on: integrated gradients.

What is attributed is the evidence for the truth, as the models of a network's
held-out fold give it when they decide: the pooled log-probability of its class,
in nats, or minus the squared error in units of the variance, whose mean is R²
up to what the baseline explains. Gradients are summed along a straight line
from a baseline (M. Sundararajan et al., ICML 2017, arXiv 1703.01365); the sum
of all attributions is the difference of the evidence.

The line lies in the weights for classifiers that see them, and begins at the
mean of the training networks of the same architecture. For `fast` it lies in
what that classifier sees, the encoded statistics of each part, and begins where
each statistic is at its median over the training networks: a log of a modulus
has a pole where a weight crosses 0, and the encoding is level outside of the
training networks, so that no sum over a line through the weights would come out
right. Statistics do not tell the values of a part apart by place, so what a
part is worth is spread evenly over its places.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta.classifiers import fast
from nws_jax.meta.data import bank, features, places, windows
from nws_jax.meta.training import measure

BINS = 100  # along a vector


class Attribution(NamedTuple):
  """What each of N held-out networks' weights say."""
  rows_N: np.ndarray  # among those read
  folds_N: np.ndarray
  tensors_NxT: np.ndarray  # by part of the `windows.Source`
  bins_NxB: np.ndarray  # by hundredth of the vector
  before_N: np.ndarray  # evidence at the baseline
  after_N: np.ndarray  # of the network

  @property
  def residual_N(self):
    """What is missing for the sum to be the difference; of the steps' size."""
    return self.tensors_NxT.sum(1) - (self.after_N - self.before_N)


def find_obstacle(classifier):
  """Why a classifier's words cannot be attributed; None if they can."""
  about = classifier.attribution
  return about if isinstance(about, str) else None


def describe_line(classifier):
  """(what is changed along the line, where it begins), in words."""
  if isinstance(classifier.inputs, bank.Description):
    return ('statistics of each part of a window, encoded as the classifier '
            'sees them; spread evenly over the places of a part',
            'the median of each over the training networks')
  return ('weights', 'the mean of the training networks of the same '
          'architecture')


def run(models, place, values_FxM, sides, progress=lambda done, of: None,
        steps=None, most=None):
  """The `Attribution` of held-out networks, evenly drawn if they are many.

  Args:
    models: `cross_validation.TrainedModels`.
    place: `places.Place` of all networks.
    values_FxM: labels or values, as each fold has them.
    sides: `splits.Sides` that the models were trained by.
    progress: called with networks done, and of how many.
    steps: points on the line; None: as the table says.
    most: networks at most; likewise.
  """
  about, see = models.classifier.attribution, models.classifier.inputs
  steps, most = steps or about.steps, most or about.networks
  rows_N = np.concatenate([r[:n] for r, n in zip(
      sides.test_FxN, sides.tests_F)])
  folds_N = np.repeat(np.arange(len(sides.tests_F)), sides.tests_F)
  line = (_Features if isinstance(see, bank.Description) else _Weights)(
      models, place, sides)
  there = [n for n, (m, f) in enumerate(zip(rows_N, folds_N))
           if line.has_start(m, f)]
  most = min(len(there), most)
  picked = np.array(there)[np.arange(most) * len(there) // max(most, 1)]
  rows_N, folds_N = rows_N[picked], folds_N[picked]
  found = []
  for n, (m, f) in enumerate(zip(rows_N, folds_N)):
    value = values_FxM[f, m]
    if values_FxM.dtype.kind == 'f':
      value = (value - models.units.center[f]) / models.units.scale[f]
    trained = jax.tree.map(lambda x, f=f: x[f::models.folds], models.trained)
    given, before, after = line.integrate(
        m, f, trained, value if models.outputs == 1 else int(value), steps)
    found.append((*_sum(place, m, given), float(before), float(after)))
    progress(n + 1, most)
  return Attribution(rows_N, folds_N, *map(np.array, zip(*found)))


def integrate(evidence, start, end, steps):
  """Integrated gradients of a function: (attributions, at start, at end).

  By the midpoint rule.
  """
  way, few = end - start, math.gcd(steps, 8)  # at once: memory bounds them

  def slopes(total, n_F):
    found = jax.vmap(lambda n: jax.grad(evidence)(
        start + (n + 0.5) / steps * way))(n_F)
    return total + found.sum(0), None

  total, _ = jax.lax.scan(
      slopes, jnp.zeros_like(end), jnp.arange(steps).reshape(-1, few))
  return way * total / steps, evidence(start), evidence(end)


def measure_evidence(outputs, value):
  """Evidence for a value, from outputs [..., O] of all that decide together."""
  if outputs.shape[-1] > 1:
    return jax.nn.log_softmax(outputs)[..., value].mean()
  return -(outputs.mean() - value)**2


class _Weights:
  """Lines through vectors, for classifiers that see them."""

  def __init__(self, models, place, sides):
    place = place._replace(frame=place.get_frame())
    self._place, self._sides = place, sides
    self._layout_M = np.asarray(place.source.layout_M)
    self._start = functools.lru_cache(1)(self._find_start)
    one = self._take(0, place.source.weights_MxExP[0])
    _, speak = measure.prepare(models, one)

    @functools.partial(jax.jit, static_argnames='steps')
    def run(start_ExP, end_ExP, parts_AxP, layout, low, high, value, trained,
            steps):
      def evidence(vectors_ExP):
        source = windows.Source(vectors_ExP[None], parts_AxP, layout[None])
        return measure_evidence(
            speak((source, low[None], high[None]), trained, 1), value)
      return integrate(evidence, start_ExP, end_ExP, steps)

    self._run = run

  def has_start(self, m, f):
    return len(self._list_alike(f, self._layout_M[m])) > 0

  def integrate(self, m, f, trained, value, steps):
    """(attributions [P], evidence at the baseline, and of network m)."""
    source, region = self._place.source, self._place.region
    given_ExP, before, after = self._run(
        self._start(f, self._layout_M[m]), source.weights_MxExP[m],
        source.parts_AxP, source.layout_M[m], jnp.int32(region.low_M[m]),
        jnp.int32(region.high_M[m]), value, trained, steps=steps)
    return np.asarray(given_ExP, np.float64).sum(0), before, after

  def _find_start(self, f, layout):
    rows = self._list_alike(f, layout)
    return self._place.source.weights_MxExP[rows].mean(0)

  def _list_alike(self, f, layout):
    rows = self._sides.train_FxN[f, :self._sides.trains_F[f]]
    return rows[self._layout_M[rows] == layout]

  def _take(self, m, vectors_ExP):
    source, region = self._place.source, self._place.region
    return self._place._replace(
        source=source._replace(weights_MxExP=vectors_ExP[None],
                               layout_M=source.layout_M[m:m + 1]),
        region=windows.Region(region.low_M[m:m + 1], region.high_M[m:m + 1]))


class _Features:
  """Lines through what `fast` sees: statistics, encoded by its quantiles."""

  def __init__(self, models, place, sides):
    even_MxExSxF = measure.prepare(models, place)[0].even_MxExSxF
    self._place = place
    self._seen_MxSxF = np.asarray(even_MxExSxF).reshape(
        len(even_MxExSxF), -1, even_MxExSxF.shape[-1])
    self._starts_FxF = [_find_median(self._seen_MxSxF[rows[:n]])
                        for rows, n in zip(sides.train_FxN, sides.trains_F)]
    module = models.classifier.training.make_module(models.outputs, None)

    @functools.partial(jax.jit, static_argnames='steps')
    def run(start_SxF, end_SxF, value, trained, steps):
      def encode(seen_SxF):
        return jax.vmap(lambda knots: jnp.where(  # nothing there, no way
            jnp.tile(jnp.isnan(end_SxF), (1, len(knots) - 1)), 0,
            fast.encode(seen_SxF, knots)))(trained['encoder']['knots'])

      def evidence(encoded_GxSxF):
        return measure_evidence(jax.vmap(lambda variables, x: module.apply(
            variables, x, train=False, encoded=True))(trained, encoded_GxSxF),
                                value)

      given, before, after = integrate(
          evidence, encode(start_SxF), encode(end_SxF), steps)
      bins = given.shape[-1] // end_SxF.shape[-1]
      return (given.reshape(len(given), len(end_SxF), bins, -1).sum((0, 2)),
              before, after)

    self._run = run

  def has_start(self, m, f):
    return True

  def integrate(self, m, f, trained, value, steps):
    """(attributions [P], evidence at the baseline, and of network m)."""
    end_SxF = self._seen_MxSxF[m]
    start_SxF = np.broadcast_to(self._starts_FxF[f][None], end_SxF.shape)
    given_SxF, before, after = self._run(
        start_SxF, end_SxF, value, trained, steps=steps)
    snapshots = self._place.source.weights_MxExP.shape[1]
    given_ExSxF = np.asarray(given_SxF, np.float64).reshape(
        snapshots, -1, given_SxF.shape[-1])
    return self._spread(m, given_ExSxF.sum(0)), before, after

  def _spread(self, m, given_SxF):
    """Attributions of parts -> of places, evenly over each part: [P]."""
    place, spec = self._place, self._place.spec
    source, region = place.source, place.region
    part_P = np.asarray(source.parts_AxP)[int(source.layout_M[m])]
    frame = place.get_frame()
    starts_S = np.asarray(windows.space_starts(
        region.low_M[m], region.high_M[m], spec.length, len(given_SxF)))
    result_P = np.zeros(len(part_P))
    for given_F, start in zip(given_SxF, starts_S):
      if spec.layout:
        part_L = frame.number_P[part_P[start:start + spec.length]]
        parts = frame.parts
      else:
        parts = min(places.STRETCHES, spec.length)
        part_L = np.arange(spec.length) * parts // spec.length
      whole = given_F[:parts * features.PER_PART].reshape(parts, -1).sum(1)
      count = np.bincount(part_L, minlength=parts)
      result_P[start:start + spec.length] += (
          whole / np.maximum(count, 1))[part_L]
    return result_P


def _find_median(seen_NxSxF):
  """The median of every feature, NaN where none of them has it."""
  rows = seen_NxSxF.reshape(-1, seen_NxSxF.shape[-1])
  seen = ~np.isnan(rows).all(0)
  result = np.full(rows.shape[-1], np.nan, np.float32)
  result[seen] = np.nanmedian(rows[:, seen], axis=0)
  return result


def _sum(place, m, given_P):
  """(by part of the source [T], by hundredth of the network's vector [B])."""
  parts_AxP, high = np.asarray(place.source.parts_AxP), place.region.high_M[m]
  part_P = parts_AxP[int(place.source.layout_M[m]), :high]
  bin_P = np.arange(high) * BINS // high
  return (np.bincount(part_P, given_P[:high], minlength=parts_AxP.max() + 1),
          np.bincount(bin_P, given_P[:high], minlength=BINS))
