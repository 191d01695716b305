"""Results of meta -> tables, one row a result, control, rung or cell."""

import math
from typing import Any, Mapping, Sequence

import pandas as pd

from nws_jax.pictures import measures, ranking, records, theme


def tabulate(found: Sequence[records.Result],
             scale: measures.Scale) -> pd.DataFrame:
  """One row a result on this scale: how well, and whether above chance."""
  more = ('per_window', *(('kendall_tau', 'mean_absolute_error')
                          if scale is measures.R2 else ('balanced_accuracy',)))
  return drop_uninformative([{
      'property': r.target, 'classifier': r.classifier,
      scale.column: r.main.value, 'low': r.main.low, 'high': r.main.high,
      'chance': r.main.chance, 'above_chance': r.main.above,
      'networks': r.num_networks,
      **{name: records.find_number(r.data.get(name)) for name in more},
      'settings': r.settings} for r in found if r.scale is scale])


def tabulate_others(found: Sequence[records.Result],
                    digest: str) -> pd.DataFrame:
  """One row a reading that is not the main one, with what sets it apart."""
  return pd.DataFrame([{
      'property': r.target, 'classifier': r.classifier, 'settings': r.settings,
      'zoo': 'this one' if r.digest == digest
      else 'another, or an earlier state of this one',
      'measure': 'R²' if r.scale is measures.R2 else 'accuracy',
      **r.main._asdict(), 'above_chance': r.main.above,
      'networks': r.num_networks, 'folder': r.folder.name} for r in found])


def drop_uninformative(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
  """A table without empty columns, nor settings that are all the defaults."""
  frame = pd.DataFrame(rows).dropna(axis='columns', how='all')
  if 'settings' in frame and set(frame.settings) == {records.DEFAULT}:
    return frame.drop(columns='settings')
  return frame


def tabulate_controls(found: Sequence[records.Result],
                      scale: measures.Scale) -> pd.DataFrame:
  """One row a control of a result on this scale."""
  rows = []
  for r in (r for r in found if r.scale is scale):
    for name, control in r.controls.items():
      low, high = map(float, control['interval'])
      rows.append({
          'property': r.target, 'classifier': r.classifier, 'control': name,
          'value': records.find_number(control), 'low': low, 'high': high,
          'chance': float(control.get('chance', r.main.chance)),
          **{p: float(control.get(p, math.nan))
             for p in ('p_value', 'difference_p')}})
  return drop_uninformative(rows)


def tabulate_ladder(found: Sequence[records.Result],
                    scale: measures.Scale) -> pd.DataFrame:
  """One row a property and classifier, the lowest rung first."""
  rows = pd.DataFrame([
      {'property': theme.words(r.target), 'classifier': r.classifier,
       **r.main._asdict()} for r in ranking.sort_by_gain(found)
      if r.scale is scale])
  if not len(rows):
    return rows
  # By rung, then by property as they come, then by gain.
  places = pd.DataFrame({
      'rung': rows.classifier.map(ranking.find_rung),
      'property': rows.groupby('property', sort=False).ngroup()})
  return rows.loc[places.sort_values(
      ['rung', 'property'], kind='stable').index].reset_index(drop=True)


def tabulate_confusions(found: Sequence[records.Result]) -> pd.DataFrame:
  """One row a cell of every confusion matrix."""
  return pd.DataFrame([
      {'property': r.target, 'classifier': r.classifier, 'true': true,
       'predicted': predicted, 'networks': int(r.data['confusion'][i][j])}
      for r in found if r.scale is measures.ACCURACY
      for i, true in enumerate(r.data['classes'])
      for j, predicted in enumerate(r.data['classes'])])
