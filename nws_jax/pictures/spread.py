"""Pictures of the population: test accuracy, and how it develops."""

import math
from typing import Any, Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure

from nws_jax import space
from nws_jax.pictures import population, theme

DOTS = 2000  # the most that a panel shows
_THIN = {'color': theme.INK, 'linewidth': 0.9}


def draw_histogram(members: pd.DataFrame) -> mpl_figure.Figure:
  """Networks by test accuracy, data sets stacked."""
  drawn = theme.figure(9.6, 3.2)
  axes = drawn.subplots()
  sets = theme.levels('dataset', members.dataset)
  values = [members.test_accuracy[members.dataset == s].dropna() for s in sets]
  axes.hist(values, bins=np.linspace(0, 1, 41).tolist(), stacked=True,
            label=sets, color=[theme.colours(sets)[s] for s in sets],
            edgecolor='white', linewidth=0.5)
  _mark_chance(axes.axvline)
  axes.set(xlim=(0, 1), xlabel='test accuracy', ylabel='networks')
  theme.percent_axis(axes.xaxis)
  axes.locator_params(axis='y', integer=True)
  axes.grid(axis='x', visible=False)
  drawn.legend(loc='outside upper left', ncols=7)
  return drawn


def draw_properties(members: pd.DataFrame) -> mpl_figure.Figure:
  """A panel a varying property: test accuracy by its value."""
  names = population.find_varying(members)
  across = min(3, len(names))
  down = math.ceil(len(names) / across)
  drawn = theme.figure(9.6, 2.7 * down + 0.4)
  panels = drawn.subplots(down, across, sharey=True, squeeze=False).ravel()
  for axes, name in zip(panels, names):
    (draw_rates if population.is_continuous(members, name) else draw_strips)(
        axes, members, name)
    axes.set_title(theme.words(name))
  for axes in panels[len(names):]:
    axes.set_axis_off()
  _name_sets(drawn, panels[0], members)
  return drawn


def draw_strips(axes: mpl_axes.Axes, members: pd.DataFrame,
                name: str) -> None:
  """A dot a network, coloured by data set, and a box a value."""
  rng = np.random.default_rng(0)  # jitter, so that dots do not hide each other
  values = theme.levels(name, members[name])
  rows = members[members.test_accuracy.notna()]
  place = rows[name].map({v: i for i, v in enumerate(values)}).astype(float)
  _dot(axes, place + rng.uniform(-0.3, 0.3, len(rows)), rows)
  axes.boxplot(
      [rows.test_accuracy[rows[name] == v] for v in values],
      positions=range(len(values)), widths=0.66, showfliers=False, zorder=3,
      medianprops={'color': theme.INK, 'linewidth': 2}, boxprops=_THIN,
      whiskerprops=_THIN, capprops=_THIN)
  axes.set_xticks(range(len(values)), [_wrap(v) for v in values])
  axes.grid(axis='x', visible=False)
  _finish(axes)


def draw_rates(axes: mpl_axes.Axes, members: pd.DataFrame, name: str) -> None:
  """A dot a network by a continuous property; running medians of each set."""
  rows = members[members.test_accuracy.notna()]
  _dot(axes, rows[name], rows)
  sets = theme.levels('dataset', members.dataset)
  for s in sets:
    part = rows[rows.dataset == s].sort_values(name)
    parts = [part.iloc[i] for i in np.array_split(
        np.arange(len(part)), max(1, min(6, len(part) // 10))) if len(i)]
    axes.plot([p[name].median() for p in parts],
              [p.test_accuracy.median() for p in parts],
              color=theme.colours(sets)[s], linewidth=2, zorder=3)
  axes.xaxis.set_major_formatter(lambda x, _: f'{x:g}')
  axes.locator_params(axis='x', nbins=5)
  _finish(axes)


def draw_curves(members: pd.DataFrame, metrics: pd.DataFrame,
                names: Sequence[str]) -> mpl_figure.Figure:
  """Medians and quartiles by epoch: a column a data set, a row a property.

  The first row takes all networks of a set together. More than two bands of
  quartiles would hide each other: then there are none.
  """
  sets = theme.levels('dataset', members.dataset)
  drawn = theme.figure(9.6, 2.3 * (len(names) + 1) + 0.2)
  panels = drawn.subplots(len(names) + 1, len(sets), sharex=True, sharey=True,
                          squeeze=False)
  for row, name in zip(panels, ('dataset', *names)):
    curves = population.trace_curves(members, metrics, name)
    colour = theme.colours(theme.levels(name, members[name]))
    for axes, s in zip(row, sets):
      shown = {s: colour[s]} if name == 'dataset' else colour
      for value in shown:
        part = curves[(curves.dataset == s) & (curves[name] == value)]
        _draw_curve(axes, part, theme.label(value), colour[value],
                    band=len(shown) < 3)
      axes.set_title(s if name == 'dataset' else '')
      _finish(axes)
    row[0].set_ylabel('test accuracy')
    if name != 'dataset':  # the titles name the sets
      row[-1].legend(title=theme.words(name), alignment='left',
                     loc='center left', bbox_to_anchor=(1.02, 0.5))
  for axes in panels[-1]:
    axes.set_xlabel('epoch')
    axes.locator_params(axis='x', integer=True)
  return drawn


def _draw_curve(axes: mpl_axes.Axes, part: pd.DataFrame, name: str, colour: str,
                *, band: bool) -> None:
  if band:
    axes.fill_between(part.epoch, part.lower_quartile, part.upper_quartile,
                      color=colour, alpha=0.15, linewidth=0)
  axes.plot(part.epoch, part['median'], color=colour, linewidth=1.8, label=name,
            marker='.' if len(part) == 1 else None)


def _dot(axes: mpl_axes.Axes, x: pd.Series, rows: pd.DataFrame) -> None:
  sets = theme.levels('dataset', rows.dataset)
  rows = rows.sample(min(len(rows), DOTS), random_state=0)
  small = len(rows) > 1000
  axes.scatter(x[rows.index], rows.test_accuracy, s=5 if small else 14,
               c=rows.dataset.map(theme.colours(sets)).tolist(),
               alpha=0.5 if small else 0.55, linewidths=0, zorder=2)


def _name_sets(drawn: mpl_figure.Figure, axes: mpl_axes.Axes,
               members: pd.DataFrame) -> None:
  sets = theme.levels('dataset', members.dataset)
  handles = [axes.scatter([], [], color=c, s=30, label=s)
             for s, c in theme.colours(sets).items()]
  drawn.legend(handles=handles, loc='outside upper left', ncols=7)


def _finish(axes: mpl_axes.Axes) -> None:
  _mark_chance(axes.axhline)
  axes.set_ylim(0, 1.02)
  theme.percent_axis(axes.yaxis)


def _mark_chance(line: Callable[..., Any]) -> None:
  line(space.CHANCE, color=theme.INK, linewidth=1, linestyle=theme.DASHES,
       zorder=1.5)


def _wrap(value: object) -> str:
  return theme.label(value).replace('_', '\n')
