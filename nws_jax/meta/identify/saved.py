"""Trained classifiers on disk, with all that their predictions need.

model/recipe.json   the target, the windows, the zoo, and the calibration
model/members.csv   the networks read, and which models held them out
                    (`membership`)
model/variables/    Orbax: the variables of a Flax model, stacked by model
model/estimator-0.skops ...   the estimators of scikit-learn, one a fold
model/unlike.npz    the distribution of the networks read (`novelty`)
"""

import dataclasses
import os
import zipfile
from typing import Any

import numpy as np
import pandas as pd
from flax import traverse_util

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import answer as answers
from nws_jax.meta.answers import score
from nws_jax.meta.classifiers import interface, sklearn_models, table
from nws_jax.meta.data import layouts, regions, windows
from nws_jax.meta.figures import calibration
from nws_jax.meta.identify import membership, novelty, orbax_folders, predict
from nws_jax.meta.training import cross_validation
from nws_jax.store import sealed

FORMAT = 2
_READABLE = (1, FORMAT)  # 1 had no members.csv
MODEL = 'model'  # folder, in that of the result
RECIPE = 'recipe.json'
# Fields of `regions.WindowSpec` in the record, there under `looks`.
_SPEC = ('length', 'even', 'drawn', 'layout')


@dataclasses.dataclass(frozen=True)
class Classifier:
  """A saved classifier: its record, its models, its `Reference`."""
  folder: str
  record: dict[str, Any]
  models: cross_validation.TrainedModels
  reference: novelty.Reference
  members: membership.Members
  layers: pd.DataFrame  # layers.csv of the architectures that it knows

  @property
  def known(self) -> dict[str, tuple[layouts.Tensor, ...]]:
    """The tensors of each architecture."""
    names = self.record['architectures']
    return dict(zip(names, layouts.read(self.layers, names)))


def write(folder: str, request: requests.Request, source: windows.Source,
          outcome: cross_validation.Outcome) -> None:
  """Writes everything into `folder`/model; the record last.

  Args:
    folder: of the result, without a model.
    request: that was answered.
    source: its weights.
    outcome: its outcome, with its models.
  """
  path, models = os.path.join(folder, MODEL), outcome.models
  assert models is not None and outcome.valid is not None
  os.makedirs(path)
  record = _describe(request, models, outcome.tested[0], outcome.valid)
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


def find(folder: str) -> dict[str, str]:
  """The folders of all saved classifiers under `folder`, by target.

  Raises:
    errors.Wrong: there are none.
  """
  found: dict[str, list[tuple[float, str]]] = {}
  for path in sealed.find(folder, f'{MODEL}/{RECIPE}'):
    record = sealed.read(path, ())
    with sealed.naming(path):
      found.setdefault(str(record['target']), []).append(
          (float(record['valid_loss']), str(path.parent)))
  if not found:
    raise errors.Wrong(
        f'--meta={folder} has no saved classifier. Train one for each property '
        'to identify: python -m nws_jax.meta --target=optimizer '
        f'--workdir={folder}')
  # Chosen by the loss of the validation networks, never by the test networks.
  return {target: min(some)[1] for target, some in found.items()}


def read(path: str) -> Classifier:
  """The `Classifier` in a folder.

  Raises:
    errors.Damaged: something in it is not what was written.
  """
  recipe = os.path.join(path, RECIPE)
  record = sealed.read(recipe)
  with sealed.naming(recipe):
    if record['format'] not in _READABLE:
      raise ValueError(f'its format is {record["format"]}, not {FORMAT}')
    _check(record)
    layers = pd.DataFrame(record['layers'])
    spec = regions.WindowSpec(
        **{name: record['looks'][name] for name in _SPEC},
        tensors=layouts.read(layers, record['architectures']))
    try:
      trained = _read_trained(path, record)
      reference = novelty.read(os.path.join(path, 'unlike.npz'))
      members = membership.read(os.path.join(path, 'members.csv'), record)
    except (OSError, EOFError, zipfile.BadZipFile) as e:
      raise ValueError(f'a file beside it cannot be read: {e}') from e
    models = cross_validation.TrainedModels(
        table.CLASSIFIERS[record['classifier']], spec,
        len(record['classes']) or 1, record['folds'], record['members'],
        trained, _read_units(record))
  return Classifier(path, record, models, reference, members, layers)


def _check(record: dict[str, Any]) -> None:
  """Raises an error that `sealed.naming` explains if a record is incomplete."""
  if record['format'] == 1:
    record['sides'].items()
  str(record['zoo']['digest']), bool(record['logarithm'])
  if record['classes']:
    float(record['accuracy']), float(record['calibration_error'])
    if len(record['temperatures']) != record['folds']:
      raise ValueError('its temperatures are not one a fold')
  else:
    float(record['reach']), float(record['r2'])


def _read_units(record: dict[str, Any]) -> cross_validation.TargetScale:
  """The scales of all folds; records of older versions have no ranges."""
  ranges = record.get('ranges') or [(-np.inf, np.inf)] * record['folds']
  return cross_validation.TargetScale(
      np.array(record['centers']), np.array(record['scales']),
      *np.array(ranges).T)


def _read_trained(path: str, record: dict[str, Any]) -> Any:
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


def _describe(request: requests.Request,
              models: cross_validation.TrainedModels,
              test: cross_validation.Decisions,
              valid: cross_validation.Decisions) -> dict[str, Any]:
  """recipe.json without the entries about the files beside it."""
  target = request.target
  architectures = list(dict.fromkeys(request.rows['architecture']))
  layers = request.zoo.layers
  layers = layers[layers['architecture'].isin(architectures)]
  return {
      'format': FORMAT, 'target': target.name, 'classes': list(target.classes),
      'classifier': models.classifier.name, 'folds': models.folds,
      'members': models.members, 'logarithm': target.name == 'learning_rate',
      'looks': {name: getattr(models.spec, name) for name in _SPEC},
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


def _calibrate(test: cross_validation.Decisions,
               valid: cross_validation.Decisions,
               folds: int) -> dict[str, Any]:
  """A temperature a fold, and the quality of the calibrated probabilities."""
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


def _find_reach(test: cross_validation.Decisions,
                valid: cross_validation.Decisions) -> dict[str, Any]:
  """Half the width of the interval that holds 95 % of the validation networks'
  errors, and its quality."""
  off_V = np.abs(score.pool(valid)[:, 0] - valid.true_T)
  off_T = np.abs(score.pool(test)[:, 0] - test.true_T)
  reach = float(np.quantile(off_V, 0.95))
  return {'temperatures': [], 'reach': reach,
          'valid_loss': float(np.mean(off_V**2) / max(
              np.var(valid.true_T), 1e-30)),
          'r2': 1 - float(np.mean(off_T**2) / max(np.var(test.true_T), 1e-30)),
          'coverage': float(np.mean(off_T <= reach))}
