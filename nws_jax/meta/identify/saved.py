"""Trained classifiers on disk, and what they need to answer for a stranger
(`opinions`).

model/recipe.json   what was read, from whom, by what; how sure it may be
model/members.csv   the networks read, and who held them out (`membership`)
model/variables/    Orbax: the variables of a Flax model, stacked by model
model/estimator-0.skops ...   what scikit-learn fitted, one a fold
model/unlike.npz    the statistics of the networks read (`unlike`)
"""

import dataclasses
import os
import zipfile
from typing import Any

import numpy as np
from flax import traverse_util

from nws_jax import errors
from nws_jax.meta import running
from nws_jax.meta.answers import answer as answers
from nws_jax.meta.answers import score
from nws_jax.meta.classifiers import interface, sklearn_models, table
from nws_jax.meta.data import layouts, places
from nws_jax.meta.figures import calibration
from nws_jax.meta.identify import membership, novelty, orbax_folders, predict
from nws_jax.meta.training import cross_validation
from nws_jax.store import sealed

FORMAT = 2
_READABLE = (1, FORMAT)  # 1 had no members.csv
MODEL = 'model'  # folder, in that of the result
RECIPE = 'recipe.json'
_LOOKS = ('length', 'even', 'drawn', 'layout')


@dataclasses.dataclass(frozen=True)
class Classifier:
  """A saved classifier: its record, its models, its `Reference`."""
  folder: str
  record: dict
  models: cross_validation.TrainedModels
  reference: novelty.Reference
  members: membership.Members
  layers: Any  # DataFrame of the architectures it knows

  @property
  def known(self):
    """{architecture: its `layouts.Tensor`s}."""
    names = self.record['architectures']
    return dict(zip(names, layouts.read(self.layers, names)))


def write(folder, request, source, outcome):
  """Writes everything into `folder`/model; the record last.

  Args:
    folder: of the result, without a model.
    request: `request.Request`.
    source: its `windows.Source`.
    outcome: the `cross_validation.Outcome` that answered it, with its models.
  """
  path, models = os.path.join(folder, MODEL), outcome.models
  os.makedirs(path)
  record = _describe(request, outcome)
  if isinstance(models.classifier.training, interface.Estimator):
    record['fitted'] = [
        {'shares': f.shares_O.tolist(), 'scale': float(f.scale),
         'file': f'estimator-{n}.skops' if f.estimator else None}
        for n, f in enumerate(models.trained)]
    for entry, f in zip(record['fitted'], models.trained):
      if entry['file']:
        sklearn_models.write(os.path.join(path, entry['file']), f)
  else:
    record['variables'] = {
        name: [list(x.shape), str(x.dtype)] for name, x
        in traverse_util.flatten_dict(models.trained, sep='/').items()}
    orbax_folders.write(os.path.join(path, 'variables'), models.trained)
  place = running.make_place(request, source)
  reference = novelty.fit(
      predict.describe(place), np.repeat(request.rows['fold'].to_numpy(),
                                 source.weights_MxExP.shape[1]))
  novelty.write(os.path.join(path, 'unlike.npz'), reference)
  membership.write(os.path.join(path, 'members.csv'), request, source,
                   outcome.tested[0])
  sealed.write(os.path.join(path, RECIPE), record)


def find(folder):
  """The folders of all saved classifiers under `folder`, by target.

  Raises:
    errors.Wrong: there are none.
  """
  found = {}
  for path in sealed.find(folder, f'{MODEL}/{RECIPE}'):
    record = sealed.read(path, ())
    with sealed.naming(path):
      found.setdefault(str(record['target']), []).append(
          (float(record['valid_loss']), str(path.parent)))
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
  recipe = os.path.join(path, RECIPE)
  record = sealed.read(recipe)
  with sealed.naming(recipe):
    if record['format'] not in _READABLE:
      raise ValueError(f'its format is {record["format"]}, not {FORMAT}')
    _check(record)
    layers = pd.DataFrame(record['layers'])
    spec = places.WindowSpec(
        *(record['looks'][name] for name in _LOOKS),
        layouts.read(layers, record['architectures']))
    try:
      trained = _read_trained(path, record)
      reference = novelty.read(os.path.join(path, 'unlike.npz'))
      members = membership.read(os.path.join(path, 'members.csv'), record)
    except (OSError, EOFError, zipfile.BadZipFile) as e:
      raise ValueError(f'what lies beside it cannot be read: {e}') from e
    models = cross_validation.TrainedModels(
        table.CLASSIFIERS[record['classifier']], spec,
        len(record['classes']) or 1, record['folds'], record['members'],
        trained, _read_units(record))
  return Classifier(path, record, models, reference, members, layers)


def _check(record):
  """Raises what `sealed.naming` names where a record is not whole."""
  if record['format'] == 1:
    record['sides'].items()
  str(record['zoo']['digest']), bool(record['logarithm'])
  if record['classes']:
    float(record['accuracy']), float(record['calibration_error'])
    if len(record['temperatures']) != record['folds']:
      raise ValueError('it has not one temperature a fold')
  else:
    float(record['reach']), float(record['r2'])


def _read_units(record):
  """The scales of all folds; records of older versions know no ranges."""
  ranges = record.get('ranges') or [(-np.inf, np.inf)] * record['folds']
  return cross_validation.TargetScale(
      np.array(record['centers']), np.array(record['scales']),
      *np.array(ranges).T)


def _read_trained(path, record):
  if isinstance(table.CLASSIFIERS[record['classifier']].training,
                interface.Estimator):
    outputs = len(record['classes']) or 1
    return [interface.Fitted(
        outputs,
        sklearn_models.read(os.path.join(path, os.path.basename(entry['file'])))
        if entry['file'] else None,
        np.array(entry['shares']), entry['scale'])
        for entry in record['fitted']]
  return traverse_util.unflatten_dict(orbax_folders.read(
      os.path.join(path, 'variables'), {
          name: (tuple(shape), np.dtype(dtype))
          for name, (shape, dtype) in record['variables'].items()}), sep='/')


def _describe(request, outcome):
  """recipe.json but for what is told of the files beside it."""
  target, models = request.target, outcome.models
  architectures = list(dict.fromkeys(request.rows['architecture']))
  layers = request.zoo.layers
  layers = layers[layers['architecture'].isin(architectures)]
  test, valid = outcome.tested[0], outcome.valid
  return {
      'format': FORMAT, 'target': target.name, 'classes': list(target.classes),
      'classifier': models.classifier.name, 'folds': models.folds,
      'members': models.members, 'logarithm': target.name == 'learning_rate',
      'looks': {name: getattr(models.spec, name) for name in _LOOKS},
      'centers': models.units.center.tolist(),
      'scales': models.units.scale.tolist(),
      'ranges': [] if target.classes else np.stack(
          [models.units.low, models.units.high], 1).tolist(),
      'architectures': architectures,
      'layers': layers[['architecture', 'layer', 'tensor', 'start', 'stop',
                        'shape']].to_dict('records'),
      'epochs': sorted({e for some in request.epochs.values() for e in some}),
      'zoo': {'path': request.zoo.path, 'digest': request.zoo.digest}} | (
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
