"""What a saved classifier says of networks: by models that did not see them,
where there are such."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import errors
from nws_jax.meta.data import bank, places, reading, windows
from nws_jax.meta.figures import calibration
from nws_jax.meta.identify import membership, novelty
from nws_jax.meta.training import cross_validation, measure


class Answer(NamedTuple):
  """What one classifier says of one network."""
  shares_K: Any  # probabilities of the classes; None of a regressed target
  value: float  # of a regressed target, in the unit of members.csv
  low: float  # 95 %, from the errors on validation networks
  high: float
  distance: float  # see `novelty.measure`
  standing: membership.Standing  # of the network to the classifier


def answer(classifier, vectors_NxP, architecture, origin=None):
  """What a classifier says of networks of one architecture: `Answer`s.

  Args:
    classifier: `saved.Classifier`.
    vectors_NxP: float32, finite.
    architecture: one of those that it knows.
    origin: `membership.Origin` of the only network, if it was named as one of a
      zoo: by that alone older classifiers know whom they were trained on.

  Raises:
    errors.Wrong: the classifier knows no such architecture, or the vectors are
      not of it, or not finite.
  """
  vectors_NxP = _check_vectors(classifier.layers, vectors_NxP, architecture)
  place = _place(classifier, vectors_NxP, architecture)
  rows_NxC, said_FxNxSxO = describe(place), _speak(classifier.models, place)
  return [
      _answer_one(classifier, rows_NxC[n], said_FxNxSxO[:, n].mean(1),
                  classifier.members.find(vector_P, origin))
      for n, vector_P in enumerate(vectors_NxP)]


def _check_vectors(layers, vectors, architecture):
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


def _answer_one(classifier, row_C, said_FxO, standing):
  """The `Answer` about a network of this `membership.Standing`."""
  record, models = classifier.record, classifier.models
  folds = (list(range(models.folds)) if standing.held_out_by is None
           else [standing.held_out_by])
  strange, = novelty.measure(classifier.reference, row_C[None], standing.fold)
  if record['classes']:
    shares_K = np.mean([
        calibration.soften(said_FxO[f][None], record['temperatures'][f])[0]
        for f in folds], 0)
    return Answer(shares_K, np.nan, np.nan, np.nan, float(strange), standing)
  value = np.mean(said_FxO[folds, 0])
  natural = _exp if record['logarithm'] else float
  return Answer(None, *(natural(value + r) for r in (
      0, -record['reach'], record['reach'])), float(strange), standing)


def describe(place):
  """Statistics of whole networks, the mean of their windows': [M * E, C]."""
  even = np.asarray(bank.fill(
      place._replace(spec=place.spec._replace(drawn=1)), bank.STATISTICS,
      jax.random.key(0)).even_MxExSxF, np.float64)
  there = ~np.isnan(even)
  sums = np.where(there, even, 0).sum(2)
  rows = np.where(there.any(2), sums / np.maximum(there.sum(2), 1), np.nan)
  return rows.reshape(-1, rows.shape[-1])


def _exp(value):
  return float(np.exp(np.clip(value, -700, 700)))  # what a float can hold


def _place(classifier, vectors_NxP, architecture):
  """The `places.Place` of strangers, in the frame of the training."""
  import pandas as pd
  networks, length = vectors_NxP.shape
  names = classifier.record['architectures']
  parts_AxP, _, _ = reading.read_layout(
      classifier.layers, pd.DataFrame({'architecture': names}))
  source = windows.Source(
      jnp.asarray(vectors_NxP)[:, None], jnp.asarray(parts_AxP),
      jnp.full(networks, names.index(architecture), jnp.int32))
  region = windows.Region(np.zeros(networks, np.int32),
                          np.full(networks, length, np.int32))
  spec = classifier.models.spec
  frame = places.find_frame(parts_AxP, [
      (0, tensors[-1].stop, a) for a, tensors in enumerate(spec.tensors)])
  return places.Place(source, region, spec, frame=frame)


def _speak(models, place):
  """[folds, N, S, O]: log-probabilities, or values of the target."""
  said = cross_validation.average(
      measure.predict(models, place), models.units, models.members,
      models.outputs)
  return said.reshape(said.shape[:2] + (-1, said.shape[-1]))
