"""Splits that hold out one level of a property.

All networks of that level are tested; models learn from the others.
"""

from typing import Any

import numpy as np
import pandas as pd

from nws_jax import errors, published, space
from nws_jax.meta.data import splits, targets


def parse(text: str) -> tuple[str, str]:
  """'dataset=cifar10' -> ('dataset', 'cifar10'); without a level it is ''."""
  column, _, level = text.partition('=')
  return column.strip(), level.strip()


def list_levels(members: pd.DataFrame, text: str, name: str,
                properties: space.Properties = published.ALL) -> list[Any]:
  """The levels to hold out, one after another, of `--hold_out=text`.

  Raises:
    errors.Wrong: the property is unknown, is the target itself, does not vary
      or has no levels; or there is no such level.
  """
  column, level = parse(text)
  if column not in members or column == name:
    allowed = [c for c in targets.find_varying(members, properties) + [
        'architecture'] if c != name
               and not targets.is_regressed(members, c, properties)
               and members[c].nunique() > 1]
    raise errors.Wrong(
        f'--hold_out={text} is not possible; allowed: a property that varies '
        f'and is not the target: {", ".join(allowed) or "there is none"}.')
  levels = list(dict.fromkeys(members[column].sort_values()))
  if not 2 <= len(levels) <= targets.LEVELS:
    raise errors.Wrong(
        f'--hold_out={text} is not possible: {column} has {len(levels)} values '
        f'in these networks; allowed: 2 to {targets.LEVELS}.')
  if not level:
    return levels
  if level not in map(str, levels):
    raise errors.Wrong(f'--hold_out={text} is not possible; {column} is '
                       f'{", ".join(map(str, levels))} here.')
  return [v for v in levels if str(v) == level]


def split(members: pd.DataFrame, text: str, level: Any, target: targets.Target,
          networks: int | None = None) -> splits.Sides:
  """`splits.Sides`, one split: tested on a level, learned from the others.

  Of the others, fold 0 is for validation, or that side of a large zoo.

  Args:
    members: DataFrame with `split`, `fold` and the property, by row.
    text: of --hold_out.
    level: that is tested.
    target: `targets.Target`.
    networks: how many the rows are of, if not one each.

  Raises:
    errors.Wrong: a side is empty, or a class is not there to be learned.
  """
  column, _ = parse(text)
  held_M = (members[column] == level).to_numpy()
  side = splits.by(networks or len(members))
  valid_M = (members[side] == {'split': 'valid', 'fold': 0}[side]).to_numpy()
  rows = [np.flatnonzero(x) for x in (
      ~held_M & ~valid_M, ~held_M & valid_M, held_M)]
  if min(map(len, rows)) == 0:
    raise errors.Wrong(f'--hold_out={column}={level}: the other levels have '
                       'too few networks to learn from.')
  sides = splits.join(*([r] for r in rows))
  learned = np.bincount(target.label(sides)[0][rows[0]],
                        minlength=target.outputs) if target.classes else [9]
  if min(learned) < targets.LEAST:
    missing = target.classes[int(np.argmin(learned))]
    raise errors.Wrong(
        f'--hold_out={column}={level} leaves {min(learned)} networks of '
        f'{target.name} {missing} to learn from, at least {targets.LEAST} are '
        'needed. Hold out another level.')
  return sides
