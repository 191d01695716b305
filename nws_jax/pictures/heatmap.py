"""The heat map of an ablation: how well each cell of a grid can be read."""

import matplotlib
import numpy as np
from matplotlib import patches

from nws_jax.pictures import theme

_COLOURS = matplotlib.colormaps['YlGnBu']


def draw(cells, axes, names, intervals=False):
  """Draws a grid; the last axis goes to the right, the others down.

  A cell's colour runs from chance (pale) to 1, its value is printed inside,
  and it is hatched unless the whole 95 % interval is above chance.

  Args:
    cells: DataFrame, a row a cell: what ablation.csv has. Axes keep the order
      of the rows.
    axes: matplotlib axes.
    names: of the grid's axes.
    intervals: whether they are printed too.
  """
  *down, across = names
  levels = [', '.join(map(str, values)) for values in zip(
      *(cells[n] for n in down))] or [''] * len(cells)
  rows, columns = (list(dict.fromkeys(x)) for x in (levels, cells[across]))
  for level, cell in zip(levels, cells.to_dict('records')):
    at = (columns.index(cell[across]), rows.index(level))
    _draw_cell(axes, at, cell, intervals)
  axes.set_xticks(range(len(columns)), columns)
  axes.set_yticks(range(len(rows)), rows)
  axes.set(xlabel=theme.words(across), ylabel=theme.words(', '.join(down)),
           xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
  axes.grid(False)
  axes.spines[:].set_visible(False)


def _draw_cell(axes, at, cell, intervals):
  chance = cell['chance']
  shade = float(np.clip((cell['value'] - chance) / (1 - chance), 0, 1))
  colour = _COLOURS(0.05 + 0.85 * shade)
  hidden = cell['low'] <= cell['chance']
  axes.add_patch(patches.Rectangle(
      (at[0] - 0.5, at[1] - 0.5), 1, 1, facecolor=colour, edgecolor='#999999',
      linewidth=0, hatch='///' if hidden else None))
  accuracy = chance > 0  # of R² chance is 0
  show = ('{:.0f}' if accuracy else '{:.2f}').format
  text, *bounds = (show(cell[x] * (100 if accuracy else 1)) for x in (
      ('value', 'low', 'high') if intervals else ('value',)))
  if intervals:
    text += f'\n({bounds[0]} – {bounds[1]})'
  axes.text(*at, text, ha='center', va='center', fontsize=8.5,
            color='white' if shade > 0.55 else theme.INK,
            bbox={'facecolor': colour, 'edgecolor': 'none', 'pad': 1.2}
            if hidden else None)
