"""The section on transfer: to other epochs, and to levels held out."""

from typing import Sequence

from nws_jax.pictures import (
    ablation,
    measures,
    ranking,
    records,
    theme,
    transfer,
)
from nws_jax.pictures.page import blocks
from nws_jax.pictures.sections import grids, notes

_TITLE = 'Transfer'
_FIGURES = ('value', 'low', 'high', 'chance', 'seen_value', 'seen_low',
            'seen_high')


def describe(found: Sequence[records.Ablation], digest: str,
             command: str) -> blocks.Section:
  """Describes the grids that test models on what they were not trained on.

  Args:
    found: grids, in `ranking.order`.
    digest: of the zoo.
    command: of meta, for this zoo.
  """
  shown, others = ranking.choose(
      [a for a in found if grids.is_transfer(a)],
      lambda a: (a.target, a.classifier, a.axes, a.held_out))
  if not shown:
    return blocks.Section('transfer', _TITLE, [blocks.Missing(
        'No classifier has been tested yet at an epoch, or on a data set, that '
        'it was not trained on. These commands do so:',
        [f'{command} --target=optimizer --ablate=train_epoch,epoch',
         f'{command} --target=optimizer --ablate=hold_out '
         '--hold_out=dataset'])])
  parts = notes.warn_of_others(shown, digest)
  for a in shown:
    parts += _show_levels(a) if 'hold_out' in a.axes else [grids.draw_map(a)]
  return blocks.Section('transfer', _TITLE, parts + notes.list_others(others))


def _show_levels(a: records.Ablation) -> list[blocks.Block]:
  """The picture and the table of a grid whose levels were held out in turn."""
  title, file = grids.name(a)
  title = f'{title}, levels of {theme.words(a.held_out)} held out'
  file = blocks.slug(file, a.held_out)
  parts: list[blocks.Block] = []
  if a.axes == ('hold_out',):
    parts.append(blocks.Picture(
        file, f'Reading {title}: by models trained on the other levels, and, '
        'for the same networks, by models trained on this level too.',
        f'Dot plot of {title}.', transfer.draw_held_out(a.cells)))
  elif ablation.fits_map(a.cells, a.axes):
    parts.append(grids.draw_map(a))
  columns = (*_FIGURES[:4], 'above_chance', 'networks', *_FIGURES[4:], 'seen_p')
  scale = measures.find_scale(a.cells)
  return [*parts, blocks.Table(
      f'{file}_table', f'Reading {title}. Seen: the same networks, read by '
      'models trained on their level too, with the p-value of the difference.',
      a.cells[[*a.axes, *(c for c in columns if c in a.cells)]], {
          **dict.fromkeys(_FIGURES, scale.in_table),
          'above_chance': notes.mark_above})]
