"""Trained classifiers on disk, and what they need to answer for a stranger.

model/recipe.json   what was read, from whom, by what; how sure it may be
model/variables/    Orbax: the variables of a Flax model, stacked by model
model/estimator-0.skops ...   what scikit-learn fitted, one a fold
model/unlike.npz    the statistics of the networks read (`unlike`)
"""

import dataclasses
import glob
import os
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import errors
from nws_jax.meta import answer as answers
from nws_jax.meta import (
  baselines,
  calibration,
  fitted,
  layouts,
  measure,
  orbax_folders,
  reading,
  score,
  settings,
  unlike,
  views,
  windows,
)
from nws_jax.meta import request as requests
from nws_jax.store import tables

FORMAT = 1
_LOOKS = ('length', 'even', 'drawn', 'layout')


@dataclasses.dataclass(frozen=True)
class Classifier:
  """A saved classifier: its record, its `measure.Models`, its `Reference`."""
  folder: str
  record: dict
  models: measure.Models
  reference: unlike.Reference
  layers: Any  # DataFrame of the architectures it knows

  @property
  def known(self):
    """{architecture: its `layouts.Tensor`s}."""
    names = self.record['architectures']
    return dict(zip(names, layouts.read(self.layers, names)))


class Answer(NamedTuple):
  """What one classifier says of one network."""
  shares_K: Any  # probabilities of the classes; None of a regressed target
  value: float  # of a regressed target, in the unit of members.csv
  low: float  # 95 %, from the errors on validation networks
  high: float
  strangeness: float  # distance, in units of the threshold


def can(request):
  """Whether a request's models can answer for one whole network."""
  return request.pairs_Mx2 is None and not request.settings.exclude


def write(folder, request, source, outcome):
  """Writes everything into `folder`/model; the record last.

  Args:
    folder: of the result.
    request: `request.Request`.
    source: its `windows.Source`.
    outcome: the `measure.Outcome` that answered it, with its models.
  """
  path, models = os.path.join(folder, 'model'), outcome.models
  shutil.rmtree(path, ignore_errors=True)
  os.makedirs(path)
  record = _describe(request, outcome)
  if models.name in settings.FITTED:
    record['fitted'] = [
        {'shares': f.shares_O.tolist(), 'scale': float(f.scale),
         'file': f'estimator-{n}.skops' if f.estimator else None}
        for n, f in enumerate(models.trained)]
    for entry, f in zip(record['fitted'], models.trained):
      if entry['file']:
        baselines.write(os.path.join(path, entry['file']), f)
  else:
    record['variables'] = {
        name: [list(x.shape), str(x.dtype)] for name, x
        in orbax_folders.flatten(models.trained).items()}
    orbax_folders.write(os.path.join(path, 'variables'), models.trained)
  place = requests.make_place(request, source)
  reference = unlike.fit(
      describe(place), np.repeat(request.rows['fold'].to_numpy(),
                                 source.weights_MxExP.shape[1]))
  unlike.write(os.path.join(path, 'unlike.npz'), reference)
  tables.write_json(os.path.join(path, 'recipe.json'), record)


def describe(place):
  """Statistics of whole networks, the mean of their windows': [M * E, C]."""
  even = np.asarray(views.fill(
      place._replace(looks=place.looks._replace(drawn=1)), settings.LOGISTIC,
      jax.random.key(0)).even_MxExSxF, np.float64)
  there = ~np.isnan(even)
  sums = np.where(there, even, 0).sum(2)
  rows = np.where(there.any(2), sums / np.maximum(there.sum(2), 1), np.nan)
  return rows.reshape(-1, rows.shape[-1])


def find(folder):
  """The folders of all saved classifiers under `folder`, by target.

  Raises:
    errors.Wrong: there are none.
  """
  found = {}
  for path in sorted(glob.glob(os.path.join(
      glob.escape(folder), '*', '*', 'model', 'recipe.json'))):
    record = tables.read_json(path)
    found.setdefault(record.get('target'), []).append(
        (record.get('valid_loss', np.inf), os.path.dirname(path)))
  if not found:
    raise errors.Wrong(
        f'--meta={folder} has no saved classifier. Train one for each property '
        'that is to be told: python -m nws_jax.meta --target=optimizer '
        f'--workdir={folder}')
  # By the validation networks: the test networks choose nothing.
  return {target: min(some)[1] for target, some in found.items()}


def read(path):
  """The `Classifier` in a folder.

  Raises:
    errors.Damaged: something in it is not what was written.
  """
  import pandas as pd
  record = tables.read_json(os.path.join(path, 'recipe.json'))
  try:
    if record['format'] != FORMAT:
      raise ValueError(f'its format is {record["format"]}, not {FORMAT}')
    layers = pd.DataFrame(record['layers'])
    looks = views.Looks(
        *(record['looks'][name] for name in _LOOKS),
        layouts.read(layers, record['architectures']))
    trained = _read_trained(path, record)
    models = measure.Models(
        record['classifier'], looks, len(record['classes']) or 1,
        record['folds'], record['members'], trained,
        np.array(record['centers']), np.array(record['scales']))
    reference = unlike.read(os.path.join(path, 'unlike.npz'))
  except (KeyError, TypeError, ValueError, OSError) as e:
    raise errors.Damaged(f'{path} is damaged: {e}. Delete it and train again: '
                         'python -m nws_jax.meta --force …') from e
  return Classifier(path, record, models, reference, layers)


def answer(classifier, vectors_NxP, architecture, id=None):
  """What a classifier says of networks of one architecture: `Answer`s.

  Args:
    classifier: `Classifier`.
    vectors_NxP: float32, finite.
    architecture: one of those that it knows.
    id: of the network in the zoo that was read, if it is of it. Then only
      models that did not see it are asked.

  Raises:
    errors.Wrong: no model has not seen it.
  """
  record, models = classifier.record, classifier.models
  place = _place(classifier, vectors_NxP, architecture)
  folds, held = list(range(models.folds)), None
  if id is not None and str(id) in record['sides']:
    held, fold = record['sides'][str(id)]
    if fold is None:
      raise errors.Wrong(
          f'{classifier.folder} was trained on network {id}: what it says of '
          'it would prove nothing. Name one of the test side.')
    folds = [fold]
  strange_N = unlike.measure(classifier.reference, describe(place), held)
  said_FxNxSxO = _speak(models, place)[folds]
  pooled_FxNxO = said_FxNxSxO.mean(2)
  if record['classes']:
    shares_NxK = np.mean([
        calibration.soften(pooled, record['temperatures'][f])
        for f, pooled in zip(folds, pooled_FxNxO)], 0)
    return [Answer(shares, np.nan, np.nan, np.nan, float(d))
            for shares, d in zip(shares_NxK, strange_N)]
  said_FxNx1 = pooled_FxNxO * models.scales[folds, None, None] + (
      models.centers[folds, None, None])
  natural = _exp if record['logarithm'] else float
  return [Answer(None, *(natural(value + r) for r in (
      0, -record['reach'], record['reach'])), float(d))
          for value, d in zip(said_FxNx1.mean(0)[:, 0], strange_N)]


def _exp(value):
  return float(np.exp(np.clip(value, -700, 700)))  # what a float can hold


def _place(classifier, vectors_NxP, architecture):
  """The `views.Place` of strangers, in the frame of the training."""
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
  looks = classifier.models.looks
  frame = views.find_frame(parts_AxP, [
      (0, tensors[-1].stop, a) for a, tensors in enumerate(looks.tensors)])
  return views.Place(source, region, looks, frame=frame)


def _speak(models, place):
  """[folds, N, S, O]: log-probabilities, or standardised values."""
  if models.name in settings.FITTED:
    bank = views.fill(place, models.name, jax.random.key(0))
    said = np.stack([fitted.say(f, bank.even_MxExSxF) for f in models.trained])
  else:
    said = measure.predict(models, place)
  if models.outputs > 1:
    said = np.asarray(jax.nn.log_softmax(said))
  said = said.reshape((models.members, models.folds) + said.shape[1:]).mean(0)
  return said.reshape(said.shape[:2] + (-1, said.shape[-1]))


def _read_trained(path, record):
  if record['classifier'] in settings.FITTED:
    outputs = len(record['classes']) or 1
    return [baselines.Fitted(
        record['classifier'], outputs,
        baselines.read(os.path.join(path, os.path.basename(entry['file'])))
        if entry['file'] else None,
        np.array(entry['shares']), entry['scale'])
        for entry in record['fitted']]
  return orbax_folders.read(os.path.join(path, 'variables'), {
      name: (tuple(shape), np.dtype(dtype))
      for name, (shape, dtype) in record['variables'].items()})


def _describe(request, outcome):
  """recipe.json but for what is told of the files beside it."""
  target, models = request.target, outcome.models
  architectures = list(dict.fromkeys(request.rows['architecture']))
  layers = request.zoo.layers
  layers = layers[layers['architecture'].isin(architectures)]
  test, valid = outcome.tested[0], outcome.valid
  sides = {id: [int(fold), None] for id, fold in zip(
      request.networks['id'].astype(str), request.networks['fold'])}
  for row, fold in zip(test.rows_T, test.folds_T):
    sides[str(request.members['id'].iloc[row])][1] = int(fold)
  return {
      'format': FORMAT, 'target': target.name, 'classes': list(target.classes),
      'classifier': models.name, 'folds': models.folds,
      'members': models.members, 'logarithm': target.name == 'learning_rate',
      'looks': {name: getattr(models.looks, name) for name in _LOOKS},
      'centers': models.centers.tolist(), 'scales': models.scales.tolist(),
      'architectures': architectures,
      'layers': layers[['architecture', 'layer', 'tensor', 'start', 'stop',
                        'shape']].to_dict('records'),
      'epochs': sorted({e for some in request.epochs.values() for e in some}),
      'zoo': {'path': request.zoo.path, 'digest': request.zoo.digest},
      # Of every network its fold, and that of the models it was held out of.
      'sides': sides} | (
          _calibrate(test, valid, models.folds) if target.classes
          else _find_reach(test, valid))


def _calibrate(test, valid, folds):
  """A temperature a fold, from its validation networks; what it is worth."""
  found = answers.fit_temperatures(test, valid)
  temperatures_F = np.array([found[f] for f in range(folds)])
  soft, tested = (
      calibration.soften(score.pool(d), temperatures_F[d.folds_T][:, None])
      for d in (valid, test))
  return {
      'temperatures': temperatures_F.tolist(),
      'valid_loss': calibration.describe(soft, valid.true_T)['loss'],
      'accuracy': float(np.mean(tested.argmax(1) == test.true_T)),
      'calibration_error': calibration.describe(tested, test.true_T)['error']}


def _find_reach(test, valid):
  """Half the width that holds 95 % of the validation networks' errors."""
  off_V = np.abs(score.pool(valid)[:, 0] - valid.true_T)
  off_T = np.abs(score.pool(test)[:, 0] - test.true_T)
  reach = float(np.quantile(off_V, 0.95))
  return {'temperatures': [], 'reach': reach,
          'valid_loss': float(np.mean(off_V**2) / max(
              np.var(valid.true_T), 1e-30)),
          'r2': 1 - float(np.mean(off_T**2) / max(np.var(test.true_T), 1e-30)),
          'coverage': float(np.mean(off_T <= reach))}
