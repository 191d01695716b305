"""Which weights of a unit are kept, and where, as one commit has it.

While a unit trains, every round is a snapshot; at its end the weights that are
kept may be stacked anew, and the others removed (zoo/ledger.py).
"""

import bisect
from typing import NamedTuple

from nws_jax import errors
from nws_jax.store import folder, stacks


class Kept(NamedTuple):
  """The weights of a unit's networks after their epochs."""
  places: dict  # {(id, epoch): snapshot}
  stacks: dict  # {snapshot: its networks, ascending}
  digests: dict  # {snapshot: digest of each}
  checked: frozenset = frozenset()  # snapshots with checksums of tensors

  @classmethod
  def of(cls, record):
    """Of a commit record, yet without places; of a damaged one, nothing."""
    if isinstance(record, errors.Damaged):
      return cls({}, {}, {})
    return cls({}, {}, record['digests'], frozenset(record['checked']))

  def find(self, pair):
    """(snapshot, row, digest) of a network after an epoch; None: not kept."""
    number = self.places.get(pair)
    if number is None:
      return None
    row = bisect.bisect_left(self.stacks[number], pair[0])
    return number, row, ''.join(self.digests.get(number, [])[row:row + 1])


def list_units(metrics, units, records):
  """What is kept of every unit: {unit: Kept}.

  Args:
    metrics: DataFrame, as metrics.csv.
    units: {id: the unit of a network}.
    records: {unit: its commit record, or the error that it is damaged}.
  """
  result = {unit: Kept.of(record) for unit, record in records.items()}
  there = metrics[metrics['snapshot'].notna()].sort_values('id', kind='stable')
  for id, epoch, number in zip(
      *(there[c].tolist() for c in ('id', 'epoch', 'snapshot'))):
    kept = result[units[id]]
    kept.places[id, epoch] = number
    kept.stacks.setdefault(number, []).append(id)
  return result


def look(zoo, unit):
  """What a unit keeps now: `Kept`; nothing, if it has no commit any more.

  Raises:
    Damaged: its commit is.
  """
  if folder.progress(zoo, unit) is None:
    return Kept({}, {}, {})
  commit = folder.committed(zoo, unit)
  members, metrics = folder.parse(zoo, unit, commit)
  return list_units(metrics, dict.fromkeys(members['id'].tolist(), unit),
                    {unit: commit.record})[unit]


def read(zoo, unit, kept, archs, pairs, start=0, stop=None):
  """Values start to stop - 1 of networks of a unit.

  If a run has moved them since `kept` was found out, they are read where they
  are now.

  Args:
    zoo: the zoo's folder.
    unit: the unit's name.
    kept: what it keeps.
    archs: {id: architecture} of its networks.
    pairs: [(id, epoch)], all of them kept.
    start: first value.
    stop: one behind the last; None is the end of each vector.

  Returns:
    [vector of each pair].

  Raises:
    Wrong: a run has removed them since.
    Damaged: they are not what was written.
  """
  now = kept
  while True:
    try:
      return _read(zoo, unit, now, archs, pairs, start, stop)
    except errors.Damaged:
      before, now = now, look(zoo, unit)
      found = [now.find(pair) for pair in pairs]
      if found == [before.find(pair) for pair in pairs]:
        raise
      for pair, place in zip(pairs, found):
        _check_kept(zoo, pair, kept.find(pair), place)


def _check_kept(zoo, pair, before, now):
  if now is None or now[-1] != before[-1]:
    id, epoch = pair
    raise errors.Wrong(
        f'the weights of network {id} after epoch {epoch} were '
        f'{"removed" if now is None else "trained anew"} since {zoo} was '
        'opened, by a run that goes on: open the zoo again.')


def _read(zoo, unit, kept, archs, pairs, start, stop):
  found, places = {}, {}  # snapshot -> [(pair, row)]
  for pair in pairs:
    number, row, _ = kept.find(pair)
    places.setdefault(number, []).append((pair, row))
  for number, some in places.items():
    some, rows = map(list, zip(*some))
    ids = kept.stacks[number]
    found.update(zip(some, stacks.read(stacks.Stack(
        folder.snapshot_path(zoo, unit, number), ids, [archs[i] for i in ids],
        kept.digests.get(number, []), number in kept.checked),
        rows, start, stop)))
  return [found[pair] for pair in pairs]
