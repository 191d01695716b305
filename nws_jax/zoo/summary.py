"""What a finished zoo prints: test accuracies by image set and initializer."""

from typing import TYPE_CHECKING

from nws_jax import errors, space

if TYPE_CHECKING:
  import pandas as pd


def text(members: 'pd.DataFrame') -> str:
  """Formats the test accuracies of a zoo for a terminal.

  Args:
    members: the zoo's members.csv.
  """
  names = [n for n in ('dataset', 'initialization')
           if n == 'dataset' or members[n].nunique() > 1]
  return '\n\n'.join([
      *(_tabulate(members, name) for name in names),
      'Test accuracy after the last epoch, on all test images. At chance: the '
      '95 %\ninterval of such an accuracy on 1,000 images contains '
      f'{space.CHANCE:g}, or lies below.'])


def check(members: 'pd.DataFrame') -> None:
  """Raises `Damaged` if all networks of a zoo diverged."""
  if (members['status'] == 'diverged').all():
    raise errors.Damaged(
        f'all {len(members)} networks diverged: their weights or losses are '
        'not finite. Choose a smaller --config.learning_rate, in another '
        '--workdir.')


def _tabulate(members: 'pd.DataFrame', name: str) -> str:
  """Formats a table: a row for each value of a property, and one for all."""
  import pandas as pd  # slow, and not needed for --help
  rows = {}
  for level, group in [*members.groupby(name), ('all', members)]:
    low, median, high = group['test_accuracy'].quantile([0.25, 0.5, 0.75])
    rows[level] = {
        'networks': len(group),
        'diverged': (group['status'] == 'diverged').sum(),
        'at chance':
            f'{(group["test_accuracy"] <= space.AT_CHANCE).mean():.0%}',
        'median': f'{median:.3f}', 'quartiles': f'{low:.3f} - {high:.3f}'}
  table = pd.DataFrame.from_dict(rows, 'index').rename_axis(columns=name)
  return table.to_string(col_space={c: len(c) + 1 for c in table})
