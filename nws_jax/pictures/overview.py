"""One row a property: how much of it is read, what else could explain that,
from where, and from when."""

import math
from typing import Any, Sequence

import pandas as pd

from nws_jax.pictures import measures, ranking, records, tables, theme

WORDS = {'property', 'classifier', 'measure', 'settings', 'layer',
         'common_layer', 'from_epoch'}  # the columns that are not numbers
_INTERVALS = {'read': '', 'tells': 'tells_', 'common_tells': 'common_tells_'}
_LEVEL = 0.05  # of significance, after Holm's correction over a grid


def tabulate(found: Sequence[records.Result],
             grids: Sequence[records.Ablation]) -> pd.DataFrame:
  """One row a property; NaN where nothing was measured.

  Args:
    found: results of one zoo, in `ranking.order`. The first of each property
      counts.
    grids: ablations of that zoo, in `ranking.order`. The first over layers
      and epochs counts.
  """
  where = {a.target: a for a in reversed(grids)
           if set(a.axes) == {'layer', 'epoch'} and 'p_holm' in a.cells}
  # Controls that are compared with the score have a figure of their own, those
  # that permute labels a p-value.
  compared, permuted = (list(dict.fromkeys(
      name for r in found for name, part in r.controls.items() if key in part))
                        for key in ('difference_p', 'p_value'))
  return tables.drop_uninformative([{
      'property': r.target, 'classifier': r.classifier,
      'measure': 'R²' if r.scale is measures.R2 else 'accuracy',
      'read': r.main.value, 'low': r.main.low, 'high': r.main.high,
      'chance': r.main.chance,
      **{name: records.find_number(r.controls.get(name)) for name in compared},
      **{f'{name}_p': r.controls.get(name, {}).get('p_value', math.nan)
         for name in permuted},
      'settings': r.settings,
      **(_locate(where[r.target].cells) if r.target in where else {})}
      for r in ranking.sort_by_gain(ranking.choose_best(found))])


def to_markdown(table: pd.DataFrame) -> str:
  """The table as GitHub shows it; a number and its interval share a cell."""
  lines: list[list[str]] = []
  for row in table.to_dict('records'):
    for name, prefix in _INTERVALS.items():
      if f'{prefix}low' in row:
        low, high = (
            write_number(row.pop(f'{prefix}{end}')) for end in ('low', 'high'))
        row[name] = f'{write_number(row[name])} ({low} – {high})'
    if not lines:
      lines += [list(map(theme.words, row)), ['---'] * len(row)]
    lines.append([write_number(v) if isinstance(v, float) else str(v)
                  for v in row.values()])
  return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines)


def write_number(value: float) -> str:
  return theme.DASH if math.isnan(value) else f'{value:.3f}'


def _locate(cells: pd.DataFrame) -> dict[str, Any]:
  """Which layer tells most at the last epoch, and since when some layer does.

  The latter is the first epoch of the unbroken run of epochs up to the last
  one at each of which a layer is above chance.
  """
  significant = set(cells.epoch[cells.p_holm < _LEVEL])
  first = math.nan
  for epoch in sorted(cells.epoch.unique(), reverse=True):
    if epoch not in significant:
      break
    first = epoch
  last = cells[cells.epoch == cells.epoch.max()]
  where: dict[str, Any] = {}
  for kind in ('', 'common_'):
    if f'{kind}value' in cells:
      best = last.loc[last[f'{kind}value'].idxmax()]
      where |= {f'{kind}layer': best.layer,
                f'{kind}tells': best[f'{kind}value'],
                f'{kind}tells_low': best[f'{kind}low'],
                f'{kind}tells_high': best[f'{kind}high']}
  return where | {
      'from_epoch': 'never' if math.isnan(first) else f'{first:.0f}'}
