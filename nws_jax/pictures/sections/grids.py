"""How sections name and draw an ablation."""

from typing import NamedTuple

from nws_jax.pictures import heatmap, measures, records, theme
from nws_jax.pictures.page import blocks


class Name(NamedTuple):
  title: str
  file: str


def is_transfer(grid: records.Ablation) -> bool:
  """Whether models are tested on what they were not trained on."""
  return bool({'train_epoch', 'hold_out'} & set(grid.axes))


def name(grid: records.Ablation) -> Name:
  axes = ' × '.join(map(theme.words, grid.axes))
  return Name(
      f'{theme.words(grid.target)} by {axes}, {grid.classifier}',
      blocks.slug('ablation', grid.target, grid.classifier, *grid.axes))


def draw_map(grid: records.Ablation) -> blocks.Picture:
  title, file = name(grid)
  unit = measures.find_scale(grid.cells).unit
  return blocks.Picture(
      f'{file}_map', f'Reading {title}: {unit}. Hatched: the 95 % interval '
      'contains chance.', f'Heat map of {title}.',
      heatmap.draw_alone(grid.cells, grid.axes), grid.cells)
