"""The section on what else could explain what is read."""

from typing import Sequence

from nws_jax.pictures import measures, ranking, records, tables
from nws_jax.pictures.page import blocks

_TITLE = 'What else could explain it'


def describe(found: Sequence[records.Result], command: str) -> blocks.Section:
  """Describes controls.

  Args:
    found: results, in `ranking.order`.
    command: of meta, for this zoo.
  """
  shown = ranking.sort_by_gain([
      r for r in ranking.choose_each(found).shown
      if set(r.controls) - {'majority'}])
  if not shown:
    return blocks.Section('controls', _TITLE, [blocks.Missing(
        'No result has controls yet. This command makes one with all of them:',
        [f'{command} --target=optimizer --controls'])])
  warnings: list[blocks.Block] = [
      blocks.Notice(f'{r.title}: {warning}') for r in shown
      for warning in r.data.get('warnings', [])]
  left_out = '; '.join(
      f'{r.title}: {name}, {reason}' for r in shown
      for name, reason in r.data.get('controls_left_out', {}).items())
  return blocks.Section('controls', _TITLE, [
      *(warnings or [blocks.Text('No control explains a score.')]),
      *_tabulate(shown),
      *([blocks.Text(f'Controls left out: {left_out}.')] if left_out else [])])


def _tabulate(shown: Sequence[records.Result]) -> list[blocks.Block]:
  """A table of the controls on each scale."""
  parts: list[blocks.Block] = []
  for scale in measures.SCALES:
    table = tables.tabulate_controls(shown, scale)
    if len(table):
      parts.append(blocks.Table(
          f'controls_{scale.column}', 'Controls with 95 % intervals, each '
          'beside its own chance. p value: of the score, among the scores with '
          'shuffled labels. Difference p: of the difference between the '
          'control and the score.', table, dict.fromkeys(
              ('value', 'low', 'high', 'chance'), scale.in_table)))
  return parts
