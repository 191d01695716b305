"""The section on what meta-classifiers read from the weights."""

from typing import Sequence

from nws_jax.pictures import (
    heatmap,
    measures,
    ranking,
    readings,
    records,
    results,
    tables,
    theme,
)
from nws_jax.pictures.page import blocks
from nws_jax.pictures.sections import notes

_TITLE = 'What the weights tell'


def describe(found: Sequence[records.Result], digest: str,
             command: str) -> blocks.Section:
  """Describes readings.

  Args:
    found: results, in `ranking.order`.
    digest: of the zoo.
    command: of meta, for this zoo.
  """
  if not found:
    return blocks.Section('readings', _TITLE, [blocks.Missing(
        'No property has been read from these weights yet. This command reads '
        'one:', [f'{command} --target=optimizer'])])
  shown, others = ranking.choose_each(found)
  shown, others = ranking.sort_by_gain(shown), ranking.sort_by_gain(others)
  return blocks.Section('readings', _TITLE, [
      *notes.warn_of_others(shown, digest),
      blocks.Text(_sum_up(ranking.choose_best(found))),
      blocks.Picture(
          'readings', 'What can be read from the weights. Filled: above '
          'chance. Hollow: the 95 % interval contains chance.', 'Forest plot '
          'of the values in the next table.', readings.draw_all(shown)),
      *_draw_ladders(shown), *_tabulate(shown),
      *_tabulate_others(others, digest), *_draw_confusions(shown),
      *_draw_scatters(shown)])


def _sum_up(best: Sequence[records.Result]) -> str:
  best = ranking.sort_by_gain(best)
  above = [f'{theme.words(r.target)} (R² {r.main.value:.2f})'
           if r.scale is measures.R2 else
           f'{theme.words(r.target)} ({theme.percent(r.main.value)}; chance: '
           f'{theme.percent(r.main.chance)})' for r in best if r.main.above]
  below = [theme.words(r.target) for r in best if not r.main.above]
  text = f'Read above chance: {", ".join(above) or "nothing"}.'
  return text + (f' Not above chance: {", ".join(below)}.' if below else '')


def _draw_ladders(shown: Sequence[records.Result]) -> list[blocks.Block]:
  """Heat maps of properties by classifiers, where there are several of them."""
  parts: list[blocks.Block] = []
  for scale in measures.SCALES:
    table = tables.tabulate_ladder(shown, scale)
    if len(table) and table.classifier.nunique() > 1:
      drawn = theme.figure(1.9 + 1.05 * table.classifier.nunique(),
                           1.0 + 0.6 * table.property.nunique())
      heatmap.draw(table, drawn.subplots(), ('property', 'classifier'), True)
      parts.append(blocks.Picture(
          f'ladder_{scale.column}', f'Properties by classifier: {scale.unit}, '
          'with its 95 % interval. Colours run from chance to 1. Hatched: the '
          'interval contains chance.', 'Heat map of properties by classifiers, '
          f'{scale.unit}.', drawn, table))
  return parts


def _tabulate(shown: Sequence[records.Result]) -> list[blocks.Block]:
  """A table of the readings on each scale."""
  parts: list[blocks.Block] = []
  for scale in measures.SCALES:
    table = tables.tabulate(shown, scale)
    if not len(table):
      continue
    note = ('R² above 0 is better than always predicting the mean. The '
            'learning rate is predicted as its logarithm.'
            if scale is measures.R2 else
            'Chance is the accuracy of always predicting the most common class.'
            )
    if 'settings' in table:
      note += ' Settings: those that are not the defaults.'
    columns = (scale.column, 'low', 'high', 'chance', 'per_window',
               'balanced_accuracy', 'kendall_tau')
    parts.append(blocks.Table(
        f'readings_{scale.column}', 'Read from networks that the classifier '
        'was not trained on, with 95 % intervals. Above chance: the whole '
        f'interval is. {note}', table, {
            **dict.fromkeys(columns, scale.in_table),
            'above_chance': notes.mark_above}))
  return parts


def _tabulate_others(others: Sequence[records.Result],
                     digest: str) -> list[blocks.Block]:
  """The table of readings that are not the main ones, if there are any."""
  return [blocks.Table(
      'readings_others', 'Other readings. Everywhere else the page shows, of '
      'each property and classifier, the reading with the default settings, or '
      'else the one in which the fewest settings differ.',
      tables.tabulate_others(others, digest), {
          **dict.fromkeys(('value', 'low', 'high', 'chance'), '{:.3f}'.format),
          'above_chance': notes.mark_above})] if others else []


def _draw_confusions(shown: Sequence[records.Result]) -> list[blocks.Block]:
  best = ranking.choose_best(
      [r for r in shown if r.scale is measures.ACCURACY])
  return [blocks.Picture(
      'confusions', 'The best classifier of each property: networks by true '
      'value (rows) and predicted value (columns). Colours are shares of the '
      'row. confusions.csv holds the matrices of all classifiers.',
      'Confusion matrices of ' + '; '.join(r.title for r in best) + '.',
      readings.draw_confusions(best),
      tables.tabulate_confusions(shown))] if best else []


def _draw_scatters(shown: Sequence[records.Result]) -> list[blocks.Block]:
  parts: list[blocks.Block] = []
  for r in (r for r in shown if r.scale is measures.R2):
    predictions = results.read_predictions(r)
    if predictions is not None:
      parts.append(blocks.Picture(
          blocks.slug('predicted', r.target, r.classifier), 'Predicted and '
          f'true {theme.words(r.target)}. On the dashed line they are equal.',
          'Scatter plot of predicted over true values.',
          readings.draw_scatter(r, predictions), predictions))
  return parts
