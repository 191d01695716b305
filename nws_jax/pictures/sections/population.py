"""The section on who is in the zoo, and how well the networks do."""

import pandas as pd

from nws_jax import space
from nws_jax.pictures import population, spread, theme
from nws_jax.pictures.page import blocks
from nws_jax.pictures.sections import notes


def describe(members: pd.DataFrame, metrics: pd.DataFrame,
             source: str) -> blocks.Section:
  """Describes a population.

  Args:
    members: of members.csv.
    metrics: of metrics.csv.
    source: where the images are from.
  """
  summary = population.summarize_accuracy(members)
  varying = population.find_varying(members)
  parts: list[blocks.Block] = [
      blocks.Text(_count(members, metrics, source)),
      blocks.Text(_state_chance(summary)),
      blocks.Picture(
          'accuracy', f'Test accuracy of {members.test_accuracy.count():,} '
          'networks, stacked by data set. The dashed line marks chance, '
          f'{theme.percent(space.CHANCE)}.',
          'Histogram of test accuracy by data set.',
          spread.draw_histogram(members),
          members[['id', 'dataset', 'status', 'test_accuracy']])]
  if {'dataset', 'initialization'} & set(varying):
    cross = population.cross(members, 'dataset', 'initialization')
    parts.append(blocks.Table(
        'accuracy_cross',
        'Median test accuracy by data set and initialization.', cross,
        notes.percents(*cross.columns[1:])))
  if varying:
    parts.append(blocks.Picture(
        'accuracy_by_property', 'Test accuracy by each property that varies. '
        f'Each dot is a network (at most {spread.DOTS:,}, drawn at random). '
        'Each box spans the quartiles of all networks, with a line at their '
        'median. Lines over the learning rate are running medians.',
        'Strip and box plots of test accuracy, one panel a property: '
        + ', '.join(map(theme.words, varying)) + '.',
        spread.draw_properties(members)))
  parts.append(blocks.Table(
      'accuracy_by_value', 'Test accuracy by value. A network counts as at '
      f'chance up to {theme.percent(space.AT_CHANCE)}: the 95 % interval '
      'of an accuracy on 1,000 images then still contains chance.', summary,
      notes.percents('lower_quartile', 'median', 'upper_quartile', 'best',
                     'at_chance')))
  return blocks.Section('population', 'The population', parts)


def _some(count: int, noun: str) -> str:
  return f'one {noun}' if count == 1 else f'{count:,} {noun}s'


def _count(members: pd.DataFrame, metrics: pd.DataFrame, source: str) -> str:
  sets = theme.levels('dataset', members.dataset)
  least, most = members.num_weights.min(), members.num_weights.max()
  weights = f'{least:,}' if least == most else f'between {least:,} and {most:,}'
  ended = ', '.join(
      f'{n:,} {s}' for s, n in members.status.value_counts().items())
  return (
      f'The zoo holds {_some(len(members), "network")} of '
      f'{_some(members.architecture.nunique(), "architecture")}, trained on '
      f'{_some(len(sets), "image set")} ({", ".join(sets)}; source: {source}) '
      f'with {_some(members.setting.nunique(), "setting")} drawn at random: '
      f'{ended}. Each network has {weights} weights. The zoo keeps '
      f'{_some(metrics.snapshot.count(), "snapshot")} of them.')


def _state_chance(summary: pd.DataFrame) -> str:
  everyone, *groups = summary.to_dict('records')
  text = (
      f'Half of the networks reach {theme.percent(everyone["median"])} or more '
      f'on the test images; {theme.percent(everyone["at_chance"])} stay at '
      f'chance, which is {theme.percent(space.CHANCE)}.')
  worst = max(groups, key=lambda row: row['at_chance'], default=everyone)
  if worst['at_chance'] > everyone['at_chance']:
    text += (
        f' The largest share at chance, {theme.percent(worst["at_chance"])}, '
        f'is that of {theme.words(worst["property"])} '
        f'{theme.label(worst["value"])}.')
  return text
