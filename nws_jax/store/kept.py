"""Which weights of a unit are kept, and where, according to one commit.

While a unit trains, every round adds a snapshot. After the last round, the
weights that are kept may be written into new snapshots, and the others removed
(zoo/ledger.py).
"""

import bisect
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nws_jax import errors
from nws_jax.layout import Layout
from nws_jax.store import folder, snapshots, stacks

if TYPE_CHECKING:
  import pandas as pd

Pair = tuple[int, int]  # (network, epoch)


class Place(NamedTuple):
  """Where the weights of a network after an epoch are kept."""
  snapshot: int
  row: int
  digest: str  # empty: the record has none


class Kept(NamedTuple):
  """The weights of a unit's networks after their epochs."""
  places: dict[Pair, int]  # {(id, epoch): snapshot}
  stacks: dict[int, list[int]]  # {snapshot: its networks, ascending}
  digests: dict[int, list[str]]  # {snapshot: digest of each}
  checked: frozenset[int] = frozenset()  # snapshots with checksums of tensors

  @classmethod
  def of(cls, record: folder.Record | errors.Damaged) -> 'Kept':
    """A unit's digests without places; nothing, if its record is damaged."""
    if isinstance(record, errors.Damaged):
      return cls({}, {}, {})
    return cls({}, {}, record['digests'], frozenset(record['checked']))

  def find(self, pair: Pair) -> Place | None:
    """The place of a network after an epoch; None: it is not kept."""
    number = self.places.get(pair)
    if number is None:
      return None
    row = bisect.bisect_left(self.stacks[number], pair[0])
    return Place(
        number, row, ''.join(self.digests.get(number, [])[row:row + 1]))


def list_units(metrics: 'pd.DataFrame', units: dict[int, str],
               records: dict[str, folder.Record | errors.Damaged]
               ) -> dict[str, Kept]:
  """Lists what each unit keeps: {unit: Kept}.

  Args:
    metrics: table of metrics.csv.
    units: {id: the unit of the network}.
    records: {unit: its commit record, or the error if that is damaged}.
  """
  result = {unit: Kept.of(record) for unit, record in records.items()}
  there = metrics[metrics['snapshot'].notna()].sort_values('id', kind='stable')
  for id, epoch, number in zip(
      *(there[c].tolist() for c in ('id', 'epoch', 'snapshot'))):
    kept = result[units[id]]
    kept.places[id, epoch] = number
    kept.stacks.setdefault(number, []).append(id)
  return result


def look(zoo: str, unit: str) -> Kept:
  """What a unit keeps now; nothing, if it has no commit any more.

  Raises:
    Damaged: its commit is damaged.
  """
  if folder.progress(zoo, unit) is None:
    return Kept({}, {}, {})
  commit = folder.committed(zoo, unit)
  members, metrics = folder.parse(zoo, unit, commit)
  return list_units(metrics, dict.fromkeys(members['id'].tolist(), unit),
                    {unit: commit.record})[unit]


def read(zoo: str, unit: str, kept: Kept, layouts: dict[int, Layout],
         pairs: list[Pair], window: snapshots.Window = snapshots.Window()
         ) -> list[np.ndarray]:
  """Reads a window of the vectors of networks of a unit.

  If a run has moved them since `kept` was read, they are read from their new
  places.

  Args:
    zoo: the zoo's folder.
    unit: the unit's name.
    kept: what the unit keeps.
    layouts: {id: layout} of its networks.
    pairs: [(id, epoch)], all of them kept.
    window: the values to read.

  Returns:
    [vector of each pair].

  Raises:
    Wrong: a run has removed or retrained the weights since `kept` was read.
    Damaged: the weights are not what was written.
  """
  now = kept
  while True:
    try:
      return _read(zoo, unit, now, layouts, pairs, window)
    except errors.Damaged:
      before, now = now, look(zoo, unit)
      found = [now.find(pair) for pair in pairs]
      if found == [before.find(pair) for pair in pairs]:
        raise
      for pair, place in zip(pairs, found):
        _check_kept(zoo, pair, kept.find(pair), place)


def _check_kept(zoo: str, pair: Pair, before: Place | None, now: Place | None
                ) -> None:
  """Raises `Wrong` unless a network has the same weights as before."""
  assert before is not None, f'{pair} is not kept'
  if now is None or now.digest != before.digest:
    id, epoch = pair
    raise errors.Wrong(
        f'the weights of network {id} after epoch {epoch} were '
        f'{"removed" if now is None else "trained anew"} since {zoo} was '
        'opened, by a run that goes on: open the zoo again.')


def _read(zoo: str, unit: str, kept: Kept, layouts: dict[int, Layout],
          pairs: list[Pair], window: snapshots.Window) -> list[np.ndarray]:
  found: dict[Pair, np.ndarray] = {}
  places: dict[int, list[tuple[Pair, int]]] = {}  # snapshot -> [(pair, row)]
  for pair in pairs:
    place = kept.find(pair)
    assert place is not None, f'{pair} is not kept'
    places.setdefault(place.snapshot, []).append((pair, place.row))
  for number, asked in places.items():
    ids = kept.stacks[number]
    found.update(zip([pair for pair, _ in asked], stacks.read(stacks.Stack(
        folder.snapshot_path(zoo, unit, number), ids,
        [layouts[i] for i in ids], kept.digests.get(number, []),
        number in kept.checked), [row for _, row in asked], window)))
  return [found[pair] for pair in pairs]
