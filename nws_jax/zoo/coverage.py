"""How a population covers the space: networks of each level, in each split.

The levels of a continuous property are its quartiles. Two properties that are
associated are confounded: what reads the weights cannot tell which of them it
has found. Cramér's V, from 0 to 1, measures the association; the pair in which
it is largest is named.
"""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax import space
from nws_jax.store import schema, tables
from nws_jax.zoo import families

COLUMNS = {'property': schema.WORD, 'level': schema.WORD,
           'networks': schema.WHOLE, 'train': schema.WHOLE,
           'valid': schema.WHOLE, 'test': schema.WHOLE}
_SPLITS = ('train', 'valid', 'test')


class Pair(NamedTuple):
  """Two properties and Cramér's V of them."""
  first: str
  second: str
  association: float


class Levels(NamedTuple):
  """The levels of a property in words, and the one of each network."""
  words: list[str]
  level_M: np.ndarray


def table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """A dict of `COLUMNS` for each level of each property.

  Args:
    rows: of `recipe.rows`.
  """
  split_M = np.array([_SPLITS.index(row['split']) for row in rows])
  result = []
  for p in families.of_record(rows[0]).properties:
    levels, level_M = _cut(p, [row[p.name] for row in rows])
    for level, counts in zip(levels, _cross(level_M, split_M, len(_SPLITS))):
      result.append({'property': p.name, 'level': level,
                     'networks': int(counts.sum()),
                     **dict(zip(_SPLITS, counts.tolist()))})
  return result


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
  """Text of coverage.csv."""
  return tables.to_csv(table(rows), COLUMNS)


def text(rows: Sequence[Mapping[str, Any]]) -> str:
  """The same for a terminal: a line a property that varies, one for the rest.
  """
  levels: dict[str, list[tuple[str, int]]] = {}
  for line in table(rows):
    levels.setdefault(line['property'], []).append(
        (line['level'], line['networks']))
  settings, architectures = (len({row[name] for row in rows})
                             for name in ('setting', 'architecture'))
  lines, fixed = _wrap('networks', [
      f'{len(rows):,}', f'settings: {settings:,}',
      f'architectures: {architectures:,}']), []
  for name, counts in levels.items():
    if len(counts) == 1:
      fixed.append(f'{name} {counts[0][0]}')
    else:
      lines += _wrap(name, [f'{level}: {n:,}' for level, n in counts])
  lines += _wrap('fixed', fixed) if fixed else []
  pair = find_confounded(rows)
  most = ('no pair' if pair is None else
          f'at most {pair.association:.3f} ({pair.first} and {pair.second})')
  return '\n'.join(lines + _wrap("Cramér's V", [most]))


def find_confounded(rows: Sequence[Mapping[str, Any]]) -> Pair | None:
  """The pair with the largest Cramér's V; None if fewer than two vary."""
  columns = {}
  for p in families.of_record(rows[0]).properties:
    levels, level_M = _cut(p, [row[p.name] for row in rows])
    if len(levels) > 1:
      columns[p.name] = level_M
  pairs = [Pair(a, b, measure(columns[a], columns[b]))
           for a, b in itertools.combinations(columns, 2)]
  return max(pairs, key=lambda pair: pair.association, default=None)


def measure(a_M: np.ndarray, b_M: np.ndarray) -> float:
  """Cramér's V of two columns of levels 0, 1, ..., all of which occur."""
  from scipy.stats import contingency  # slow, and not needed for --help
  counts = _cross(a_M, b_M, b_M.max() + 1)
  return float(contingency.association(counts, method='cramer'))


def _cross(a_M: np.ndarray, b_M: np.ndarray, width: int) -> np.ndarray:
  """How often each pair of levels occurs: [levels of a, width]."""
  return np.bincount(a_M * width + b_M, minlength=(a_M.max() + 1) * width
                     ).reshape(-1, width)


def _cut(p: space.Property, values: Sequence[Any]) -> Levels:
  """The levels of a property that occur in `values`."""
  if p.continuous and len(set(values)) > 1:
    edges = np.quantile(values, (0.25, 0.5, 0.75))
    _, level_M = np.unique(np.searchsorted(edges, values, 'right'),
                           return_inverse=True)
    values_M = np.array(values)
    return Levels([f'{part.min():.4g} to {part.max():.4g}' for n in range(
        level_M.max() + 1) for part in [values_M[level_M == n]]], level_M)
  taken = set(values)
  levels = [v for v in (p.words if isinstance(values[0], str)
                        else sorted(taken)) if v in taken]
  place = {v: n for n, v in enumerate(levels)}
  return Levels([str(v) for v in levels],
                np.array([place[v] for v in values]))


def _wrap(name: str, words: Sequence[str]) -> list[str]:
  """Lines of a name and its words, all words in one column."""
  return [line.replace('\xa0', ' ') for line in textwrap.wrap(
      '  '.join(w.replace(' ', '\xa0') for w in words), 79,
      initial_indent=f'{name:<16}', subsequent_indent=' ' * 16)]
