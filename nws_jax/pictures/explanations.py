"""Reads meta's explanation.json, with the tables beside it."""

import os
import pathlib
from typing import Any, Mapping

from nws_jax.pictures import ranking, records, results
from nws_jax.store import sealed

_COLUMNS = {
    'attribution': ('class', 'layer', 'tensor', 'value', 'low', 'high'),
    'attribution_position': ('position', 'value', 'low', 'high'),
    'prototypes': ('class', 'layer', 'tensor', 'level', 'value', 'low', 'high'),
    'filters': ('class', 'id', 'filter', 'channel', 'row', 'column', 'weight'),
    'map': ('id', 'epoch', 'x', 'y')}


def read(folder: str | os.PathLike[str],
         defaults: Mapping[str, Any] | None = None
         ) -> list[records.Explanation]:
  """Every explanation under `folder`; as `results.read_results`."""
  return [_read(path, defaults)
          for path in sealed.find(folder, 'explanation.json')]


def _read(path: pathlib.Path,
          defaults: Mapping[str, Any] | None) -> records.Explanation:
  data = sealed.read(path)
  tables: dict[str, Any] = dict.fromkeys(_COLUMNS)
  for name, columns in _COLUMNS.items():
    file = path.with_name(f'{name}.csv')
    if file.exists():
      tables[name] = results.read_csv(file, columns)
      if 'class' in columns:
        tables[name]['class'] = tables[name]['class'].astype(str)
  result = path.with_name(sealed.RESULT)  # older explanations have no settings
  if 'config' not in data and result.exists():
    data['config'] = sealed.read(result, ()).get('config', {})
  with sealed.naming(path):
    _check(data, tables['attribution'] is not None)
    found = records.Explanation(
        classes=[str(c) for c in data['classes']], **tables,
        **results.read_common(data, path.parent, defaults))
    ranking.order([found], '')
    return found


def _check(data: Mapping[str, Any], attributed: bool) -> None:
  """Raises what `sealed.naming` names, where the page would miss something."""
  for network in data['prototypes']['typical'].values():
    int(network['id']), float(network['sure'])
  x, y = data['map']['explained_variance']
  float(x), float(y), int(data['map']['columns'])
  about = data['attribution']
  if attributed:
    float(about['residual']['share']), float(about['before'])
    float(about['after']), int(about['networks']), str(about['of'])
  str(about.get('left_out'))
