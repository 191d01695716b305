"""Integrated gradients along lines from a baseline to one network.

A line lies in the weights, or in the descriptions of windows; see
`attribution` for why.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta.classifiers import fast, interface
from nws_jax.meta.data import features, regions, splits, windows
from nws_jax.meta.training import cross_validation, measure


class Path(NamedTuple):
  """Attributions along the line to one network."""
  given_P: np.ndarray  # of each place of the vector
  before: float  # evidence at the baseline
  after: float  # of the network


def integrate(
    evidence: Callable[[jax.Array], jax.Array], start: jax.Array,
    end: jax.Array, steps: int) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Integrated gradients of a function: (attributions, at start, at end).

  By the midpoint rule.
  """
  difference = end - start
  batch = math.gcd(steps, 8)  # points at once, for the memory of gradients

  def add(total: jax.Array, n_B: jax.Array) -> tuple[jax.Array, None]:
    found = jax.vmap(lambda n: jax.grad(evidence)(
        start + (n + 0.5) / steps * difference))(n_B)
    return total + found.sum(0), None

  total, _ = jax.lax.scan(
      add, jnp.zeros_like(end), jnp.arange(steps).reshape(-1, batch))
  return difference * total / steps, evidence(start), evidence(end)


def measure_evidence(outputs: jax.Array, value: Any) -> jax.Array:
  """Evidence for a true value, from all outputs [..., O] of a network."""
  if outputs.shape[-1] > 1:
    return jax.nn.log_softmax(outputs)[..., value].mean()
  return -(outputs.mean() - value)**2


class _Network(NamedTuple):
  """What a program has to know of one network beside its weights."""
  parts_AxP: jax.Array
  layout: jax.Array
  low: jax.Array
  high: jax.Array


class Weights:
  """Lines through vectors, for classifiers that see them."""

  def __init__(self, models: cross_validation.TrainedModels,
               place: regions.Place, sides: splits.Sides) -> None:
    place = place._replace(frame=place.get_frame())
    self._place, self._sides = place, sides
    self._layout_M = np.asarray(place.source.layout_M)
    self._start = functools.lru_cache(1)(self._find_start)
    one = self._take(0, place.source.weights_MxExP[0])
    _, predict = measure.prepare(models, one)

    @functools.partial(jax.jit, static_argnames='steps')
    def run(start_ExP: jax.Array, end_ExP: jax.Array, network: _Network,
            value: jax.Array, trained: Any,
            steps: int) -> tuple[jax.Array, jax.Array, jax.Array]:
      def evidence(vectors_ExP: jax.Array) -> jax.Array:
        source = windows.Source(
            vectors_ExP[None], network.parts_AxP, network.layout[None])
        outputs = predict(
            (source, network.low[None], network.high[None]), trained, 1)
        return measure_evidence(outputs, value)
      return integrate(evidence, start_ExP, end_ExP, steps)

    self._run = run

  def has_start(self, m: np.integer, f: np.integer) -> bool:
    """Whether a fold's training networks give a baseline for network m."""
    return len(self._list_alike(f, self._layout_M[m])) > 0

  def integrate(self, m: np.integer, f: np.integer, trained: Any, value: Any,
                steps: int) -> Path:
    """The `Path` of network m, for the models of fold f."""
    source, region = self._place.source, self._place.region
    network = _Network(
        source.parts_AxP, source.layout_M[m], jnp.int32(region.low_M[m]),
        jnp.int32(region.high_M[m]))
    given_ExP, before, after = self._run(
        self._start(f, self._layout_M[m]), source.weights_MxExP[m], network,
        value, trained, steps=steps)
    return Path(np.asarray(given_ExP, np.float64).sum(0), float(before),
                float(after))

  def _find_start(self, f: np.integer, layout: np.integer) -> jax.Array:
    rows = self._list_alike(f, layout)
    return self._place.source.weights_MxExP[rows].mean(0)

  def _list_alike(self, f: np.integer, layout: np.integer) -> np.ndarray:
    rows = self._sides.train_FxN[f, :self._sides.trains_F[f]]
    return rows[self._layout_M[rows] == layout]

  def _take(self, m: int, vectors_ExP: jax.Array) -> regions.Place:
    source, region = self._place.source, self._place.region
    return self._place._replace(
        source=source._replace(weights_MxExP=vectors_ExP[None],
                               layout_M=source.layout_M[m:m + 1]),
        region=regions.Region(region.low_M[m:m + 1], region.high_M[m:m + 1]))


class Features:
  """Lines through the inputs of `fast`, which are encoded statistics."""

  def __init__(self, models: cross_validation.TrainedModels,
               place: regions.Place, sides: splits.Sides) -> None:
    even_MxExSxF = measure.prepare(models, place)[0].even_MxExSxF
    self._place = place
    self._seen_MxSxF = np.asarray(even_MxExSxF).reshape(
        len(even_MxExSxF), -1, even_MxExSxF.shape[-1])
    self._starts_FxF = [_find_median(self._seen_MxSxF[rows[:n]])
                        for rows, n in zip(sides.train_FxN, sides.trains_F)]
    training = models.classifier.training
    assert isinstance(training, interface.Gradients)
    module = training.make_module(models.outputs, None)

    @functools.partial(jax.jit, static_argnames='steps')
    def run(start_SxF: jax.Array, end_SxF: jax.Array, value: jax.Array,
            trained: Any,
            steps: int) -> tuple[jax.Array, jax.Array, jax.Array]:
      def encode(seen_SxF: jax.Array) -> jax.Array:
        # What the network lacks is 0 at both ends, so nothing is attributed.
        return jax.vmap(lambda knots: jnp.where(
            jnp.tile(jnp.isnan(end_SxF), (1, len(knots) - 1)), 0,
            fast.encode(seen_SxF, knots)))(trained['encoder']['knots'])

      def evidence(encoded_GxSxF: jax.Array) -> jax.Array:
        outputs: Any = jax.vmap(lambda variables, x: module.apply(
            variables, x, train=False, encoded=True))(trained, encoded_GxSxF)
        return measure_evidence(outputs, value)

      given, before, after = integrate(
          evidence, encode(start_SxF), encode(end_SxF), steps)
      bins = given.shape[-1] // end_SxF.shape[-1]
      return (given.reshape(len(given), len(end_SxF), bins, -1).sum((0, 2)),
              before, after)

    self._run = run

  def has_start(self, m: np.integer, f: np.integer) -> bool:
    """Medians are of every network."""
    del m, f
    return True

  def integrate(self, m: np.integer, f: np.integer, trained: Any, value: Any,
                steps: int) -> Path:
    """The `Path` of network m, for the models of fold f."""
    end_SxF = self._seen_MxSxF[m]
    start_SxF = np.broadcast_to(self._starts_FxF[f][None], end_SxF.shape)
    given_SxF, before, after = self._run(
        start_SxF, end_SxF, value, trained, steps=steps)
    snapshots = self._place.source.weights_MxExP.shape[1]
    given_ExSxF = np.asarray(given_SxF, np.float64).reshape(
        snapshots, -1, given_SxF.shape[-1])
    return Path(self._spread(m, given_ExSxF.sum(0)), float(before),
                float(after))

  def _spread(self, m: np.integer, given_SxF: np.ndarray) -> np.ndarray:
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
        parts = min(regions.STRETCHES, spec.length)
        part_L = np.arange(spec.length) * parts // spec.length
      whole = given_F[:parts * features.PER_PART].reshape(parts, -1).sum(1)
      count = np.bincount(part_L, minlength=parts)
      result_P[start:start + spec.length] += (
          whole / np.maximum(count, 1))[part_L]
    return result_P


def _find_median(seen_NxSxF: np.ndarray) -> np.ndarray:
  """The median of every feature, NaN where none of them has it."""
  rows = seen_NxSxF.reshape(-1, seen_NxSxF.shape[-1])
  seen = ~np.isnan(rows).all(0)
  result = np.full(rows.shape[-1], np.nan, np.float32)
  result[seen] = np.nanmedian(rows[:, seen], axis=0)
  return result
