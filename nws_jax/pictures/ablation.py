"""Pictures of an ablation: where and when a property can be read."""

import pandas as pd

from nws_jax.pictures import theme

_ORDERED = ('epoch', 'train_epoch', 'window', 'position')  # make an x axis


def draw_lines(ablation):
  """A line a level of the other axes over the ordered one, with intervals."""
  x = next((a for a in _ORDERED if a in ablation.axes), ablation.axes[0])
  others = [a for a in ablation.axes if a != x]
  cells = ablation.cells
  places, names = _place(cells[x])
  drawn = theme.figure(9.6, 3.8)
  axes = drawn.subplots()
  groups = cells.groupby(others, sort=False) if others else [('', cells)]
  for n, (key, part) in enumerate(groups):
    name = ', '.join(map(str, key)) if isinstance(key, tuple) else key
    at = places[part.index]
    order = at.argsort()
    colour = theme.COLOURS[n % len(theme.COLOURS)]
    axes.fill_between(at.iloc[order], part.low.iloc[order],
                      part.high.iloc[order], color=colour, alpha=0.1,
                      linewidth=0)
    axes.plot(at.iloc[order], part.value.iloc[order], color=colour,
              marker=theme.MARKERS[n % 7], markersize=5, linewidth=1.8,
              label=name)
  axes.plot(*_chance(cells, places), color=theme.INK, linewidth=1,
            linestyle=(0, (2, 2)), label='chance')
  if names is not None:
    axes.set_xticks(range(len(names)), names)
  accuracy = cells.chance.max() > 0  # of R² chance is 0
  axes.set(xlabel=theme.words(x),
           ylabel='accuracy per network' if accuracy else 'R²',
           ylim=(0 if accuracy else max(-0.3, min(0, cells.low.min())), 1.02))
  if accuracy:
    theme.percent_axis(axes.yaxis)
  axes.legend(title=theme.words(', '.join(others)) or None, alignment='left',
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
