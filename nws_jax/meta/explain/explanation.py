"""Why a classifier says what it says, and where the networks lie: --explain.

Three answers beside a result: which weights its words rest on (`attribution`),
what the weights of each class look like (`prototypes`), and a map of the weight
space with the ways through it (`landscape`).
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from nws_jax import errors
from nws_jax.meta import running
from nws_jax.meta.answers import answer
from nws_jax.meta.explain import attribution, landscape, prototypes
from nws_jax.meta.figures import intervals

RECORD = 'explanation.json'
ALL = 'all'


class Explanation(NamedTuple):
  """What is written: a record, and {file name: text} of its tables."""
  record: dict
  tables: dict


def check(request):
  """Raises `Wrong` for a request that cannot be explained."""
  landscape.check()
  if not answer.reads_whole_networks(request):
    what = '--exclude' if request.settings.exclude else (
        f'--target={request.target.name}')
    raise errors.Wrong(f'--explain needs whole networks, one at a time: it '
                       f'cannot be used with {what}. Leave one of them out.')


def run(request, source, models, predictions, progress):
  """The `Explanation` of a result.

  Args:
    request: `request.Request`.
    source: its `windows.Source`.
    models: the `cross_validation.TrainedModels` that answered it.
    predictions: DataFrame of predictions.csv.
    progress: (what) -> a function called with (done, of how many).
  """
  names, group_M = prototypes.group(request.target)
  first = predictions[predictions['seed'] == predictions['seed'].min()]
  record = {
      'target': request.target.name,
      'kind': 'classification' if request.target.classes else 'regression',
      'classifier': request.settings.classifier, 'classes': list(names),
      'zoo': {'path': request.zoo.path, 'digest': request.zoo.digest},
      'config': dataclasses.asdict(request.settings)}
  record['attribution'], tables = _attribute(
      request, source, models, names, group_M, progress('attribution'))
  record['prototypes'], more = _describe_classes(
      request, source, first, names, group_M)
  tables |= more
  record['map'], more = _draw_map(
      request, names, group_M, progress('map of the networks'))
  return Explanation(record, tables | more)


def _attribute(request, source, models, names, group_M, progress):
  """(what the record says, tables) of the attribution."""
  name = request.settings.classifier
  obstacle = attribution.find_obstacle(request.classifier)
  if obstacle:
    return {'left_out': f'{name}: {obstacle}. Use --classifier=fast, cnn or '
            'transformer.'}, {}
  found = attribution.run(
      models, running.make_place(request, source),
      request.target.label(request.sides), request.sides, progress)
  s, settings_N = request.settings, request.settings_M[found.rows_N]
  parts = request.parts
  layers = list(dict.fromkeys(layer for layer, _ in parts))
  columns = [(ALL, ALL)] + [(x, ALL) for x in layers] + parts
  values_NxC = np.concatenate([
      found.tensors_NxT.sum(1, keepdims=True),
      np.stack([found.tensors_NxT[:, [p[0] == x for p in parts]].sum(1)
                for x in layers], 1), found.tensors_NxT], 1)
  rows, group_N = [], group_M[found.rows_N]
  for k, of in enumerate((ALL, *names)):
    mine = np.flatnonzero((group_N == k - 1) | (of == ALL))
    if len(mine):
      rows += [{'class': of, 'layer': layer, 'tensor': tensor, **row}
               for (layer, tensor), row in zip(columns, _average(
                   values_NxC[mine], settings_N[mine], s.bootstrap))]
  positions = [{'position': n, **row} for n, row in enumerate(
      _average(found.bins_NxB, settings_N, s.bootstrap))]
  line, start = attribution.describe_line(request.classifier)
  gain_N, residual_N = found.after_N - found.before_N, found.residual_N
  return {
      'of': ('log-probability of the true class' if request.target.classes
             else 'minus the squared error, in units of the variance'),
      'line': line, 'baseline': start,
      'steps': request.classifier.attribution.steps,
      'networks': len(found.rows_N), 'before': float(found.before_N.mean()),
      'after': float(found.after_N.mean()),
      'residual': {
          'mean': float(np.abs(residual_N).mean()),
          'largest': float(np.abs(residual_N).max()),
          'share': float(np.sqrt(np.mean(residual_N**2)
                                 / max(np.mean(gain_N**2), 1e-30)))},
  }, {'attribution.csv': rows, 'attribution_position.csv': positions}


def _average(values_NxC, settings_N, repetitions):
  """Means over networks, with intervals: a row a column."""
  low_C, high_C = intervals.bootstrap_columns(
      np.mean, values_NxC, settings_N, repetitions=repetitions)
  return [{'value': value, 'low': low, 'high': high, 'modulus': modulus,
           'networks': len(values_NxC)} for value, low, high, modulus in zip(
               values_NxC.mean(0).tolist(), low_C.tolist(), high_C.tolist(),
               np.abs(values_NxC).mean(0).tolist())]


def _describe_classes(request, source, predictions, names, group_M):
  """(what the record says, tables) of the prototypes."""
  tensors = request.tensors
  layout_M = np.asarray(source.layout_M)
  weights_MxP = np.asarray(source.weights_MxExP[:, -1])
  tables = {'prototypes.csv': prototypes.find(
      weights_MxP, layout_M, tensors, names, group_M, request.settings_M,
      request.settings.bootstrap)}
  key = [c for c in ('id', 'epoch') if c in predictions]
  rows = request.members.reset_index(drop=True).reset_index().set_index(
      key)['index']
  at_T = rows.loc[predictions[key].itertuples(index=False, name=None)
                  if len(key) > 1 else predictions['id']].to_numpy()
  typical, filters = {}, []
  for name, (m, sure) in prototypes.choose_typical(
      predictions, names, group_M, at_T).items():
    id = int(request.members['id'].iloc[m])
    typical[name] = {'id': id, 'sure': sure}
    kernel = prototypes.read_filters(weights_MxP[m], tensors[layout_M[m]])
    if kernel:
      filters += prototypes.list_filters(
          kernel[1], {'class': name, 'id': id, 'layer': kernel[0]})
  return {'levels': list(prototypes.LEVELS), 'typical': typical}, (
      tables | ({'filters.csv': filters} if filters else {}))


def _draw_map(request, names, group_M, progress):
  """(what the record says, tables) of the map."""
  found = landscape.make(request.zoo, request.networks, progress)
  rows = [{'id': id, 'epoch': epoch, 'x': x, 'y': y} for id, epoch, (x, y)
          in zip(found.ids_N.tolist(), found.epochs_N.tolist(),
                 found.places_Nx2.tolist())]
  if found.umap_Nx2 is not None:
    rows = [{**row, 'umap_x': x, 'umap_y': y}
            for row, (x, y) in zip(rows, found.umap_Nx2.tolist())]
  tables = {'map.csv': rows}
  if len(request.members) == len(request.networks):  # a class a network
    tables['paths.csv'] = landscape.trace(found, names, dict(zip(
        request.members['id'].tolist(), group_M.tolist())))
  return {
      'explained_variance': list(found.explained), 'columns': found.columns,
      'networks': len(set(found.ids_N.tolist())),
      'snapshots': len(rows), 'umap': found.umap_Nx2 is not None}, tables
