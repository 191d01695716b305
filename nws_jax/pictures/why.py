"""Pictures of attributions, and of the weights that are typical of a class."""

import math
from typing import Mapping, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import patches

from nws_jax.pictures import records, theme

ALL = 'all'
_FILTERS = 8  # the most of a network that are shown
_TENSORS = 6  # the most whose distributions are shown


class Tensor(NamedTuple):
  layer: str
  tensor: str


def draw_attribution(explanation: records.Explanation,
                     rows: pd.DataFrame) -> mpl_figure.Figure:
  """Bars of the layers, and a map of layers and tensors.

  Args:
    explanation: what is explained.
    rows: its attribution.
  """
  rows = rows[(rows['class'] == ALL) & (rows.layer != ALL)]
  layers = list(dict.fromkeys(rows.layer))
  tensors = [t for t in dict.fromkeys(rows.tensor) if t != ALL]
  drawn = theme.figure(9.6, 1.5 + 0.42 * len(layers))
  left, right = drawn.subplots(
      1, 2, sharey=True, width_ratios=(1, max(1.0, 0.28 * len(tensors))))
  bars = rows[rows.tensor == ALL].set_index('layer').loc[layers]
  places = np.arange(len(layers))
  left.barh(places, bars.value, height=0.6, color=theme.COLOURS[0])
  left.errorbar(bars.value, places, xerr=(
      bars.value - bars.low, bars.high - bars.value), fmt='none',
      ecolor=theme.INK, elinewidth=1.2, capsize=2.5)
  left.axvline(0, color=theme.INK, linewidth=0.8)
  left.set_yticks(places, layers)
  left.set(xlabel=name_unit(explanation), title='by layer',
           ylim=(len(layers) - 0.5, -0.5))
  left.grid(axis='y', visible=False)
  cells = rows[rows.tensor != ALL]
  most = max(cells.value.abs().max(), 1e-12)
  for cell in cells.to_dict('records'):
    _draw_cell(right, tensors.index(cell['tensor']),
               layers.index(cell['layer']), cell, most)
  right.set_xticks(range(len(tensors)), tensors)
  right.set(xlim=(-0.5, len(tensors) - 0.5), title='by tensor; hatched: the '
            'interval contains 0')
  right.grid(False)
  right.spines[:].set_visible(False)
  return drawn


def _draw_cell(axes: mpl_axes.Axes, column: int, row: int,
               cell: Mapping[str, float], most: float) -> None:
  colour = theme.SIGNED(0.5 + 0.45 * cell['value'] / most)
  hatched = cell['low'] <= 0 <= cell['high']
  axes.add_patch(patches.Rectangle(
      (column - 0.5, row - 0.5), 1, 1, facecolor=colour, edgecolor='#bbbbbb',
      linewidth=0, hatch='///' if hatched else None))
  axes.text(column, row, f'{cell["value"]:.3f}', ha='center', va='center',
            fontsize=8,
            color='white' if abs(cell['value']) > 0.7 * most else theme.INK,
            bbox={'facecolor': colour, 'edgecolor': 'none', 'pad': 1.0}
            if hatched else None)


def name_unit(explanation: records.Explanation) -> str:
  """The unit of attributions."""
  return ('nats of the true class' if explanation.data.get('kind')
          == 'classification' else 'share of the variance')


def draw_positions(explanation: records.Explanation, rows: pd.DataFrame,
                   layers: pd.DataFrame | None) -> mpl_figure.Figure:
  """The attribution along the vector, with its interval.

  Args:
    explanation: what is explained.
    rows: its attribution by position.
    layers: of layers.csv, to mark the layers of the only architecture; None
      where there are several.
  """
  drawn = theme.figure(9.6, 3.0)
  axes = drawn.subplots()
  at = rows.position + 0.5
  axes.fill_between(at, rows.low, rows.high, step='mid', alpha=0.25,
                    color=theme.COLOURS[0], linewidth=0)
  axes.step(at, rows.value, where='mid', color=theme.COLOURS[0], linewidth=1.6)
  axes.axhline(0, color=theme.INK, linewidth=0.8)
  axes.set(xlim=(0, len(rows)), ylabel=name_unit(explanation) + '\nper 1 %',
           xlabel='position along the vector')
  axes.xaxis.set_major_formatter(lambda x, _: f'{x:g} %')
  if layers is not None:
    mark_layers(axes, layers)
  return drawn


def mark_layers(axes: mpl_axes.Axes, layers: pd.DataFrame) -> None:
  """Shades every other layer of one architecture, and names the wide ones."""
  total = layers.stop.max()
  bounds = layers.groupby('layer', sort=False).agg(
      start=('start', 'min'), stop=('stop', 'max')).sort_values('start')
  for n, (name, row) in enumerate(bounds.iterrows()):
    low, high = 100 * row.start / total, 100 * row.stop / total
    if n % 2:
      axes.axvspan(low, high, color='#f0f0f0', zorder=0, linewidth=0)
    if high - low > 4:
      axes.annotate(name, ((low + high) / 2, 1), (0, -4), ha='center', va='top',
                    xycoords=('data', 'axes fraction'), fontsize=8,
                    textcoords='offset points', color=theme.FAINT)


def choose_tensors(explanation: records.Explanation,
                   prototypes: pd.DataFrame) -> list[Tensor]:
  """The tensors with the largest attribution, or else the first kernels."""
  rows = explanation.attribution
  if rows is None:
    rows = prototypes[prototypes.tensor == 'kernel']
  else:
    rows = rows[(rows['class'] == ALL) & (rows.tensor != ALL)].sort_values(
        'value', ascending=False)
  return list(dict.fromkeys(map(Tensor, rows.layer, rows.tensor)))[:_TENSORS]


def draw_prototypes(explanation: records.Explanation,
                    rows: pd.DataFrame) -> mpl_figure.Figure:
  """The distribution of a tensor's values in each class, a panel a tensor.

  Args:
    explanation: what is explained.
    rows: its prototypes.
  """
  shown = choose_tensors(explanation, rows)
  across = min(3, len(shown))
  down = math.ceil(len(shown) / across)
  drawn = theme.figure(9.6, 0.5 + 2.5 * down)
  panels = drawn.subplots(down, across, squeeze=False, sharey=True).ravel()
  colour = theme.colours(explanation.classes)
  rows = rows[rows.level.between(0.01, 0.99)]
  for axes, (layer, tensor) in zip(panels, shown):
    of_it = rows[(rows.layer == layer) & (rows.tensor == tensor)]
    for n, name in enumerate(explanation.classes):
      part = of_it[of_it['class'] == name]
      axes.fill_betweenx(part.level, part.low, part.high, color=colour[name],
                         alpha=0.2, linewidth=0)
      axes.plot(part.value, part.level, color=colour[name], linewidth=1.8,
                marker=theme.MARKERS[n % 7], markersize=4,
                label=theme.label(name))
    axes.set_title(f'{layer} {tensor}')
    axes.locator_params(axis='x', nbins=5)
    theme.percent_axis(axes.yaxis)
  for axes in panels[len(shown):]:
    axes.set_axis_off()
  for axes in panels[::across]:
    axes.set_ylabel('share of values below')
  for axes in panels[max(0, len(shown) - across):len(shown)]:
    axes.set_xlabel('value of a weight')
  handles, labels = panels[0].get_legend_handles_labels()
  drawn.legend(handles, labels, loc='outside upper left', ncols=7)
  return drawn


def draw_filters(explanation: records.Explanation,
                 rows: pd.DataFrame) -> mpl_figure.Figure:
  """First-layer filters of the most typical network of each class, a row each.

  Args:
    explanation: what is explained.
    rows: its filters.
  """
  names = [c for c in explanation.classes if c in set(rows['class'])]
  count = min(_FILTERS, rows['filter'].max() + 1)
  drawn = theme.figure(1.8 + 0.9 * count, 0.2 + 0.95 * len(names))
  panels = drawn.subplots(len(names), count, squeeze=False)
  for line, name in zip(panels, names):
    mine = rows[rows['class'] == name]
    summed = mine.groupby(['filter', 'row', 'column']).weight.sum()
    most = max(summed.abs().max(), 1e-12)
    for n, axes in enumerate(line):
      if n in summed.index.get_level_values('filter'):
        axes.imshow(summed.loc[n].unstack(), cmap=theme.SIGNED, vmin=-most,
                    vmax=most)
      axes.set(xticks=[], yticks=[])
      axes.grid(False)
      axes.spines[:].set_visible(False)
    line[0].set_ylabel(
        f'{theme.label(name)}\nnetwork {mine.id.iloc[0]}\n'
        f'up to ±{most:.2g}', rotation=0, ha='right', va='center',
        fontsize=8.5)
  return drawn
