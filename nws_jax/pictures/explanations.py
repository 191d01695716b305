"""Meta's explanations, read: explanation.json and the tables beside it."""

import pathlib
from typing import NamedTuple

import pandas as pd

from nws_jax.pictures import results
from nws_jax.store import sealed

_COLUMNS = {
    'attribution': ('class', 'layer', 'tensor', 'value', 'low', 'high'),
    'attribution_position': ('position', 'value', 'low', 'high'),
    'prototypes': ('class', 'layer', 'tensor', 'level', 'value', 'low', 'high'),
    'filters': ('class', 'id', 'filter', 'channel', 'row', 'column', 'weight'),
    'map': ('id', 'epoch', 'x', 'y')}


class Explanation(NamedTuple):
  """One explanation.json; a table that was not written is None."""
  target: str
  classifier: str
  classes: list
  folder: pathlib.Path
  differs: dict
  digest: str
  data: dict
  attribution: pd.DataFrame | None
  attribution_position: pd.DataFrame | None
  prototypes: pd.DataFrame | None
  filters: pd.DataFrame | None
  map: pd.DataFrame | None


def read(folder, usual=None):
  """Every explanation under `folder`; as `results.read_results`."""
  return [_parse(path, usual)
          for path in sealed.find(folder, 'explanation.json')]


def _parse(path, usual):
  data = sealed.read(path)
  tables = {}
  for name, columns in _COLUMNS.items():
    file = path.with_name(f'{name}.csv')
    tables[name] = (results.read_csv(file, columns) if file.exists() else None)
    if tables[name] is not None and 'class' in columns:
      tables[name]['class'] = tables[name]['class'].astype(str)
  beside = path.with_name(sealed.RESULT)  # older ones have no settings
  if 'config' not in data and beside.exists():
    data['config'] = sealed.read(beside, ()).get('config', {})
  with sealed.naming(path):
    typical = data['prototypes']['typical']
    for of in typical.values():
      int(of['id']), float(of['sure'])
    x, y = data['map']['explained_variance']
    float(x), float(y), int(data['map']['columns'])
    about = data['attribution']
    if tables['attribution'] is not None:
      float(about['residual']['share']), float(about['before'])
      float(about['after']), int(about['networks']), str(about['of'])
    str(about.get('left_out'))
    found = Explanation(
        str(data['target']), str(data['classifier']),
        [str(c) for c in data['classes']], path.parent,
        results.find_differing(data, usual), str(data['zoo']['digest']), data,
        **tables)
    results.order([found], '')
    return found
