"""The main results in one picture."""

from typing import Sequence

import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure

from nws_jax.pictures import (
    heatmap,
    measures,
    ranking,
    readings,
    records,
    spread,
    theme,
)


def draw(members: pd.DataFrame, found: Sequence[records.Result],
         ablations: Sequence[records.Ablation]) -> mpl_figure.Figure:
  """Test accuracy by data set, the forest, and the layer x epoch heat map.

  A panel without data names the command that makes them. The heat map shows
  the property that a single layer at a single epoch reveals best.

  Args:
    members: of members.csv.
    found: results of this zoo, in `ranking.order`.
    ablations: grids of this zoo, in `ranking.order`.
  """
  drawn = theme.figure(13.2, 4.4)
  left, middle, right = drawn.subplots(1, 3, width_ratios=(1, 1.25, 1.6))
  spread.draw_strips(left, members, 'dataset')
  left.set(title=f'{len(members):,} networks, trained at once',
           ylabel='test accuracy')
  middle.set_title('What their weights tell')
  shown = ranking.choose_each(found).shown
  if shown:
    middle.legend(handles=readings.draw_forest(middle, shown), loc='best')
    middle.set_xlabel('accuracy per network, 95 % interval')
  else:
    _leave(middle, 'python -m nws_jax.meta\n--target=optimizer')
  maps = ranking.choose_best(
      [a for a in ablations if set(a.axes) == {'layer', 'epoch'}])
  if maps:
    best = max(maps, key=lambda a: (a.cells.value - a.cells.chance).max())
    heatmap.draw(best.cells, right, best.axes)
    right.set_title(f'Where and when: {theme.words(best.target)}, '
                    + measures.find_scale(best.cells).unit)
  else:
    right.set_title('Where and when')
    _leave(right, 'python -m nws_jax.meta\n--target=optimizer '
           '--ablate=layer,epoch')
  return drawn


def _leave(axes: mpl_axes.Axes, command: str) -> None:
  axes.text(0.5, 0.5, f'not made yet:\n{command}', ha='center', va='center',
            transform=axes.transAxes, color=theme.FAINT, fontsize=8.5)
  axes.set(xticks=[], yticks=[])
