"""The heat map of an ablation: how well each cell of a grid can be read."""

from typing import Mapping, NamedTuple, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import patches

from nws_jax.pictures import measures, theme

_COLOURS = matplotlib.colormaps['YlGnBu']


class _Place(NamedTuple):
  column: int
  row: int


def draw_alone(cells: pd.DataFrame, names: Sequence[str]) -> mpl_figure.Figure:
  """The heat map as a picture of its own."""
  rows = len(cells[list(names[:-1])].drop_duplicates())
  drawn = theme.figure(9.6, 0.9 + 0.45 * rows)
  draw(cells, drawn.subplots(), names)
  return drawn


def draw(cells: pd.DataFrame, axes: mpl_axes.Axes, names: Sequence[str],
         intervals: bool = False) -> None:
  """Draws a grid; the last axis runs to the right, the others down.

  A cell's colour runs from chance (pale) to 1. Its value stands in it, and it
  is hatched unless its whole 95 % interval is above chance.

  Args:
    cells: a row a cell, with the columns of ablation.csv. Axes keep the order
      of the rows.
    axes: where to draw.
    names: of the grid's axes.
    intervals: whether to print the intervals too.
  """
  *down, across = names
  levels = [', '.join(map(str, values)) for values in zip(
      *(cells[n] for n in down))] or [''] * len(cells)
  rows, columns = (list(dict.fromkeys(x)) for x in (levels, cells[across]))
  scale = measures.find_scale(cells)
  for level, cell in zip(levels, cells.to_dict('records')):
    place = _Place(columns.index(cell[across]), rows.index(level))
    figures = ('value', 'low', 'high') if intervals else ('value',)
    text, *bounds = (scale.in_cell(cell[f]) for f in figures)
    _draw_cell(axes, place, cell,
               text + (f'\n({" – ".join(bounds)})' if bounds else ''))
  axes.set_xticks(range(len(columns)), columns)
  axes.set_yticks(range(len(rows)), rows)
  axes.set(xlabel=theme.words(across), ylabel=theme.words(', '.join(down)),
           xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
  axes.grid(False)
  axes.spines[:].set_visible(False)


def _draw_cell(axes: mpl_axes.Axes, place: _Place, cell: Mapping[str, float],
               text: str) -> None:
  chance = cell['chance']
  shade = float(np.clip((cell['value'] - chance) / (1 - chance), 0, 1))
  colour = _COLOURS(0.05 + 0.85 * shade)
  hatched = not measures.is_above(cell['low'], chance)
  axes.add_patch(patches.Rectangle(
      (place.column - 0.5, place.row - 0.5), 1, 1, facecolor=colour,
      edgecolor='#999999', linewidth=0, hatch='///' if hatched else None))
  axes.text(*place, text, ha='center', va='center', fontsize=8.5,
            color='white' if shade > 0.55 else theme.INK,
            bbox={'facecolor': colour, 'edgecolor': 'none', 'pad': 1.2}
            if hatched else None)
