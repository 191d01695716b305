"""What --explain adds to a result.

Three explanations: which weights the predictions depend on (`attribution`), the
typical weights of each class (`prototypes`), and a map of the weight space with
the trajectories through it (`landscape`).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import answer
from nws_jax.meta.classifiers import table
from nws_jax.meta.data import windows
from nws_jax.meta.explain import attribution, landscape, prototypes
from nws_jax.meta.figures import intervals
from nws_jax.meta.training import cross_validation

RECORD = 'explanation.json'
ALL = 'all'


Rows = list[dict[str, Any]]
Progress = Callable[[int, int], None]  # called with (networks done, networks)


class Explanation(NamedTuple):
  """What is written: a record, and the rows of each table by its file name."""
  record: dict[str, Any]
  tables: dict[str, Rows]


def check(request: requests.Request) -> None:
  """Raises `Wrong` for a request that cannot be explained."""
  landscape.check()
  if not answer.reads_whole_networks(request):
    what = '--exclude' if request.settings.exclude else (
        f'--target={request.target.name}')
    raise errors.Wrong('--explain needs models that read whole networks: it '
                       f'cannot be used with {what}. Leave out one of them.')


def run(request: requests.Request, source: windows.Source,
        models: cross_validation.TrainedModels, predictions: pd.DataFrame,
        progress: Callable[[str], Progress]) -> Explanation:
  """The `Explanation` of a result.

  Args:
    request: that was answered.
    source: its weights.
    models: that answered it.
    predictions: predictions.csv.
    progress: from the name of a part of the work.
  """
  groups = prototypes.group(request.target)
  first = predictions[predictions['seed'] == predictions['seed'].min()]
  record = {
      'target': request.target.name,
      'kind': 'classification' if request.target.classes else 'regression',
      'classifier': request.settings.classifier, 'classes': list(groups.names),
      'zoo': {'path': request.zoo.path, 'digest': request.zoo.digest},
      'config': dataclasses.asdict(request.settings)}
  parts = {
      'attribution': _attribute(
          request, source, models, groups, progress('attribution')),
      'prototypes': _describe_classes(request, source, first, groups),
      'map': _draw_map(request, groups, progress('map of the networks'))}
  return Explanation(
      record | {name: part.record for name, part in parts.items()},
      {name: rows for part in parts.values()
       for name, rows in part.tables.items()})


def _attribute(request: requests.Request, source: windows.Source,
               models: cross_validation.TrainedModels,
               groups: prototypes.Groups, progress: Progress) -> Explanation:
  """The part of the attribution."""
  about = request.classifier.attribution
  if isinstance(about, str):
    possible = [c.name for c in table.CLASSIFIERS.values()
                if not isinstance(c.attribution, str)]
    return Explanation({
        'left_out': f'{request.classifier.name}: {about}. Use one of '
        f'--classifier={", ".join(possible)}.'}, {})
  found = attribution.run(
      models, running.make_place(request, source),
      request.target.label(request.sides), request.sides, progress)
  s, settings_N = request.settings, request.settings_M[found.rows_N]
  parts = request.parts
  layers = list(dict.fromkeys(layer for layer, _ in parts))
  # Sums over all tensors, and over those of each layer, stand before them.
  columns = [(ALL, ALL)] + [(x, ALL) for x in layers] + parts
  values_NxC = np.concatenate([
      found.tensors_NxT.sum(1, keepdims=True),
      np.stack([found.tensors_NxT[:, [p[0] == x for p in parts]].sum(1)
                for x in layers], 1), found.tensors_NxT], 1)
  rows: Rows = []
  group_N = groups.group_M[found.rows_N]
  for k, of in enumerate((ALL, *groups.names)):
    mine = np.flatnonzero((group_N == k - 1) | (of == ALL))
    if len(mine):
      rows += [{'class': of, 'layer': layer, 'tensor': tensor, **row}
               for (layer, tensor), row in zip(columns, _average(
                   values_NxC[mine], settings_N[mine], s.bootstrap))]
  positions = [{'position': n, **row} for n, row in enumerate(
      _average(found.bins_NxB, settings_N, s.bootstrap))]
  line, start = attribution.describe_line(request.classifier)
  gain_N, residual_N = found.after_N - found.before_N, found.residual_N
  return Explanation({
      'of': ('log-probability of the true class' if request.target.classes
             else 'minus the squared error, in units of the variance'),
      'line': line, 'baseline': start, 'steps': about.steps,
      'networks': len(found.rows_N), 'before': float(found.before_N.mean()),
      'after': float(found.after_N.mean()),
      'residual': {
          'mean': float(np.abs(residual_N).mean()),
          'largest': float(np.abs(residual_N).max()),
          'share': float(np.sqrt(np.mean(residual_N**2)
                                 / max(np.mean(gain_N**2), 1e-30)))},
  }, {'attribution.csv': rows, 'attribution_position.csv': positions})


def _average(values_NxC: np.ndarray, settings_N: np.ndarray,
             repetitions: int) -> Rows:
  """Means over networks, with intervals: a row a column."""
  low_C, high_C = intervals.bootstrap_columns(
      np.mean, values_NxC, settings_N, repetitions=repetitions)
  return [{'value': value, 'low': low, 'high': high, 'modulus': modulus,
           'networks': len(values_NxC)} for value, low, high, modulus in zip(
               values_NxC.mean(0).tolist(), low_C.tolist(), high_C.tolist(),
               np.abs(values_NxC).mean(0).tolist())]


def _describe_classes(request: requests.Request, source: windows.Source,
                      predictions: pd.DataFrame,
                      groups: prototypes.Groups) -> Explanation:
  """The part of the prototypes."""
  tensors = request.tensors
  layout_M = np.asarray(source.layout_M)
  weights_MxP = np.asarray(source.weights_MxExP[:, -1])
  tables = {'prototypes.csv': prototypes.find(
      weights_MxP, layout_M, tensors, groups, request.settings_M,
      request.settings.bootstrap)}
  key = [c for c in ('id', 'epoch') if c in predictions]
  rows = request.members.reset_index(drop=True).reset_index().set_index(
      key)['index']
  at_T = rows.loc[predictions[key].itertuples(index=False, name=None)
                  if len(key) > 1 else predictions['id']].to_numpy()
  typical: dict[str, dict[str, Any]] = {}
  filters: Rows = []
  for name, network in prototypes.choose_typical(
      predictions, groups, at_T).items():
    id = int(request.members['id'].iloc[network.row])
    typical[name] = {'id': id, 'sure': network.certainty}
    kernel = prototypes.read_filters(
        weights_MxP[network.row], tensors[layout_M[network.row]])
    if kernel:
      filters += prototypes.list_filters(
          kernel.values_OxIxHxW, {'class': name, 'id': id,
                                  'layer': kernel.layer})
  return Explanation(
      {'levels': list(prototypes.LEVELS), 'typical': typical},
      tables | ({'filters.csv': filters} if filters else {}))


def _draw_map(request: requests.Request, groups: prototypes.Groups,
              progress: Progress) -> Explanation:
  """The part of the map."""
  found = landscape.make(request.zoo, request.networks, progress)
  rows = [{'id': id, 'epoch': epoch, 'x': x, 'y': y} for id, epoch, (x, y)
          in zip(found.ids_N.tolist(), found.epochs_N.tolist(),
                 found.places_Nx2.tolist())]
  if found.umap_Nx2 is not None:
    rows = [{**row, 'umap_x': x, 'umap_y': y}
            for row, (x, y) in zip(rows, found.umap_Nx2.tolist())]
  tables = {'map.csv': rows}
  if len(request.members) == len(request.networks):  # a class a network
    tables['paths.csv'] = landscape.trace(found, groups.names, dict(zip(
        request.members['id'].tolist(), groups.group_M.tolist())))
  return Explanation({
      'explained_variance': list(found.explained), 'columns': found.columns,
      'networks': len(set(found.ids_N.tolist())),
      'snapshots': len(rows), 'umap': found.umap_Nx2 is not None}, tables)
