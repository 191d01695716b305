"""What the page says: the population, what was read, and how it was made."""

import pandas as pd

from nws_jax.pictures import (
    heatmap,
    page,
    population,
    readings,
    results,
    spread,
    theme,
)

_SHOWN = ('initialization', 'optimizer', 'activation', 'augmentation')


def describe_population(members, metrics, source):
  """The section on who is in the zoo and how well the networks do."""
  blocks = [page.Text(_count(members, metrics, source)),
            page.Text(_state_chance(members))]
  blocks.append(page.Picture(
      'accuracy', f'Test accuracy of {members.test_accuracy.count():,} '
      'networks, data sets stacked. Dashed: guessing, 10 %.',
      'Histogram of test accuracy by data set.', spread.draw_histogram(members),
      members[['id', 'dataset', 'status', 'test_accuracy']]))
  varying = population.find_varying(members)
  if {'dataset', 'initialization'} & set(varying):
    cross = population.cross(members, 'dataset', 'initialization')
    blocks.append(page.Table(
        'accuracy_cross', 'Median test accuracy by data set and '
        'initialization.', cross,
        _percents(*cross.columns[1:])))
  if varying:
    blocks.append(page.Picture(
        'accuracy_by_property', 'Test accuracy by each property that varies: a '
        f'dot a network (at most {spread.DOTS:,}, drawn at random), a box from '
        'quartile to quartile of all with their median. Lines over the '
        'learning rate: running medians.',
        'Strip and box plots of test accuracy, one panel a property: '
        + ', '.join(map(theme.words, varying)) + '.',
        spread.draw_properties(members)))
  blocks.append(page.Table(
      'accuracy_by_value', 'Test accuracy by value. At chance: up to '
      f'{page.percent(population.AT_CHANCE)}, where the 95 % interval of a '
      'thousand images still holds guessing.',
      population.summarize_accuracy(members), _percents(
          'lower_quartile', 'median', 'upper_quartile', 'best', 'at_chance')))
  return page.Section('population', 'The population', blocks)


def describe_training(members, metrics):
  """The section on learning curves, outcomes and coverage."""
  names = [n for n in _SHOWN if n in population.find_varying(members)]
  alt = ', '.join(map(theme.words, ['data set', *names]))
  blocks = [
      page.Picture(
          'curves', 'Test accuracy by epoch: medians, and bands from quartile '
          'to quartile where they can be told apart. Epoch 0 is before the '
          'first update; up to the last epoch only test_part images are '
          'looked at.', f'Learning curves by {alt}.',
          spread.draw_curves(members, metrics, names),
          population.trace_curves(members, metrics)),
      page.Table(
          'coverage', 'Coverage: networks with each value, on which side of '
          'the split (drawn by setting), and how their training ended.',
          population.summarize_coverage(members))]
  return page.Section('training', 'Training and coverage', blocks)


def describe_readings(found, digest, command):
  """The section on what meta-classifiers read from the weights.

  Args:
    found: `results.Result`s, in `results.order`.
    digest: of the zoo.
    command: of meta.
  """
  title = 'What the weights tell'
  if not found:
    return page.Section('readings', title, [page.Missing(
        'No property has been read from these weights yet. Make a result:',
        f'{command} --target=optimizer')])
  kept, others = results.keep_first(found, lambda r: (r.target, r.classifier))
  main, _ = results.keep_first(kept, lambda r: r.target)
  kept = results.sort_by_gain(kept)
  blocks = warn_of_others(kept, digest) + [page.Text(_sum_up(main))]
  blocks += [page.Picture(
      'readings', 'What can be read: filled above chance, hollow where the '
      '95 % interval holds chance.', 'Forest plot of the values in the next '
      'table.', readings.draw_all(kept))]
  blocks += _climb(kept) + _tabulate(kept, False) + _tabulate(kept, True)
  return page.Section('readings', title, blocks + _tabulate_others(
      results.sort_by_gain(others), digest) + _detail(kept))


def _tabulate_others(others, digest):
  """The table of readings that are not the main ones; none if there are none.
  """
  formats = {**dict.fromkeys(('value', 'low', 'high', 'chance'),
                             '{:.3f}'.format), 'above_chance': tell_above}
  return [page.Table(
      'readings_others', 'Read otherwise. Above, and in the summary, stands '
      'of each property and classifier the reading with the default settings, '
      'else the one with the fewest others.',
      results.tabulate_others(others, digest), formats)] if others else []


def _climb(kept):
  """Maps of properties and classifiers, where there is more than one."""
  blocks = []
  for regression, name, what in (
      (False, 'ladder_accuracy', 'accuracy per network in per cent'),
      (True, 'ladder_r2', 'R²')):
    table = results.tabulate_ladder(kept, regression)
    if len(table) and table.classifier.nunique() > 1:
      drawn = theme.figure(1.9 + 1.05 * table.classifier.nunique(),
                           1.0 + 0.6 * table.property.nunique())
      heatmap.draw(table, drawn.subplots(), ('property', 'classifier'), True)
      blocks.append(page.Picture(
          name, f'Properties and classifiers: {what}, and its 95 % interval. '
          'Coloured from chance to 1; hatched: the interval holds chance.',
          f'Heat map of properties by classifiers, {what}.', drawn, table))
  return blocks


def _tabulate(kept, regression):
  """The table of one kind of results; none if there are none."""
  kind = 'r2' if regression else 'accuracy'
  table = results.tabulate(kept, regression)
  show = '{:.3f}'.format if regression else page.percent
  formats = dict.fromkeys(
      (kind, 'value', 'low', 'high', 'chance', 'per_window',
       'balanced_accuracy', 'kendall_tau'), show)
  formats['above_chance'] = tell_above
  said = ('R² above 0 is better than the mean; the learning rate is read as '
          'its logarithm.' if regression else
          'Chance: always naming the commonest class.')
  if 'settings' in table:
    said += ' Settings: those that are not the defaults.'
  return [page.Table(
      f'readings_{kind}', 'Read from networks that the classifier was not '
      'fitted to, with 95 % intervals; above chance: the whole interval is. '
      + said, table, formats)] if len(table) else []


def _detail(kept):
  blocks = []
  best, _ = results.keep_first(
      [r for r in kept if not r.regression], lambda r: r.target)
  if best:
    blocks.append(page.Picture(
        'confusions', 'The best classifier of each property: networks by true '
        'value (rows) and predicted value; the colour is the share of the row. '
        'All matrices are in confusions.csv.', 'Confusion matrices of '
        + '; '.join(map(results.name_result, best)) + '.',
        readings.draw_confusions(best), results.tabulate_confusions(kept)))
  for r in (r for r in kept if r.regression):
    predictions = results.read_predictions(r)
    if predictions is not None:
      blocks.append(page.Picture(
          page.slug('predicted', r.target, r.classifier), 'Predicted and true '
          f'{theme.words(r.target)}; dashed: equal.', 'Scatter plot of '
          'predicted over true values.', readings.draw_scatter(r, predictions),
          predictions))
  return blocks


def tell_above(above):
  return '● yes' if above else '○ no'


def describe_making(config, commands):
  """The section on the configuration and on how to make all of it again."""
  rows = pd.DataFrame(_flatten(config), columns=['key', 'value'])
  return page.Section('making', 'How it was made', [
      page.Text('The same commands make the same zoo, up to the rounding of '
                'another device or version.'),
      page.Commands(commands),
      page.Table('config', 'The configuration, as the zoo keeps it in '
                 'config.json.', rows, {'value': str})])


def _flatten(part, prefix=''):
  if not isinstance(part, dict):
    return [(prefix, ', '.join(map(str, part)) if isinstance(part, list)
             else str(part))]
  return [row for k, v in part.items()
          for row in _flatten(v, f'{prefix}.{k}' if prefix else str(k))]


def _percents(*columns):
  return {c: page.percent for c in columns}


def _some(count, noun):
  return f'one {noun}' if count == 1 else f'{count:,} {noun}s'


def _count(members, metrics, source):
  sets = theme.levels('dataset', members.dataset)
  least, most = members.num_weights.min(), members.num_weights.max()
  weights = f'{least:,}' if least == most else f'{least:,} to {most:,}'
  kept = metrics.snapshot.count()
  status = members.status.value_counts()
  ended = ', '.join(f'{n:,} {s}' for s, n in status.items())
  architectures = _some(members.architecture.nunique(), 'architecture')
  return (
      f'{len(members):,} small convolutional networks of {architectures}, '
      f'trained on {_some(len(sets), "image set")} ({", ".join(sets)}; source: '
      f'{source}) with {_some(members.setting.nunique(), "setting")} drawn at '
      f'random. {ended}. A network has {weights} weights; {kept:,} snapshots '
      'were kept.')


def _state_chance(members):
  first, *rest = population.summarize_accuracy(members).to_dict('records')
  said = (f'Half of them reach {page.percent(first["median"])} or more on the '
          f'test images; {page.percent(first["at_chance"])} stayed at chance, '
          f'which is {page.percent(population.CHANCE)}.')
  worst = max(rest, key=lambda r: r['at_chance'], default=first)
  if worst['at_chance'] > first['at_chance']:
    said += (f' The most are among {theme.words(worst["property"])} '
             f'{theme.label(worst["value"])}: '
             f'{page.percent(worst["at_chance"])}.')
  return said


def _sum_up(main):
  best = results.sort_by_gain(main)
  above = [f'{theme.words(r.target)} (R² {r.main.value:.2f})' if r.regression
           else f'{theme.words(r.target)} ({page.percent(r.main.value)}; '
           f'guessing: {page.percent(r.main.chance)})'
           for r in best if r.main.above]
  below = [theme.words(r.target) for r in best if not r.main.above]
  said = f'Read above chance: {", ".join(above) or "nothing"}.'
  return said + (f' Not above chance: {", ".join(below)}.' if below else '')


def warn_of_others(found, digest):
  other = [f for f in found if f.digest != digest]
  if not other:
    return []
  names = ', '.join(f'{theme.words(f.target)} ({f.classifier}, {f.folder.name})'
                    for f in other)
  return [page.Warn('These were read from another zoo, or from this one before '
                    f'it changed: {names}.')]


def list_others(others):
  if not others:
    return []
  return [page.Text('Not shown, for these have other settings, or are of '
                    'another zoo or version: ' + '; '.join(
      f'{theme.words(o.target)}, {o.classifier}, '
      f'{results.tell_settings(o)} ({o.folder.name})' for o in others) + '.')]
