"""Pictures of what was read from the weights: results of meta-classifiers."""

import math
from typing import Any, Sequence

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import lines as mpl_lines

from nws_jax.pictures import measures, ranking, records, theme


def draw_forest(axes: mpl_axes.Axes,
                found: Sequence[records.Result]) -> list[mpl_lines.Line2D]:
  """A row a property: value, 95 % interval and chance of each classifier.

  A marker is filled where the interval lies above chance, and hollow where it
  does not. Regressions show R², the others the accuracy per network.

  Returns:
    Handles of the legend.
  """
  targets = list(dict.fromkeys(
      r.target for r in ranking.sort_by_gain(found)))[::-1]  # the best on top
  classifiers = sorted({r.classifier for r in found})
  colour = theme.colours(classifiers)
  step = 0.6 / max(len(classifiers), 2)
  for r in found:
    n = classifiers.index(r.classifier) - (len(classifiers) - 1) / 2
    y, low = targets.index(r.target) - n * step, max(r.main.low, _LEAST)
    axes.plot((low, r.main.high), (y, y), color=colour[r.classifier],
              linewidth=2, solid_capstyle='round')
    axes.plot(max(r.main.value, _LEAST), y, color=colour[r.classifier],
              marker=theme.MARKERS[classifiers.index(r.classifier) % 7],
              markersize=6.5, markeredgewidth=1.4,
              markerfacecolor=None if r.main.above else 'white')
    axes.plot((r.main.chance,) * 2, (targets.index(r.target) - 0.4,
                                     targets.index(r.target) + 0.4),
              color=theme.INK, **_DASHED)
  kinds = {r.target: ' (R²)' if r.scale is measures.R2 else '' for r in found}
  axes.set_yticks(range(len(targets)),
                  [theme.words(t) + kinds[t] for t in targets])
  least = min(0, *(max(r.main.low, _LEAST) for r in found))
  axes.set(xlim=(least - 0.01, 1.01), ylim=(-0.6, len(targets) - 0.4))
  axes.grid(axis='y', visible=False)
  theme.percent_axis(axes.xaxis)
  return [axes.plot([], [], color=colour[c], label=c, linewidth=2,
                    marker=theme.MARKERS[n % 7])[0]
          for n, c in enumerate(classifiers)] + [
              axes.plot([], [], color=theme.INK, label='chance', **_DASHED)[0]]


_DASHED: dict[str, Any] = {'linewidth': 1.4, 'linestyle': (0, (2, 1.5))}
_LEAST = -0.3  # a bad regression's R² has no lower bound


def draw_all(found: Sequence[records.Result]) -> mpl_figure.Figure:
  """The forest as a picture of its own."""
  rows = len({r.target for r in found})
  drawn = theme.figure(9.6, 1.1 + 0.55 * rows)
  axes = drawn.subplots()
  handles = draw_forest(axes, found)
  axes.set_xlabel('accuracy per network (R² where marked), 95 % interval')
  drawn.legend(handles=handles, loc='outside upper left', ncols=7)
  return drawn


def draw_confusions(found: Sequence[records.Result]) -> mpl_figure.Figure:
  """A confusion matrix a result; colours are shares within a true class."""
  across = min(3, len(found))
  down = math.ceil(len(found) / across)
  drawn = theme.figure(3.2 * across, 3.7 * down)
  panels = drawn.subplots(down, across, squeeze=False).ravel()
  for axes, r in zip(panels, found):
    _draw_confusion(axes, np.array(r.data['confusion']),
                    [theme.label(c).replace('_', '\n')
                     for c in r.data['classes']])
    axes.set_title(f'{theme.words(r.target)}\n{r.classifier}')
  for axes in panels[len(found):]:
    axes.set_axis_off()
  return drawn


def _draw_confusion(axes: mpl_axes.Axes, counts_KxK: np.ndarray,
                    classes: Sequence[str]) -> None:
  sums_Kx1 = counts_KxK.sum(axis=1, keepdims=True)
  shares_KxK = counts_KxK / np.maximum(sums_Kx1, 1)
  axes.imshow(shares_KxK, cmap='Blues', vmin=0, vmax=1)
  for (i, j), share in np.ndenumerate(shares_KxK):
    axes.text(j, i, f'{counts_KxK[i, j]:g}', ha='center', va='center',
              color='white' if share > 0.55 else theme.INK, fontsize=8.5)
  axes.set_xticks(range(len(classes)), classes, fontsize=7.5)
  axes.set_yticks(range(len(classes)), classes, fontsize=7.5)
  if len(classes) * max(len(x) for c in classes for x in c.split()) > 32:
    axes.tick_params(axis='x', labelrotation=45)
  axes.set(xlabel='predicted', ylabel='true')
  axes.grid(False)
  axes.spines[:].set_visible(False)


def draw_scatter(result: records.Result,
                 predictions: pd.DataFrame) -> mpl_figure.Figure:
  """A dot a network: its predicted value over its true one."""
  drawn = theme.figure(4.8, 4.4)
  axes = drawn.subplots()
  axes.scatter(predictions.true, predictions.predicted, s=16, alpha=0.6,
               color=theme.COLOURS[0], linewidths=0)
  span = (predictions.true.min(), predictions.true.max())
  axes.plot(span, span, color=theme.INK, linewidth=1, linestyle=theme.DASHES)
  axes.set(xlabel='true', ylabel='predicted',
           title=result.title)
  for axis in (axes.xaxis, axes.yaxis):
    axis.set_major_formatter(lambda x, _: f'{x:g}')
  axes.locator_params(nbins=6)
  return drawn
