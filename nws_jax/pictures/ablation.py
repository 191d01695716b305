"""Pictures of an ablation: where and when a property can be read."""

from typing import NamedTuple, Sequence

import pandas as pd
from matplotlib import figure as mpl_figure

from nws_jax.pictures import heatmap, measures, theme

# Axes that can be an x axis, and the longest row of cells of a heat map.
_ORDERED = ('position', 'window', 'pooled', 'epoch', 'train_epoch')
_ACROSS = 40


def fits_map(cells: pd.DataFrame, axes: Sequence[str]) -> bool:
  """Whether a grid can be read as a heat map."""
  return len(axes) > 1 and cells[axes[-1]].nunique() <= _ACROSS


def to_png(cells: pd.DataFrame, axes: Sequence[str], title: str) -> bytes:
  """The picture beside an ablation.csv, as PNG bytes: lines or a heat map.

  Args:
    cells: a row a cell, with the columns of ablation.csv.
    axes: names of the grid's axes.
    title: printed above.
  """
  with theme.style():
    if not fits_map(cells, axes):
      drawn = draw_lines(cells, axes)
      on = drawn.axes[0]
    else:
      rows = len(cells[list(axes[:-1])].drop_duplicates())
      drawn = theme.figure(max(5, 1.8 + 0.55 * cells[axes[-1]].nunique()),
                           1.4 + 0.45 * rows)
      on = drawn.subplots()
      heatmap.draw(cells, on, axes)
    on.set_title(title)
    return theme.to_png(drawn)


def draw_lines(cells: pd.DataFrame, axes: Sequence[str]) -> mpl_figure.Figure:
  """Scores over the ordered axis, a line with intervals a level of the others.
  """
  x = next((a for a in _ORDERED if a in axes), axes[0])
  others = [a for a in axes if a != x]
  ticks = _place(cells[x])
  drawn = theme.figure(9.6, 3.8)
  on = drawn.subplots()
  groups = cells.groupby(others, sort=False) if others else [('', cells)]
  for n, (key, part) in enumerate(groups):
    name = ', '.join(map(str, key)) if isinstance(key, tuple) else key
    at = ticks.places[part.index]
    order = at.argsort()
    colour = theme.COLOURS[n % len(theme.COLOURS)]
    on.fill_between(at.iloc[order], part.low.iloc[order],
                    part.high.iloc[order], color=colour, alpha=0.1,
                    linewidth=0)
    on.plot(at.iloc[order], part.value.iloc[order], color=colour,
            marker=theme.MARKERS[n % 7], markersize=5, linewidth=1.8,
            label=name)
  chance = cells.groupby(ticks.places).chance.mean()
  on.plot(chance.index, chance, color=theme.INK, linewidth=1,
          linestyle=theme.DASHES, label='chance')
  if ticks.names is not None:
    on.set_xticks(range(len(ticks.names)), ticks.names)
  scale = measures.find_scale(cells)
  on.set(xlabel=theme.words(x), ylabel=scale.title,
         ylim=(max(-0.3, min(0, cells.low.min())), 1.02))
  scale.in_axis(on.yaxis)
  on.legend(title=theme.words(', '.join(others)) or None, alignment='left',
            loc='center left', bbox_to_anchor=(1.01, 0.5))
  return drawn


class _Ticks(NamedTuple):
  """Where each row stands on the x axis; names of the ticks unless numbers."""
  places: pd.Series
  names: list[str] | None


def _place(values: pd.Series) -> _Ticks:
  if pd.api.types.is_numeric_dtype(values):
    return _Ticks(values, None)
  names = list(dict.fromkeys(values))  # in the order of the file
  return _Ticks(values.map(names.index), [str(n) for n in names])
