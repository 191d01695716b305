"""Reads meta's result.json and ablation.json, with the tables beside them."""

import os
import pathlib
from typing import Any, Mapping, Sequence

import pandas as pd

from nws_jax.pictures import calibration, measures, ranking, records, tables
from nws_jax.store import sealed

_AXES = ('layer', 'tensor', 'part', 'position', 'window', 'pooled', 'epoch',
         'train_epoch', 'hold_out')
_FIGURES = ['value', 'low', 'high', 'chance']


def read_results(folder: str | os.PathLike[str],
                 defaults: Mapping[str, Any] | None = None
                 ) -> list[records.Result]:
  """Every result under `folder`, by path; none if it does not exist.

  Args:
    folder: a --workdir of meta.
    defaults: the default settings; None where they are unknown.

  Raises:
    errors.Damaged: a file is not JSON, lacks what the contract names, or is
      not what was written.
  """
  return [_read_result(path, defaults)
          for path in sealed.find(folder, sealed.RESULT)]


def read_ablations(folder: str | os.PathLike[str],
                   defaults: Mapping[str, Any] | None = None
                   ) -> list[records.Ablation]:
  """Every ablation under `folder`; as `read_results`."""
  return [_read_ablation(path, defaults)
          for path in sealed.find(folder, sealed.ABLATION)]


def read_predictions(result: records.Result) -> pd.DataFrame | None:
  """A regression's predictions.csv: columns id, true, predicted; or None."""
  path = result.folder / 'predictions.csv'
  return read_csv(path, ('true', 'predicted')) if path.exists() else None


def read_csv(path: pathlib.Path, columns: Sequence[str]) -> pd.DataFrame:
  """Reads a table that must have these columns; raises `Damaged` if not."""
  try:
    frame = pd.read_csv(path)
  except (OSError, ValueError) as e:  # pandas' parser errors are ValueErrors
    raise sealed.damaged(path, str(e)) from None
  missing = [c for c in columns if c not in frame.columns]
  if missing:
    raise sealed.damaged(path, f'has no column {", ".join(missing)}')
  return frame


def read_common(data: Mapping[str, Any], folder: pathlib.Path,
                defaults: Mapping[str, Any] | None) -> dict[str, Any]:
  """The fields of `records.Record`, of a record's JSON."""
  return {'target': str(data['target']), 'classifier': str(data['classifier']),
          'folder': folder, 'data': data,
          'overrides': ranking.find_overrides(data, defaults),
          'digest': str(data['zoo']['digest'])}


def _read_result(path: pathlib.Path,
                 defaults: Mapping[str, Any] | None) -> records.Result:
  data = sealed.read(path, ('predictions.csv',))
  with sealed.naming(path):
    if data['kind'] == 'regression':
      main, chance = data['r2'], 0.0
    else:
      main, chance = data['per_network'], float(data['chance'])
      size = len(data['classes'])
      if [len(row) for row in data['confusion']] != [size] * size:
        raise ValueError(f'confusion is not {size} x {size}')
    low, high = map(float, main['interval'])
    result = records.Result(
        main=measures.Measure(records.find_number(main), low, high, chance),
        **read_common(data, path.parent, defaults))
    _check_result(result)
    return result


def _check_result(result: records.Result) -> None:
  """Makes what the page will show, so that what is missing is found here."""
  ranking.order([result], '')
  tables.tabulate([result], result.scale)
  tables.tabulate_controls([result], result.scale)
  tables.tabulate_confusions([result])
  ', '.join(result.data.get('warnings', ()))
  ', '.join(result.data.get('controls_left_out', {}).values())
  if 'calibration' in result.data:
    calibration.tabulate([result])
    calibration.tabulate_curves([result])


def _read_ablation(path: pathlib.Path,
                   defaults: Mapping[str, Any] | None) -> records.Ablation:
  data = sealed.read(path, ('ablation.csv',))
  cells = read_csv(path.with_suffix('.csv'), _FIGURES)
  with sealed.naming(path):
    axes = tuple(a for a in data.get('axes', _AXES) if a in cells.columns)
    if not axes:
      raise ValueError(f'none of its axes is a column of {path.stem}.csv')
    cells[_FIGURES].astype(float)
    grid = records.Ablation(
        axes=axes, cells=cells, **read_common(data, path.parent, defaults))
    ranking.order([grid], '')
    return grid
