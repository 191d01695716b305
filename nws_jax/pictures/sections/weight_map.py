"""The section with the map of the weight space."""

from typing import Sequence

import pandas as pd

from nws_jax.pictures import landscape, records, theme
from nws_jax.pictures.page import blocks

_TITLE = 'A map of the weight space'


def describe(found: Sequence[records.Explanation], digest: str,
             members: pd.DataFrame, command: str) -> blocks.Section:
  """Describes the first map of this zoo.

  Args:
    found: explanations, in `ranking.order`.
    digest: of the zoo.
    members: of members.csv.
    command: of meta, for this zoo.
  """
  for e in found:
    if e.map is not None and e.digest == digest:
      points = landscape.join(e.map, members)
      if len(points):
        return _show(points, members, e.data['map'])
      break
  return blocks.Section('map', _TITLE, [blocks.Missing(
      'These networks have no map yet. This command makes one:',
      [f'{command} --target=optimizer --explain'])])


def _show(points: pd.DataFrame, members: pd.DataFrame,
          about: dict) -> blocks.Section:
  explained = about['explained_variance']
  parts: list[blocks.Block] = [
      blocks.Text(
          f'{len(points):,} snapshots of {points.id.nunique():,} networks, by '
          'the first two principal components '
          f'({" and ".join(map(theme.percent, explained))} of the variance) of '
          f'{about["columns"]:,} statistics of their tensors, standardised by '
          'median and quartiles. Left: the path of each network from epoch to '
          'epoch. Right: the mean path of networks with something in common.'),
      _choose_colours('map', 'Principal components', points, members, explained)
  ]
  if {'umap_x', 'umap_y'} <= set(points):
    points = points.assign(x=points.umap_x, y=points.umap_y)
    parts.append(_choose_colours('umap', 'UMAP', points, members, None))
  return blocks.Section('map', _TITLE, parts)


def _choose_colours(file: str, title: str, points: pd.DataFrame,
                    members: pd.DataFrame,
                    explained: Sequence[float] | None) -> blocks.Choice:
  """A picture a property."""
  options = []
  for name in landscape.list_properties(members):
    caption = f'{title}, coloured by {theme.words(name)}.'
    options.append(blocks.Option(theme.words(name), blocks.Picture(
        blocks.slug(file, name), f'{caption} The bars are one standard '
        'deviation at the last epoch.', caption,
        landscape.draw(points, name, explained),
        landscape.trace(points, name))))
  return blocks.Choice(f'{file}_points', 'coloured by', options, points)
