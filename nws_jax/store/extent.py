"""How much of a zoo has been trained.

Networks of the same batch size and shape are trained together, one group after
another. So the networks of an unfinished run are not a random sample of the
whole zoo.
"""

import csv
import os
from typing import Any, NamedTuple

from nws_jax import space
from nws_jax.store import moment, tables

_SURE = 3.0  # standard deviations of a random sample; a level is uneven beyond


class Extent(NamedTuple):
  """What there is of an unfinished zoo."""
  networks: int  # of the whole zoo
  there: int
  training: int  # of those there
  uneven: dict[str, dict[str, list[int]]]  # {property: {level: [networks there,
  #   networks of the whole zoo]}}

  def record(self) -> dict[str, Any]:
    """The record for JSON."""
    return self._asdict()

  def tell(self) -> str:
    """Describes it in a sentence or two for readers of the zoo."""
    parts = [
        f'{name} ' + ', '.join(f'{level}: {there} of {asked}' for level, (
            there, asked) in levels.items())
        for name, levels in self.uneven.items()]
    return (
        f'{self.there:,} of {self.networks:,} networks are there'
        + (f', {self.training:,} of them still train' if self.training else '')
        + (f'; by {"; by ".join(parts)}' if parts else '')
        + '. What they tell need not hold for the whole zoo; the command that '
        'began it finishes it.')


def find(there: moment.Moment) -> Extent | None:
  """The extent of a zoo; None if the zoo is complete.

  Raises:
    Damaged: coverage.csv is not a table of levels.
  """
  members = there.table('members.csv')
  asked = there.config.get('networks', len(members))
  training = int((members['status'] == 'running').sum())
  if len(members) >= asked and not training:
    return None
  uneven = {}
  for name, levels in _read_levels(there.path, there.properties).items():
    counts = members[name].astype(str).value_counts()
    found = {level: [int(counts.get(level, 0)), n]
             for level, n in levels.items()}
    if any(_is_uneven(k, n, len(members), asked) for k, n in found.values()):
      uneven[name] = found
  return Extent(asked, len(members), training, uneven)


def _is_uneven(k: int, n: int, there: int, asked: int) -> bool:
  """Whether a random sample would hardly have so many networks of a level.

  Args:
    k: networks of this level that are there.
    n: networks of this level in the whole zoo.
    there: networks of any level that are there.
    asked: networks of the whole zoo.
  """
  # The variance is that of the hypergeometric distribution.
  share = there / asked
  variance = n * share * (1 - share) * (asked - n) / max(asked - 1, 1)
  return abs(k - n * share) > _SURE * variance**0.5


def _read_levels(path: str, properties: space.Properties
                 ) -> dict[str, dict[str, int]]:
  """{property: {level: networks of the whole zoo}} of coverage.csv.

  It is empty if the zoo has no such file.
  """
  path = os.path.join(path, 'coverage.csv')
  found: dict[str, dict[str, int]] = {}
  continuous = {p.name: p.continuous for p in properties}
  if not os.path.exists(path):
    return found
  try:
    for row in csv.DictReader(tables.read_text(path).splitlines()):
      if not continuous[row['property']]:
        found.setdefault(row['property'], {})[row['level']] = int(
            row['networks'])
  except (KeyError, TypeError, ValueError) as e:
    raise tables.damaged(path, 'it is no table of levels') from e
  return found
