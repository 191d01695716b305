"""The predictions of a saved classifier, by models that were not trained on the
network where there are such."""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from nws_jax import errors
from nws_jax.meta.data import descriptions, reading, regions, windows
from nws_jax.meta.figures import calibration
from nws_jax.meta.identify import membership, novelty
from nws_jax.meta.training import cross_validation, measure

if TYPE_CHECKING:
  from nws_jax.meta.identify import saved

_LARGEST = 700.0  # whose exponential a float can hold


class Answer(NamedTuple):
  """What one classifier predicts of one network."""
  shares_K: np.ndarray | None  # probabilities of the classes, if there are any
  value: float  # of a regressed target, in the unit of members.csv
  low: float  # 95 % interval, from the errors on validation networks
  high: float
  distance: float  # see `novelty.measure`
  standing: membership.Standing  # of the network to the classifier


def answer(classifier: 'saved.Classifier', vectors_NxP: np.ndarray,
           architecture: str,
           origin: membership.Origin | None = None) -> list[Answer]:
  """The predictions of a classifier for networks of one architecture.

  Args:
    classifier: a saved one.
    vectors_NxP: float32, finite.
    architecture: one of those that it knows.
    origin: of the only network, if it is named as one of a zoo. Classifiers of
      older versions recognise the networks that they were trained on only so.

  Raises:
    errors.Wrong: the classifier does not know the architecture, or the vectors
      are not of it, or not finite.
  """
  vectors_NxP = _check_vectors(classifier.layers, vectors_NxP, architecture)
  place = _make_place(classifier, vectors_NxP, architecture)
  rows_NxC = describe(place)
  outputs_FxNxSxO = _predict(classifier.models, place)
  return [
      _answer_one(classifier, rows_NxC[n], outputs_FxNxSxO[:, n].mean(1),
                  classifier.members.find(vector_P, origin))
      for n, vector_P in enumerate(vectors_NxP)]


def _check_vectors(layers: pd.DataFrame, vectors: np.ndarray,
                   architecture: str) -> np.ndarray:
  """`vectors` as float32 [N, P]."""
  lengths = layers.groupby('architecture')['stop'].max()
  if architecture not in lengths:
    raise errors.Wrong(f'architecture={architecture!r} is not possible; this '
                       f'classifier knows {", ".join(lengths.index)}.')
  x, length = np.asarray(vectors), int(lengths[architecture])
  if x.dtype.kind != 'f' or x.ndim != 2 or x.shape[1] != length or (
      not np.isfinite(x).all()):
    raise errors.Wrong(
        f'vectors are {x.dtype} {list(x.shape)}; networks of {architecture} '
        f'are float32 [N, {length}], all of it finite.')
  return x.astype(np.float32, copy=False)


def _answer_one(classifier: 'saved.Classifier', row_C: np.ndarray,
                outputs_FxO: np.ndarray,
                standing: membership.Standing) -> Answer:
  """The `Answer` for one network.

  Args:
    classifier: a saved one.
    row_C: statistics of the network.
    outputs_FxO: of each fold's models.
    standing: whether models were trained on the network.
  """
  record, models = classifier.record, classifier.models
  folds = (list(range(models.folds)) if standing.held_out_by is None
           else [standing.held_out_by])
  distance = float(novelty.measure(
      classifier.reference, row_C[None], standing.fold)[0])
  if record['classes']:
    shares_K = np.mean([
        calibration.soften(outputs_FxO[f][None], record['temperatures'][f])[0]
        for f in folds], 0)
    return Answer(shares_K, np.nan, np.nan, np.nan, distance, standing)
  predicted, reach = np.mean(outputs_FxO[folds, 0]), record['reach']
  value, low, high = (
      float(np.exp(np.clip(x, -_LARGEST, _LARGEST)))
      if record['logarithm'] else float(x)
      for x in (predicted, predicted - reach, predicted + reach))
  return Answer(None, value, low, high, distance, standing)


def describe(place: regions.Place) -> np.ndarray:
  """Statistics of each snapshot, averaged over its windows: [M * E, C]."""
  even = np.asarray(descriptions.fill(
      place._replace(spec=place.spec._replace(drawn=1)),
      descriptions.STATISTICS, jax.random.key(0)).even_MxExSxF, np.float64)
  there = ~np.isnan(even)
  sums = np.where(there, even, 0).sum(2)
  rows = np.where(there.any(2), sums / np.maximum(there.sum(2), 1), np.nan)
  return rows.reshape(-1, rows.shape[-1])


def _make_place(classifier: 'saved.Classifier', vectors_NxP: np.ndarray,
                architecture: str) -> regions.Place:
  """The place of any networks, in the frame of the training networks."""
  networks, length = vectors_NxP.shape
  names = classifier.record['architectures']
  parts_AxP, _, _ = reading.read_layout(
      classifier.layers, pd.DataFrame({'architecture': names}))
  source = windows.Source(
      jnp.asarray(vectors_NxP)[:, None], jnp.asarray(parts_AxP),
      jnp.full(networks, names.index(architecture), jnp.int32))
  region = regions.Region(np.zeros(networks, np.int32),
                          np.full(networks, length, np.int32))
  spec = classifier.models.spec
  frame = regions.find_frame(parts_AxP, [
      (0, tensors[-1].stop, a) for a, tensors in enumerate(spec.tensors)])
  return regions.Place(source, region, spec, frame=frame)


def _predict(models: cross_validation.TrainedModels,
             place: regions.Place) -> np.ndarray:
  """[folds, N, S, O]: log-probabilities, or values of the target."""
  outputs = cross_validation.average(
      measure.predict(models, place), models.units, models.members,
      models.outputs)
  return outputs.reshape(outputs.shape[:2] + (-1, outputs.shape[-1]))
