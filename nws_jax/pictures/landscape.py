"""Pictures of the map of the weight space: paths of networks, by a property."""

from typing import Any, NamedTuple, Sequence

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import lines as mpl_lines

from nws_jax.pictures import population, theme

_PATHS = 200  # networks whose paths are drawn
_GROUPS = 3  # into which the values of a number are divided


class Groups(NamedTuple):
  """The group of each point, and all groups in order with their colours."""
  of: pd.Series
  colours: dict[str, Any]


def list_properties(members: pd.DataFrame) -> list[str]:
  """What the map can be coloured by."""
  names = population.find_varying(members)
  return names + [c for c in ('test_accuracy',) if members[c].nunique() > 1] + [
      'epoch']


def join(places: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
  """A row a snapshot: where it lies, and the network's properties."""
  names = [n for n in list_properties(members) if n != 'epoch']
  return places.merge(members[['id', *names]], on='id', how='inner')


def group(points: pd.DataFrame, name: str) -> Groups:
  """Groups of points that share a value, or a range of values, of a property.
  """
  values = points[name]
  if name == 'epoch':
    return Groups(pd.Series('all networks', points.index),
                  {'all networks': theme.INK})
  if not _is_number(values):
    words = theme.levels(name, values)
    return Groups(values.map(theme.label), {
        theme.label(w): c for w, c in theme.colours(words).items()})
  last = points.drop_duplicates('id', keep='last')[name]
  cuts = np.unique(np.nanquantile(last, np.arange(1, _GROUPS) / _GROUPS))
  bounds = [last.min(), *cuts, last.max()]
  words = [f'{low:.3g} to {high:.3g}' for low, high in zip(bounds, bounds[1:])]
  shades = [theme.RANGED(x) for x in np.linspace(0.1, 0.85, len(words))]
  return Groups(pd.Series(np.array(words)[np.searchsorted(cuts, values)],
                          points.index), dict(zip(words, shades)))


def trace(points: pd.DataFrame, name: str) -> pd.DataFrame:
  """The mean place of each group after each epoch, and its spread."""
  of, colours = group(points, name)
  groups = points.assign(group=of).groupby(['group', 'epoch'], observed=True)
  found = groups.agg(
      x=('x', 'mean'), y=('y', 'mean'), x_deviation=('x', 'std'),
      y_deviation=('y', 'std'), networks=('id', 'nunique')).reset_index()
  order = {w: n for n, w in enumerate(colours)}
  return found.sort_values('group', key=lambda c: c.map(order),
                           kind='stable').reset_index(drop=True)


def draw(points: pd.DataFrame, name: str,
         explained: Sequence[float] | None) -> mpl_figure.Figure:
  """Two panels: the paths of networks, and the mean paths of groups.

  Args:
    points: of `join`.
    name: the property that gives the colours.
    explained: the share of the variance that each axis explains; None where
      axes are not principal components.
  """
  drawn = theme.figure(9.6, 4.9)
  left, right = drawn.subplots(1, 2)
  if name == 'epoch':
    _draw_epochs(drawn, left, points)
  else:
    _draw_paths(left, points, name)
  handles = _draw_means(right, points, name)
  names = ('', '') if explained is None else [
      f'component {n}, {100 * share:.0f} % of the variance'
      for n, share in enumerate(explained, 1)]
  left.set(xlabel=names[0], ylabel=names[1],
           title='every snapshot' if name == 'epoch'
           else 'paths of single networks, and their ends')
  right.set(xlabel=names[0], title='mean paths')
  drawn.legend(handles=handles, loc='outside upper left', ncols=6,
               title=theme.words(name), alignment='left')
  return drawn


def _draw_paths(axes: mpl_axes.Axes, points: pd.DataFrame, name: str) -> None:
  of, colours = group(points, name)
  points = points.assign(colour=of.map(colours))
  ids = points.id.unique()
  some = set(ids[np.arange(min(len(ids), _PATHS)) * len(ids)
                 // min(len(ids), _PATHS)])
  for id, path in points.groupby('id'):
    if id in some:
      axes.plot(path.x, path.y, color=path.colour.iloc[0], linewidth=0.6,
                alpha=0.25)
  last = points.drop_duplicates('id', keep='last')
  axes.scatter(last.x, last.y, s=14, c=last.colour.tolist(), linewidths=0,
               alpha=0.85, zorder=3)


def _draw_epochs(drawn: mpl_figure.Figure, axes: mpl_axes.Axes,
                 points: pd.DataFrame) -> None:
  dots = axes.scatter(points.x, points.y, s=6, c=points.epoch, linewidths=0,
                      cmap=theme.RANGED, alpha=0.7)
  bar = drawn.colorbar(dots, ax=axes, location='bottom', shrink=0.6, pad=0.02)
  bar.set_label('epoch')


def _draw_means(axes: mpl_axes.Axes, points: pd.DataFrame,
                name: str) -> list[mpl_lines.Line2D]:
  """Returns the handles of the legend."""
  means = trace(points, name)
  colours = group(points, name).colours
  handles = []
  for n, (of, colour) in enumerate(colours.items()):
    path = means[means.group == of]
    if not len(path):
      continue
    mark = theme.MARKERS[n % 7]
    handles += axes.plot(path.x, path.y, color=colour, linewidth=1.6,
                         marker=mark, markersize=3.5, label=of)
    end = path.iloc[-1]
    axes.errorbar(end.x, end.y, xerr=end.x_deviation, yerr=end.y_deviation,
                  color=colour, elinewidth=1.1, capsize=2.5, marker=mark,
                  markersize=7.5, markeredgecolor='white', zorder=4)
  begin = means[means.epoch == means.epoch.min()]
  axes.annotate(f'epoch {begin.epoch.iloc[0]}', (begin.x.max(), begin.y.min()),
                (8, -3), textcoords='offset points', fontsize=8,
                color=theme.FAINT)
  return handles


def _is_number(values: pd.Series) -> bool:
  return (pd.api.types.is_float_dtype(values) and values.nunique() > _GROUPS)
