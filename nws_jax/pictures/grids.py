"""Sections of the page on grids: where and when, and transfer."""

from nws_jax.pictures import (
    ablation,
    heatmap,
    page,
    results,
    sections,
    theme,
    transfer,
)


def describe_ablations(found, digest, command):
  """The section on where and when a property can be read."""
  title = 'Where and when'
  kept, others = results.keep_first(
      [a for a in found if not _is_transfer(a)],
      lambda a: (a.target, a.classifier, a.axes))
  if not kept:
    return page.Section('ablations', title, [page.Missing(
        'No grid over layers and epochs has been made yet. Make one:',
        f'{command} --target=optimizer --ablate=layer,epoch')])
  blocks = sections.warn_of_others(kept, digest)
  for a in kept:
    if ablation.fits_map(a.cells, a.axes):
      blocks.append(_map(a))
    said, name = _name(a)
    blocks.append(page.Picture(
        f'{name}_lines', f'Reading {said}, with 95 % intervals.',
        f'Line plot of {said}.', ablation.draw_lines(a.cells, a.axes), a.cells))
  return page.Section('ablations', title, blocks + sections.list_others(others))


def describe_transfer(found, digest, command):
  """The section on other epochs and on levels that were held out."""
  title = 'Transfer'
  kept, others = results.keep_first(
      [a for a in found if _is_transfer(a)],
      lambda a: (a.target, a.classifier, a.axes, a.held_out))
  if not kept:
    return page.Section('transfer', title, [page.Missing(
        'Nothing has been learned at one epoch and tested at another yet, or '
        'on one data set and tested on another. Make it:',
        f'{command} --target=optimizer --ablate=train_epoch,epoch'),
        page.Commands([f'{command} --target=optimizer --ablate=hold_out '
                       '--hold_out=dataset'])])
  blocks = sections.warn_of_others(kept, digest)
  for a in kept:
    if 'hold_out' not in a.axes:
      blocks.append(_map(a))
      continue
    said, name = _name(a)
    said = f'{said}, levels of {theme.words(a.held_out)} held out'
    name = page.slug(name, a.held_out)
    if a.axes == ('hold_out',):
      blocks.append(page.Picture(
          name, f'Reading {said}: by models that learned from all other '
          'levels, and of the same networks by models that learned from '
          'theirs too.', f'Dot plot of {said}.',
          transfer.draw_held_out(a.cells)))
    elif ablation.fits_map(a.cells, a.axes):
      blocks.append(_map(a))
    columns = [*a.axes, *(c for c in (
        'value', 'low', 'high', 'chance', 'above_chance', 'networks',
        'seen_value', 'seen_low', 'seen_high', 'seen_p') if c in a.cells)]
    blocks.append(page.Table(
        f'{name}_table', f'Reading {said}; seen: the same networks read by '
        'models that learned from their level too, and the p-value of the '
        'difference.', a.cells[columns], {
            **dict.fromkeys(
                ('value', 'low', 'high', 'chance', 'seen_value', 'seen_low',
                 'seen_high'), page.percent if a.cells.chance.max() > 0
                else '{:.3f}'.format), 'above_chance': sections.tell_above}))
  return page.Section('transfer', title, blocks + sections.list_others(others))


def _is_transfer(a):
  return 'train_epoch' in a.axes or 'hold_out' in a.axes


def _name(a):
  grid = ' × '.join(map(theme.words, a.axes))
  return (f'{theme.words(a.target)} by {grid}, {a.classifier}',
          page.slug('ablation', a.target, a.classifier, *a.axes))


def _map(a):
  said, name = _name(a)
  rows = len(a.cells[list(a.axes[:-1])].drop_duplicates())
  drawn = theme.figure(9.6, 0.9 + 0.45 * rows)
  heatmap.draw(a.cells, drawn.subplots(), a.axes)
  return page.Picture(
      f'{name}_map', f'Reading {said}: accuracy in per cent, or R². Hatched: '
      'the 95 % interval holds chance.', f'Heat map of {said}.', drawn, a.cells)
