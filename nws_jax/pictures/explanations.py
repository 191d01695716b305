"""Meta's explanations, read: explanation.json and the tables beside it."""

import pathlib
from typing import NamedTuple

import pandas as pd

from nws_jax.pictures import results

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
  written: float
  digest: str
  data: dict
  attribution: pd.DataFrame | None
  attribution_position: pd.DataFrame | None
  prototypes: pd.DataFrame | None
  filters: pd.DataFrame | None
  map: pd.DataFrame | None


def read(folder):
  """Every explanation under `folder`, newest first.

  Raises:
    errors.Damaged: a file is not what the contract says.
  """
  found = [_parse(path) for path in sorted(
      pathlib.Path(folder).glob('*/*/explanation.json'))]
  return sorted(found, key=lambda e: -e.written)


def _parse(path):
  data = results.read_json(path)
  tables = {}
  for name, columns in _COLUMNS.items():
    file = path.with_name(f'{name}.csv')
    tables[name] = (results.read_csv(file, columns) if file.exists() else None)
    if tables[name] is not None and 'class' in columns:
      tables[name]['class'] = tables[name]['class'].astype(str)
  try:
    typical = data['prototypes']['typical']
    for of in typical.values():
      int(of['id']), float(of['sure'])
    x, y = data['map']['explained_variance']
    float(x), float(y), int(data['map']['columns'])
    if tables['attribution'] is not None:
      about = data['attribution']
      float(about['residual']['share']), float(about['before'])
      float(about['after']), int(about['networks']), str(about['of'])
    return Explanation(
        str(data['target']), str(data['classifier']),
        [str(c) for c in data['classes']], path.parent, path.stat().st_mtime,
        str(data['zoo']['digest']), data, **tables)
  except KeyError as e:
    raise results.damaged(path, f'has no {e.args[0]!r}') from None
  except (TypeError, ValueError, AttributeError) as e:
    raise results.damaged(path, str(e)) from None
