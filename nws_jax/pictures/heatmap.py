"""The heat map of an ablation: how well each cell of a grid can be read."""

import matplotlib
import numpy as np
from matplotlib import patches

from nws_jax.pictures import theme

_COLOURS = matplotlib.colormaps['YlGnBu']
_FIGURES = ('window', 'value', 'low', 'high', 'chance', 'above_chance')


def draw(cells, axes):
  """Draws a grid over one or two axes; the last axis goes to the right.

  A cell's colour runs from chance (pale) to 1, its value is printed inside,
  and it is hatched unless the whole 95 % interval is above chance.

  Args:
    cells: DataFrame, a row a cell: the axis columns come first, then what
      ablation.csv has. Axes keep the order of the rows.
    axes: matplotlib axes.
  """
  names = list(cells.columns[:min(
      cells.columns.get_loc(c) for c in _FIGURES if c in cells)])
  names = ([''] + names)[-2:]  # one axis makes a single row
  rows, columns = (list(dict.fromkeys(cells[n])) if n else [''] for n in names)
  chance = float(cells.chance.mean())
  for cell in cells.to_dict('records'):
    at = (columns.index(cell[names[1]]), rows.index(cell.get(names[0], '')))
    _draw_cell(axes, at, cell, chance)
  axes.set_xticks(range(len(columns)), columns)
  axes.set_yticks(range(len(rows)), rows)
  axes.set(xlabel=theme.words(names[1]), ylabel=theme.words(names[0]),
           xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
  axes.grid(False)
  axes.spines[:].set_visible(False)


def _draw_cell(axes, at, cell, chance):
  shade = float(np.clip((cell['value'] - chance) / (1 - chance), 0, 1))
  colour = _COLOURS(0.05 + 0.85 * shade)
  hidden = cell['low'] <= cell['chance']
  axes.add_patch(patches.Rectangle(
      (at[0] - 0.5, at[1] - 0.5), 1, 1, facecolor=colour, edgecolor='#999999',
      linewidth=0, hatch='///' if hidden else None))
  accuracy = chance > 0  # of R² chance is 0
  text = f'{100 * cell["value"]:.0f}' if accuracy else f'{cell["value"]:.2f}'
  axes.text(*at, text, ha='center', va='center', fontsize=8.5,
            color='white' if shade > 0.55 else theme.INK,
            bbox={'facecolor': colour, 'edgecolor': 'none', 'pad': 1.2}
            if hidden else None)


def to_png(cells, axes, title):
  """The picture as PNG bytes, as large as its grid needs.

  Args:
    cells: DataFrame as in `draw`.
    axes: how many axes it has.
    title: words above it.
  """
  columns = cells.iloc[:, axes - 1].nunique()
  rows = cells.iloc[:, 0].nunique() if axes > 1 else 1
  with theme.style():
    drawn = theme.figure(max(5, 1.8 + 0.55 * columns), 1.4 + 0.45 * rows)
    on = drawn.subplots()
    draw(cells, on)
    on.set_title(title)
    return theme.to_png(drawn)
