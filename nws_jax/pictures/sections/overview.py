"""The section with the tables of all properties."""

from typing import Sequence

from nws_jax.pictures import overview, records
from nws_jax.pictures.page import blocks

_HOW_MUCH = (
    'How much: the score per network (accuracy, or R² for numbers) with its '
    '95 % interval, and chance. Then the score before training (epoch 0), '
    'without the running statistics of batch norm, at equal accuracy, at equal '
    'numbers of updates, and from the norm or the number of the weights alone; '
    'and the p-value of the score among shuffled labels. Readings have the '
    'default settings, or else those nearest to them: settings names what '
    'differs.')
_WHERE = (
    'Where and when: the layer that alone tells most at the last epoch; the '
    'same if the windows of all layers are equally long; and the first epoch '
    'from which on some layer is above chance at every epoch, after Holm\'s '
    'correction over the grid.')


def describe(found: Sequence[records.Result],
             grids: Sequence[records.Ablation]) -> blocks.Section | None:
  """Describes what `overview.tabulate` finds; None if nothing was read."""
  table = overview.tabulate(found, grids)
  if not len(table):
    return None
  formats = dict.fromkeys(
      set(table.columns) - overview.WORDS, overview.write_number)
  cut = list(table).index('layer') if 'layer' in table else len(table.columns)
  parts = [blocks.Table('overview', _HOW_MUCH, table.iloc[:, :cut], formats)]
  if cut < len(table.columns):
    where = table.iloc[:, [0, *range(cut, len(table.columns))]]
    parts.append(blocks.Table('overview_where', _WHERE,
                              where.dropna(subset=['layer']), formats))
  return blocks.Section('overview', 'How much, where and when', parts)
