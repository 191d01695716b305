"""Pictures of transfer: levels that no training network had."""

from typing import NamedTuple

import pandas as pd
from matplotlib import figure as mpl_figure

from nws_jax.pictures import measures, theme


class _Kind(NamedTuple):
  name: str
  prefix: str  # of its columns
  shift: float  # along the vertical axis


_KINDS = (_Kind('trained without this level', '', 0.14),
          _Kind('trained with this level', 'seen_', -0.14))


def draw_held_out(cells: pd.DataFrame) -> mpl_figure.Figure:
  """A row a held-out level: scores of models trained without it and with it."""
  levels = cells.hold_out.astype(str).tolist()
  drawn = theme.figure(9.6, 1.3 + 0.5 * len(levels))
  axes = drawn.subplots()
  kinds = _KINDS if 'seen_value' in cells else _KINDS[:1]
  for n, kind in enumerate(kinds):
    value, low, high = (
        cells[kind.prefix + x] for x in ('value', 'low', 'high'))
    at = [len(levels) - 1 - i + kind.shift for i in range(len(levels))]
    axes.errorbar(value, at, xerr=(value - low, high - value), fmt='none',
                  ecolor=theme.COLOURS[n], elinewidth=2)
    axes.scatter(value, at, s=46, marker=theme.MARKERS[n], zorder=3,
                 color=theme.COLOURS[n], label=kind.name)
  for i, chance in enumerate(cells.chance):
    y = len(levels) - 1 - i
    axes.plot((chance, chance), (y - 0.35, y + 0.35), color=theme.INK,
              linewidth=1.4, linestyle=(0, (2, 1.5)),
              label=None if i else 'chance')
  axes.set_yticks(range(len(levels)), levels[::-1])
  scale = measures.find_scale(cells)
  least = min(0, max(-0.5, cells.low.min()))
  axes.set(ylabel='held out', ylim=(-0.6, len(levels) - 0.4),
           xlim=(least, 1.01), xlabel=f'{scale.title}, 95 % interval')
  scale.in_axis(axes.xaxis)
  axes.grid(axis='y', visible=False)
  drawn.legend(loc='outside upper left', ncols=3)
  return drawn
