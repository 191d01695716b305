"""Pictures of the map of the weight space: every network's way, by a property.
"""

import numpy as np
import pandas as pd

from nws_jax.pictures import population, theme

_WAYS = 200  # networks whose ways are drawn
_GROUPS = 3  # of a property that is a number


def list_properties(members):
  """What the map can be coloured by."""
  names = population.find_varying(members)
  return names + [c for c in ('test_accuracy',) if members[c].nunique() > 1] + [
      'epoch']


def join(places, members):
  """A row a snapshot: where it lies, and the network's properties."""
  names = [n for n in list_properties(members) if n != 'epoch']
  return places.merge(members[['id', *names]], on='id', how='inner')


def group(points, name):
  """(name of each point's group, the groups in order, with their colours)."""
  values = points[name]
  if name == 'epoch':
    return pd.Series('all networks', points.index), {
        'all networks': theme.INK}
  if not _is_number(values):
    words = theme.levels(name, values)
    return (values.map(theme.label), {theme.label(w): c for w, c in
                                      theme.colours(words).items()})
  last = points.drop_duplicates('id', keep='last')[name]
  cuts = np.unique(np.nanquantile(last, np.arange(1, _GROUPS) / _GROUPS))
  bounds = [last.min(), *cuts, last.max()]
  words = [f'{low:.3g} to {high:.3g}' for low, high in zip(bounds, bounds[1:])]
  shades = [theme.RANGED(x) for x in np.linspace(0.1, 0.85, len(words))]
  return (pd.Series(np.array(words)[np.searchsorted(cuts, values)],
                    points.index), dict(zip(words, shades)))


def trace(points, name):
  """The mean place of each group after each epoch, and its spread."""
  of, colours = group(points, name)
  groups = points.assign(group=of).groupby(['group', 'epoch'], observed=True)
  found = groups.agg(
      x=('x', 'mean'), y=('y', 'mean'), x_deviation=('x', 'std'),
      y_deviation=('y', 'std'), networks=('id', 'nunique')).reset_index()
  order = {w: n for n, w in enumerate(colours)}
  return found.sort_values('group', key=lambda c: c.map(order),
                           kind='stable').reset_index(drop=True)


def draw(points, name, explained):
  """Two panels: every network's way, and the groups' mean ways.

  Args:
    points: of `join`.
    name: the property that tells the colours.
    explained: shares of the variance of both axes; None if they are none.
  """
  drawn = theme.figure(9.6, 4.9)
  left, right = drawn.subplots(1, 2)
  if name == 'epoch':
    _draw_epochs(drawn, left, points)
  else:
    _draw_ways(left, points, name)
  handles = _draw_means(right, points, name)
  names = ('', '') if explained is None else [
      f'component {n}, {100 * share:.0f} % of the variance'
      for n, share in enumerate(explained, 1)]
  left.set(xlabel=names[0], ylabel=names[1],
           title='every snapshot' if name == 'epoch'
           else 'ways of single networks, and where they end')
  right.set(xlabel=names[0], title='mean ways')
  drawn.legend(handles=handles, loc='outside upper left', ncols=6,
               title=theme.words(name), alignment='left')
  return drawn


def _draw_ways(axes, points, name):
  of, colours = group(points, name)
  points = points.assign(colour=of.map(colours))
  ids = points.id.unique()
  some = set(ids[np.arange(min(len(ids), _WAYS)) * len(ids)
                 // min(len(ids), _WAYS)])
  for id, way in points.groupby('id'):
    if id in some:
      axes.plot(way.x, way.y, color=way.colour.iloc[0], linewidth=0.6,
                alpha=0.25)
  last = points.drop_duplicates('id', keep='last')
  axes.scatter(last.x, last.y, s=14, c=last.colour.tolist(), linewidths=0,
               alpha=0.85, zorder=3)


def _draw_epochs(drawn, axes, points):
  dots = axes.scatter(points.x, points.y, s=6, c=points.epoch, linewidths=0,
                      cmap=theme.RANGED, alpha=0.7)
  bar = drawn.colorbar(dots, ax=axes, location='bottom', shrink=0.6, pad=0.02)
  bar.set_label('epoch')


def _draw_means(axes, points, name):
  means = trace(points, name)
  colours = group(points, name)[1]
  handles = []
  for n, (of, colour) in enumerate(colours.items()):
    way = means[means.group == of]
    if not len(way):
      continue
    mark = theme.MARKERS[n % 7]
    handles += axes.plot(way.x, way.y, color=colour, linewidth=1.6,
                         marker=mark, markersize=3.5, label=of)
    end = way.iloc[-1]
    axes.errorbar(end.x, end.y, xerr=end.x_deviation, yerr=end.y_deviation,
                  color=colour, elinewidth=1.1, capsize=2.5, marker=mark,
                  markersize=7.5, markeredgecolor='white', zorder=4)
  begin = means[means.epoch == means.epoch.min()]
  axes.annotate(f'epoch {begin.epoch.iloc[0]}', (begin.x.max(), begin.y.min()),
                (8, -3), textcoords='offset points', fontsize=8,
                color=theme.FAINT)
  return handles


def _is_number(values):
  return (pd.api.types.is_float_dtype(values) and values.nunique() > _GROUPS)
