"""The population in numbers, from its tables.

Every function takes `members` (a row a network) and perhaps `metrics` (a row a
network and evaluation); docs/contract.md describes their columns. Accuracies
are fractions; quartiles are interpolated linearly between networks.
"""

from typing import Any, Callable, Mapping

import pandas as pd

from nws_jax import space
from nws_jax.pictures import theme
from nws_jax.store import schema

SPLITS = ('train', 'valid', 'test')
STATUSES = ('finished', 'stopped', 'diverged')


def find_varying(members: pd.DataFrame) -> list[str]:
  """Names of the properties with more than one value."""
  return [c for c in members if c not in (*schema.FIRST, *schema.LAST)
          and members[c].nunique() > 1]


def find_chosen(members: pd.DataFrame) -> list[str]:
  """The varying properties that have choices, not a range."""
  return [n for n in find_varying(members) if not is_continuous(members, n)]


def is_continuous(members: pd.DataFrame, name: str) -> bool:
  """Whether a property is a range of numbers."""
  return members[name].dtype.kind == 'f'


def summarize_accuracy(members: pd.DataFrame) -> pd.DataFrame:
  """Accuracies: one row for all, and one a value of each chosen property."""
  return _tabulate(members, _measure)


def summarize_coverage(members: pd.DataFrame) -> pd.DataFrame:
  """The same rows: networks in each split, and how their training ended."""
  return _tabulate(members, _count)


def _tabulate(members: pd.DataFrame,
              describe: Callable[[pd.DataFrame], Mapping[str, Any]]
              ) -> pd.DataFrame:
  rows = [{'property': 'all', 'value': '', **describe(members)}]
  for name in find_chosen(members):
    for value in theme.levels(name, members[name]):
      rows.append({'property': name, 'value': value,
                   **describe(members[members[name] == value])})
  return pd.DataFrame(rows)


def _measure(rows: pd.DataFrame) -> dict[str, float]:
  accuracy = rows.test_accuracy.dropna()
  return {
      'networks': len(rows),
      'lower_quartile': accuracy.quantile(0.25),
      'median': accuracy.median(),
      'upper_quartile': accuracy.quantile(0.75),
      'best': accuracy.max(),
      'at_chance': (rows.test_accuracy <= space.AT_CHANCE).mean(),
  }


def _count(rows: pd.DataFrame) -> dict[str, int]:
  return {'networks': len(rows),
          **{s: int((rows.split == s).sum()) for s in SPLITS},
          **{s: int((rows.status == s).sum()) for s in STATUSES}}


def cross(members: pd.DataFrame, row: str, column: str) -> pd.DataFrame:
  """Median test accuracy by two properties, with `all` as the last of each."""
  index = theme.levels(row, members[row])
  columns = theme.levels(column, members[column])
  values = members.pivot_table(
      values='test_accuracy', index=row, columns=column, aggfunc='median')
  values = values.reindex(index=index, columns=columns)
  values['all'] = members.groupby(row).test_accuracy.median()
  values.columns = [str(c) for c in values.columns]
  last = members.groupby(column).test_accuracy.median().reindex(columns)
  values.loc['all'] = [*last, members.test_accuracy.median()]
  return values.rename_axis(row).reset_index()


def trace_curves(members: pd.DataFrame, metrics: pd.DataFrame,
                 by: str | None = None) -> pd.DataFrame:
  """Median and quartiles of test accuracy by data set, epoch and a property.

  Returns:
    Columns dataset, [by,] epoch, networks, lower_quartile, median and
    upper_quartile. A network counts at the epochs for which it was trained.
  """
  columns = ['dataset'] + ([by] if by and by != 'dataset' else [])
  rows = metrics.merge(members[['id'] + columns], on='id')
  groups = rows.groupby(columns + ['epoch'], observed=True).test_accuracy
  return pd.DataFrame({
      'networks': groups.count(),
      'lower_quartile': groups.quantile(0.25),
      'median': groups.median(),
      'upper_quartile': groups.quantile(0.75),
  }).reset_index()
