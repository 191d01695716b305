"""What a finished zoo prints: test accuracy by set and by initialiser."""

import math

from nws_jax import errors

CHANCE = 0.1


def text(members):
  """A few lines for a terminal, of a zoo's members (DataFrame)."""
  lines = []
  for name in ('dataset', 'initialization'):
    if name != 'dataset' and members[name].nunique() == 1:
      continue
    lines += [_line(name, 'networks', 'diverged', 'at chance', 'median',
                    'quartiles')]
    groups = [*members.groupby(name), ('all', members)]
    for level, rows in groups:
      accuracy = rows['test_accuracy']
      q = accuracy.quantile([0.25, 0.5, 0.75])
      lines.append(_line(
          level, len(rows), (rows['status'] == 'diverged').sum(),
          f'{share_at_chance(rows):.0%}', f'{q[0.5]:.3f}',
          f'{q[0.25]:.3f} - {q[0.75]:.3f}'))
    lines.append('')
  lines.append('test accuracy after the last epoch, on all test images; at '
               'chance: its 95 % interval holds 0.1')
  return '\n'.join(lines)


def check(members):
  """Raises `Damaged` if no network of a zoo stayed finite."""
  if (members['status'] == 'diverged').all():
    raise errors.Damaged(
        f'all {len(members)} networks left the finite numbers. Restrict '
        '--config.learning_rate to smaller ones, in another --workdir.')


def share_at_chance(members, images=1000):
  """Share of networks not clearly above chance on about `images` images."""
  edge = CHANCE + 1.96 * math.sqrt(CHANCE * (1 - CHANCE) / images)
  return float((members['test_accuracy'] <= edge).mean())


def _line(name, networks, diverged, chance, median, quartiles):
  return (f'{name!s:<16}{networks!s:>9}{diverged!s:>10}{chance!s:>11}'
          f'{median!s:>8}   {quartiles}')
