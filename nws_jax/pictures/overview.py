"""One row a property: how much of it is read, what else could explain that,
from where, and from when."""

import math

import pandas as pd

from nws_jax.pictures import page, results, theme

_CONTROLS = ('epoch_0', 'no_statistics', 'accuracy_matched', 'updates_matched',
             'weight_norm', 'num_weights')
_INTERVALS = {'read': '', 'tells': 'tells_', 'common_tells': 'common_tells_'}
_LEVEL = 0.05  # of p-values after Holm's correction over a grid
_SAID = (
    'How much: the score per network (accuracy, or R² of a number) with its '
    '95 % interval beside chance; the same before any training, without batch '
    'norm\'s running statistics, at equal accuracy, at equal numbers of '
    'updates, and from the weights\' norm or number alone; and the p-value '
    'among shuffled labels. Read with the default settings, or else with those '
    'nearest to them: settings says what differs.')
_WHERE = (
    'Where and when: the layer that alone tells most at the last epoch; the '
    'same where all layers have one window; and the first epoch from which on '
    'some layer is above chance after every epoch, after Holm\'s correction '
    'over the grid.')
_WORDS = {'property', 'classifier', 'measure', 'settings', 'layer',
          'common_layer', 'from_epoch'}  # columns that are not numbers


def describe(found, grids):
  """The section with the tables of all properties; None if none was read."""
  table = tabulate(found, grids)
  if not len(table):
    return None
  shown = dict.fromkeys(set(table.columns) - _WORDS, _show)
  cut = list(table).index('layer') if 'layer' in table else len(table.columns)
  blocks = [page.Table('overview', _SAID, table.iloc[:, :cut], shown)]
  if cut < len(table.columns):
    where = table.iloc[:, [0, *range(cut, len(table.columns))]]
    blocks.append(page.Table(
        'overview_where', _WHERE, where.dropna(subset=['layer']), shown))
  return page.Section('overview', 'How much, where and when', blocks)


def tabulate(found, grids):
  """One row a property: DataFrame, NaN where nothing was measured.

  Args:
    found: `results.Result`s of one zoo, in `results.order`: of a property's
      the first is taken.
    grids: `results.Ablation`s of that zoo, likewise: the first over layers and
      epochs.
  """
  best, _ = results.keep_first(found, lambda r: r.target)
  where = {a.target: a for a in reversed(grids)
           if set(a.axes) == {'layer', 'epoch'} and 'p_holm' in a.cells}
  rows = []
  for r in results.sort_by_gain(best):
    controls = _controls(r)
    rows.append({
        'property': r.target, 'classifier': r.classifier,
        'measure': 'R²' if r.regression else 'accuracy',
        'read': r.main.value, 'low': r.main.low, 'high': r.main.high,
        'chance': r.main.chance,
        **{name: results.number(controls.get(name)) for name in _CONTROLS},
        'shuffled_p': controls.get('shuffled', {}).get('p_value', math.nan),
        'settings': results.tell_settings(r),
        **(_locate(where[r.target].cells) if r.target in where else {})})
  return results.shed(rows)


def to_markdown(table):
  """The table as GitHub shows it; a number and its interval share a cell."""
  lines = []
  for row in table.to_dict('records'):
    for name, prefix in _INTERVALS.items():
      if f'{prefix}low' in row:
        low, high = (
            _show(row.pop(f'{prefix}{end}')) for end in ('low', 'high'))
        row[name] = f'{_show(row[name])} ({low} – {high})'
    if not lines:
      lines += [list(map(theme.words, row)), ['---'] * len(row)]
    lines.append([_show(v) if isinstance(v, float) else str(v)
                  for v in row.values()])
  return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines)


def _controls(result):
  return result.data.get('controls', {})


def _locate(cells):
  """Where most is told at the last epoch, and from when on something is."""
  found = cells[cells.p_holm < _LEVEL].epoch.unique()
  first = math.nan
  for epoch in sorted(cells.epoch.unique(), reverse=True):
    if epoch not in found:
      break
    first = epoch
  last, where = cells[cells.epoch == cells.epoch.max()], {}
  for kind in ('', 'common_'):
    if f'{kind}value' in cells:
      best = last.loc[last[f'{kind}value'].idxmax()]
      where |= {f'{kind}layer': best.layer,
                f'{kind}tells': best[f'{kind}value'],
                f'{kind}tells_low': best[f'{kind}low'],
                f'{kind}tells_high': best[f'{kind}high']}
  return where | {
      'from_epoch': 'never' if math.isnan(first) else f'{first:.0f}'}


def _show(value):
  return '–' if pd.isna(value) else f'{value:.3f}'
