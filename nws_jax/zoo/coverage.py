"""How a population covers the space: networks of each level, and in each split.

A continuous property has its quartiles for levels. Two properties of which one
tells the other cannot be told apart by what reads the weights: Cramér's V, from
0 to 1, measures it, and the largest of all pairs is named.
"""

import itertools
import textwrap

import numpy as np

from nws_jax import space
from nws_jax.store import tables

COLUMNS = {'property': tables.WORD, 'level': tables.WORD,
           'networks': tables.WHOLE, 'train': tables.WHOLE,
           'valid': tables.WHOLE, 'test': tables.WHOLE}
_SPLITS = ('train', 'valid', 'test')


def table(rows):
  """A dict of `COLUMNS` for each level of each property.

  Args:
    rows: of `recipe.rows`.
  """
  split_M = np.array([_SPLITS.index(row['split']) for row in rows])
  result = []
  for p in space.ALL:
    levels, level_M = _cut(p, [row[p.name] for row in rows])
    for level, counts in zip(levels, _cross(level_M, split_M, len(_SPLITS))):
      result.append({'property': p.name, 'level': level,
                     'networks': int(counts.sum()),
                     **dict(zip(_SPLITS, counts.tolist()))})
  return result


def to_csv(rows):
  """Text of coverage.csv."""
  return tables.to_csv(table(rows), COLUMNS)


def text(rows):
  """The same for a terminal: a line a property that varies, others in one."""
  levels = {}
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
  (first, second), most = find_confounded(rows)
  return '\n'.join(lines + _wrap("Cramér's V", [
      f'at most {most:.3f} ({first} and {second})' if first else 'no pair']))


def find_confounded(rows):
  """((property, property), V) of the pair with the largest Cramér's V.

  (('', ''), 0.0) where fewer than two properties vary.
  """
  columns = {}
  for p in space.ALL:
    levels, level_M = _cut(p, [row[p.name] for row in rows])
    if len(levels) > 1:
      columns[p.name] = level_M
  pairs = {(a, b): measure(columns[a], columns[b])
           for a, b in itertools.combinations(columns, 2)}
  return max(pairs.items(), key=lambda x: x[1], default=(('', ''), 0.0))


def measure(a_M, b_M):
  """Cramér's V of two columns of levels, each of which is taken: 0, 1, ..."""
  counts = _cross(a_M, b_M, b_M.max() + 1)
  expected = counts.sum(1, keepdims=True) * counts.sum(0) / len(a_M)
  chi2 = ((counts - expected) ** 2 / expected).sum()
  return float(np.sqrt(chi2 / len(a_M) / (min(counts.shape) - 1)))


def _cross(a_M, b_M, width):
  """How often each two levels meet: [levels of a, width]."""
  return np.bincount(a_M * width + b_M, minlength=(a_M.max() + 1) * width
                     ).reshape(-1, width)


def _cut(p, values):
  """(levels in words, the level of each value) of a property."""
  if p.continuous and len(set(values)) > 1:
    edges = np.quantile(values, (0.25, 0.5, 0.75))
    _, level_M = np.unique(np.searchsorted(edges, values, 'right'),
                           return_inverse=True)
    values_M = np.array(values)
    return [f'{part.min():.4g} to {part.max():.4g}' for n in range(
        level_M.max() + 1) for part in [values_M[level_M == n]]], level_M
  taken = set(values)
  levels = [v for v in (p.words if isinstance(values[0], str)
                        else sorted(taken)) if v in taken]
  place = {v: n for n, v in enumerate(levels)}
  return [str(v) for v in levels], np.array([place[v] for v in values])


def _wrap(name, words):
  """Lines of a name and its words, which stand in one column."""
  return [line.replace('\xa0', ' ') for line in textwrap.wrap(
      '  '.join(w.replace(' ', '\xa0') for w in words), 79,
      initial_indent=f'{name:<16}', subsequent_indent=' ' * 16)]
