"""Pictures of an ablation: where and when a property can be read."""

import pandas as pd

from nws_jax.pictures import heatmap, theme

# Axes that make an x axis, and as how many cells they may stand in a row.
_ORDERED = ('position', 'window', 'pooled', 'epoch', 'train_epoch')
_ACROSS = 40


def fits_map(cells, axes):
  """Whether a grid can be read as a heat map."""
  return len(axes) > 1 and cells[axes[-1]].nunique() <= _ACROSS


def to_png(cells, axes, title):
  """The picture beside an ablation.csv, as PNG bytes: lines, or a heat map.

  Args:
    cells: DataFrame, a row a cell: what ablation.csv has.
    axes: names of the grid's axes.
    title: words above it.
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


def draw_lines(cells, axes):
  """A line a level of the other axes over the ordered one, with intervals."""
  x = next((a for a in _ORDERED if a in axes), axes[0])
  others = [a for a in axes if a != x]
  places, names = _place(cells[x])
  drawn = theme.figure(9.6, 3.8)
  on = drawn.subplots()
  groups = cells.groupby(others, sort=False) if others else [('', cells)]
  for n, (key, part) in enumerate(groups):
    name = ', '.join(map(str, key)) if isinstance(key, tuple) else key
    at = places[part.index]
    order = at.argsort()
    colour = theme.COLOURS[n % len(theme.COLOURS)]
    on.fill_between(at.iloc[order], part.low.iloc[order],
                    part.high.iloc[order], color=colour, alpha=0.1,
                    linewidth=0)
    on.plot(at.iloc[order], part.value.iloc[order], color=colour,
            marker=theme.MARKERS[n % 7], markersize=5, linewidth=1.8,
            label=name)
  on.plot(*_chance(cells, places), color=theme.INK, linewidth=1,
          linestyle=(0, (2, 2)), label='chance')
  if names is not None:
    on.set_xticks(range(len(names)), names)
  accuracy = cells.chance.max() > 0  # of R² chance is 0
  on.set(xlabel=theme.words(x),
         ylabel='accuracy per network' if accuracy else 'R²',
         ylim=(0 if accuracy else max(-0.3, min(0, cells.low.min())), 1.02))
  if accuracy:
    theme.percent_axis(on.yaxis)
  on.legend(title=theme.words(', '.join(others)) or None, alignment='left',
            loc='center left', bbox_to_anchor=(1.01, 0.5))
  return drawn


def _place(values):
  """Where the levels stand on the x axis, and their names unless numbers."""
  if pd.api.types.is_numeric_dtype(values):
    return values, None
  names = list(dict.fromkeys(values))  # in the order of the file
  return values.map(names.index), [str(n) for n in names]


def _chance(cells, places):
  chance = cells.groupby(places).chance.mean()
  return chance.index, chance
