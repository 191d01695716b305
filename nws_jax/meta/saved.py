"""Trained classifiers on disk, and what they need to answer for a stranger.

model/recipe.json   what was read, from whom, by what; how sure it may be
model/variables/    Orbax: the variables of a Flax model, stacked by model
model/estimator-0.skops ...   what scikit-learn fitted, one a fold
model/unlike.npz    the statistics of the networks read (`unlike`)
"""

import dataclasses
import glob
import os
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors
from nws_jax.meta import (
  baselines,
  calibration,
  layouts,
  measure,
  orbax_folders,
  reading,
  score,
  settings,
  stats,
  unlike,
  windows,
)
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


def write(folder, request, source, models):
  """Writes everything into `folder`/model; the record last.

  Args:
    folder: of the result.
    request: `request.Request`.
    source: its `windows.Source`.
    models: `measure.Models` that answered it.
  """
  path = os.path.join(folder, 'model')
  os.makedirs(path, exist_ok=True)
  record = _describe(request, models)
  if models.name in settings.FITTED:
    record['fitted'] = [
        {'shares': fitted.shares_O.tolist(), 'scale': float(fitted.scale),
         'file': fitted.estimator is not None and f'estimator-{f}.skops'}
        for f, fitted in enumerate(models.trained)]
    for entry, fitted in zip(record['fitted'], models.trained):
      if entry['file']:
        baselines.write(os.path.join(path, entry['file']), fitted)
  else:
    leaves = orbax_folders.flatten(models.trained)
    record['variables'] = {name: [list(x.shape), str(x.dtype)]
                           for name, x in leaves.items()}
    orbax_folders.write(os.path.join(path, 'variables'), models.trained)
  lengths_M = request.members['num_weights'].to_numpy().astype(np.int32)
  rows_NxF = measure.describe_networks(
      source, windows.Region(np.zeros_like(lengths_M), lengths_M), models.looks)
  span = request.snapshots
  reference = unlike.fit(
      rows_NxF, np.repeat(request.members['fold'].to_numpy(), span))
  unlike.write(os.path.join(path, 'unlike.npz'), reference)
  tables.write_json(os.path.join(path, 'recipe.json'), record)


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
    looks = measure.Looks(
        *(record['looks'][name] for name in _LOOKS),
        layouts.read(layers, record['architectures']))
    trained = _read_trained(path, record)
    models = measure.Models(
        record['classifier'], looks, len(record['classes']) or 1,
        record['folds'], record['members'], trained,
        np.array(record['centers']), np.array(record['scales']), None)
    reference = unlike.read(os.path.join(path, 'unlike.npz'))
  except (KeyError, TypeError, ValueError, OSError) as e:
    raise errors.Damaged(f'{path} is damaged: {e}. Delete it and train again: '
                         'python -m nws_jax.meta --force …') from e
  return Classifier(path, record, models, reference, layers)


def answer(classifier, vectors_NxP, architecture, fold=None):
  """What a classifier says of networks of one architecture: `Answer`s.

  Args:
    classifier: `Classifier`.
    vectors_NxP: float32, finite.
    architecture: one of those that it knows.
    fold: the only one to ask, if given: that which held the network out.
  """
  import jax.numpy as jnp
  import pandas as pd
  record, models = classifier.record, classifier.models
  networks, length = vectors_NxP.shape
  names = record['architectures']
  parts_AxP, _, _ = reading.read_layout(
      classifier.layers, pd.DataFrame({'architecture': names}))
  place = names.index(architecture)
  source = windows.Source(
      jnp.asarray(vectors_NxP)[:, None], jnp.asarray(parts_AxP),
      jnp.full(networks, place, jnp.int32))
  region = windows.Region(np.zeros(networks, np.int32),
                          np.full(networks, length, np.int32))
  bounds = [(0, tensors[-1].stop, a)
            for a, tensors in enumerate(models.looks.tensors)]
  frame = measure.find_frame(parts_AxP, bounds)
  regressed = not record['classes']
  said_FxNxSxO = measure.speak(models, source, region, frame, regressed)
  rows_NxF = measure.describe_networks(source, region, models.looks, frame)
  strange_N = unlike.measure(classifier.reference, rows_NxF)
  folds = range(record['folds']) if fold is None else [fold]
  temperatures = np.array(record['temperatures'])
  pooled_FxNxO = said_FxNxSxO.mean(2)[list(folds)]
  if not regressed:
    shares = np.exp(calibration.log_softmax(
        pooled_FxNxO / temperatures[list(folds), None, None])).mean(0)
    return [Answer(s, np.nan, np.nan, np.nan, d)
            for s, d in zip(shares, strange_N)]
  value_N = pooled_FxNxO.mean(0)[:, 0]
  reach = record['reach']
  natural = np.exp if record['logarithm'] else np.asarray
  return [Answer(None, *(float(natural(v + r)) for r in (0, -reach, reach)), d)
          for v, d in zip(value_N, strange_N)]


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


def _describe(request, models):
  """recipe.json but for what is told of the files beside it."""
  target, members = request.target, request.members
  architectures = list(dict.fromkeys(members['architecture']))
  layers = request.zoo.layers
  layers = layers[layers['architecture'].isin(architectures)]
  test, valid = models.said
  record = {
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
      # Who was held out of which fold: those, and no others, may be told by it.
      'tested': {str(members['id'].iloc[row]): int(fold)
                 for row, fold in zip(test.rows_T, test.folds_T)},
      'networks': len(members)}
  return record | (_calibrate(target, test, valid, models.folds)
                   if target.classes else _find_reach(target, test, valid))


def _calibrate(target, test, valid, folds):
  """A temperature a fold, from its validation networks; what it is worth."""
  scores, labels = score.pool(valid), target.values_M[valid.rows_T]
  temperatures_F = np.array([
      calibration.fit_temperature(scores[valid.folds_T == f],
                                  labels[valid.folds_T == f])
      for f in range(folds)])
  said = calibration.log_softmax(
      scores / temperatures_F[valid.folds_T][:, None])
  tested = np.exp(calibration.log_softmax(
      score.pool(test) / temperatures_F[test.folds_T][:, None]))
  true_T = target.values_M[test.rows_T]
  return {
      'temperatures': temperatures_F.tolist(),
      'valid_loss': float(-said[np.arange(len(labels)), labels].mean()),
      'accuracy': float(np.mean(tested.argmax(1) == true_T)),
      'calibration_error': calibration.expected_error(tested, true_T)}


def _find_reach(target, test, valid):
  """Half the width that holds 95 % of the validation networks' errors."""
  errors_V = np.abs(score.pool(valid)[:, 0] - target.values_M[valid.rows_T])
  said_T, true_T = score.pool(test)[:, 0], target.values_M[test.rows_T]
  reach = float(np.quantile(errors_V, 0.95))
  spread = max(np.var(target.values_M), 1e-30)
  return {'temperatures': [], 'valid_loss': float(
              np.mean(errors_V**2) / spread),
          'reach': reach, 'r2': stats.r2(said_T, true_T),
          'coverage': float(np.mean(np.abs(said_T - true_T) <= reach))}
