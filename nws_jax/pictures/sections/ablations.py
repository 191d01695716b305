"""The section on where and when a property can be read."""

from typing import Sequence

from nws_jax.pictures import ablation, ranking, records
from nws_jax.pictures.page import blocks
from nws_jax.pictures.sections import grids, notes

_TITLE = 'Where and when'


def describe(found: Sequence[records.Ablation], digest: str,
             command: str) -> blocks.Section:
  """Describes the grids that test models on what they were trained on.

  Args:
    found: grids, in `ranking.order`.
    digest: of the zoo.
    command: of meta, for this zoo.
  """
  shown, others = ranking.choose(
      [a for a in found if not grids.is_transfer(a)],
      lambda a: (a.target, a.classifier, a.axes))
  if not shown:
    return blocks.Section('ablations', _TITLE, [blocks.Missing(
        'No grid over layers and epochs has been computed yet. This command '
        'computes one:', [f'{command} --target=optimizer --ablate=layer,epoch']
        )])
  parts = notes.warn_of_others(shown, digest)
  for a in shown:
    if ablation.fits_map(a.cells, a.axes):
      parts.append(grids.draw_map(a))
    title, file = grids.name(a)
    parts.append(blocks.Picture(
        f'{file}_lines', f'Reading {title}, with 95 % intervals.',
        f'Line plot of {title}.', ablation.draw_lines(a.cells, a.axes),
        a.cells))
  return blocks.Section('ablations', _TITLE, parts + notes.list_others(others))
