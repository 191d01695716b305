"""How much of the zoo that was asked for is there.

Networks of one batch size and shape train together, one lot after another: what
an interrupted or unfinished run leaves is no random part of the whole.
"""

import csv
import os
from typing import NamedTuple

from nws_jax import space
from nws_jax.store import tables

_SURE = 3.0  # deviations of a random part beyond which a level is uneven


class Extent(NamedTuple):
  """A zoo that is not whole."""
  networks: int  # asked for
  there: int
  training: int  # of those there
  uneven: dict  # {property: {level: [networks there, asked for]}}

  def record(self):
    """As JSON keeps it."""
    return self._asdict()

  def tell(self):
    """A sentence or two for whoever reads the zoo."""
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


def find(there):
  """The `Extent` of a `moment.Moment`; None where it is whole.

  Raises:
    Damaged: coverage.csv is no table of levels.
  """
  members = there.table('members.csv')
  asked = there.config.get('networks', len(members))
  training = int((members['status'] == 'running').sum())
  if len(members) >= asked and not training:
    return None
  uneven = {}
  for name, levels in _read_levels(
      there.path, there.properties).items():
    counts = members[name].astype(str).value_counts()
    found = {level: [int(counts.get(level, 0)), n]
             for level, n in levels.items()}
    if any(_is_uneven(k, n, len(members), asked) for k, n in found.values()):
      uneven[name] = found
  return Extent(asked, len(members), training, uneven)


def _is_uneven(k, n, there, asked):
  """Whether k of a level's n networks are no random part of those there."""
  share = there / asked
  variance = n * share * (1 - share) * (asked - n) / max(asked - 1, 1)
  return abs(k - n * share) > _SURE * variance**0.5


def _read_levels(path: str, properties: space.Properties
                 ) -> dict[str, dict[str, int]]:
  """{property: {level: networks asked for}} of coverage.csv, if it is there."""
  path, found = os.path.join(path, 'coverage.csv'), {}
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
