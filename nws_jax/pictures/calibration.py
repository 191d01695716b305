"""Whether predicted probabilities are true: reliability curves."""

import math
import statistics
from typing import Sequence

import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure

from nws_jax.pictures import records, theme


def tabulate(found: Sequence[records.Result]) -> pd.DataFrame:
  """One row a result: expected calibration error and loss.

  The error is that after a temperature was fitted, and the uncalibrated one
  that before.
  """
  return pd.DataFrame([
      {'property': r.target, 'classifier': r.classifier,
       'calibration_error': float(r.data['calibration']['error']),
       'error_if_true': float(r.data['calibration']['if_true'][0]),
       'uncalibrated_error': float(
           r.data['calibration']['uncalibrated']['error']),
       'temperature': statistics.fmean(
           r.data['calibration']['temperatures']),
       'loss': float(r.data['calibration']['loss']),
       'loss_of_guessing': math.log(len(r.data['classes']))}
      for r in found])


def tabulate_curves(found: Sequence[records.Result]) -> pd.DataFrame:
  """One row a bin of every reliability curve."""
  rows = []
  for r in found:
    about = r.data['calibration']
    for of, part in (('calibrated', about), ('raw', about['uncalibrated'])):
      for point in part['curve']:
        low, high = point.get('interval', (math.nan, math.nan))
        rows.append({
            'property': r.target, 'classifier': r.classifier, 'of': of,
            **{k: point[k] for k in ('networks', 'probability', 'accuracy')},
            'low': low, 'high': high})
  return pd.DataFrame(rows)


def draw(found: Sequence[records.Result]) -> mpl_figure.Figure:
  """A panel a result: accuracy over predicted probability."""
  across = min(3, len(found))
  down = math.ceil(len(found) / across)
  drawn = theme.figure(3.2 * across, 0.4 + 3.1 * down)
  panels = drawn.subplots(down, across, squeeze=False, sharex=True,
                          sharey=True).ravel()
  drawn.set_layout_engine('constrained', w_pad=0.12)
  points = tabulate_curves(found)
  for axes, r in zip(panels, found):
    mine = points[(points.property == r.target)
                  & (points.classifier == r.classifier)]
    axes.plot((0, 1), (0, 1), color=theme.INK, linewidth=1,
              linestyle=theme.DASHES)
    _draw_curve(axes, mine[mine.of == 'raw'], theme.FAINT, 'raw', hollow=True)
    _draw_curve(axes, mine[mine.of == 'calibrated'], theme.COLOURS[0],
                'with temperature', hollow=False)
    error = r.data['calibration']['error']
    axes.set_title(f'{r.title}\nerror {error:.3f}')
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xticks=(0, 0.5, 1))
    theme.percent_axis(axes.xaxis)
    theme.percent_axis(axes.yaxis)
  for axes in panels[len(found):]:
    axes.set_axis_off()
  for axes in panels[::across]:
    axes.set_ylabel('accuracy')
  for axes in panels[max(0, len(found) - across):len(found)]:
    axes.set_xlabel('predicted probability')
    axes.tick_params(labelbottom=True)
  drawn.legend(*panels[0].get_legend_handles_labels(),
               loc='outside upper left', ncols=2)
  return drawn


def _draw_curve(axes: mpl_axes.Axes, rows: pd.DataFrame, colour: str, name: str,
                *, hollow: bool) -> None:
  if not hollow and rows.low.notna().any():
    axes.vlines(rows.probability, rows.low, rows.high, color=colour,
                linewidth=1.2, alpha=0.6)
  axes.plot(rows.probability, rows.accuracy, color=colour, linewidth=1.2,
            label=name)
  axes.scatter(rows.probability, rows.accuracy, zorder=3, edgecolors=colour,
               s=8 + 130 * rows.networks / max(rows.networks.sum(), 1),
               facecolors='white' if hollow else colour, linewidths=1.1)
