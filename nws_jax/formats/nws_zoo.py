"""Converts networks of the published format into units of a zoo.

Only the vectors of one snapshot of one unit are in memory at a time.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax import layout, published, space
from nws_jax.formats import nws_read
from nws_jax.store import folder, snapshots, stacks

STACK_BYTES = 64 * 2 ** 20  # of one snapshot of a unit, which bounds the memory


class Unit(NamedTuple):
  """Networks with the same architecture and number of snapshots."""
  name: str
  layout: layout.Layout
  ids: tuple[int, ...]  # of the networks: positions in the list of runs


class Side(NamedTuple):
  """Where a network belongs, as in members.csv."""
  setting: int
  replicate: int
  split: str
  fold: int


def plan(runs: Sequence[nws_read.Run], stack_bytes: int = STACK_BYTES
         ) -> list[Unit]:
  """Assigns each network to a unit.

  Args:
    runs: the networks.
    stack_bytes: most bytes of one snapshot of a unit.
  """
  groups: dict[tuple[layout.Layout, int], list[int]] = {}
  for id, run in enumerate(runs):
    key = nws_read.find_layout(run), len(run.snapshots)
    groups.setdefault(key, []).append(id)
  units = []
  for (of, count), ids in groups.items():
    most = max(1, stack_bytes // (4 * of.num_weights))
    for n, start in enumerate(range(0, len(ids), most)):
      units.append(Unit(f'{of.name}-s{count}-{n:03d}', of,
                        tuple(ids[start:start + most])))
  return units


def list_sides(runs: Sequence[nws_read.Run]) -> list[Side]:
  """Assigns each network to a setting, a split and a fold.

  Networks of one table with the same thirteen properties are replicates of
  one setting, and belong to the same split. If no table is for validation, one
  in eight of the training settings is moved to the validation split.
  """
  settings: dict[tuple[Any, ...], int] = {}
  count: dict[int, int] = {}  # {setting: the number of its last replicate}
  result = []
  two = all(run.side != 'valid' for run in runs)
  for run in runs:
    key = run.side, *run.row.values()
    setting = settings.setdefault(key, len(settings))
    replicate = count[setting] = count.get(setting, -1) + 1
    block, slot = divmod(setting, 8)
    split = run.side
    if two and split == 'train' and (
        np.random.default_rng([block, 0xa11d]).integers(8) == slot):
      split = 'valid'
    result.append(Side(setting, replicate, split, space.side(0, setting)[1]))
  return result


def write_unit(zoo: str, unit: Unit, runs: Sequence[nws_read.Run],
               sides: Sequence[Side], advance: Callable[[], Any]) -> None:
  """Writes and commits a unit; replaces what is there but not committed.

  Args:
    zoo: the zoo's folder.
    unit: the unit.
    runs: the networks of all units.
    sides: what `list_sides` returned for `runs`.
    advance: called after each vector.

  Raises:
    Damaged: a file has changed since it was checked, or the disk is full.
  """
  mine, size = [runs[id] for id in unit.ids], unit.layout.num_weights
  vectors_MxP = np.empty((len(mine), size), np.float32)
  writer = snapshots.Writer()
  digests: dict[int, list[str]] = {}
  for number in range(1, len(mine[0].snapshots) + 1):
    for m, run in enumerate(mine):
      vectors_MxP[m] = nws_read.read_vector(run, number)
      advance()
    writer.wait()  # for the previous snapshot, which was written meanwhile
    digests[number] = stacks.save(
        writer, folder.snapshot_path(zoo, unit.name, number),
        list(vectors_MxP), [unit.layout] * len(mine))
  members: list[folder.Row] = []
  metrics: list[folder.Row] = []
  for id, run in zip(unit.ids, mine):
    figures = [{'id': id, **f} for f in nws_read.read_figures(run)]
    members.append(_member(id, unit, run, sides[id], figures[-1]))
    metrics += figures
  writer.wait()
  folder.commit(zoo, unit.name, folder.Entry(
      max(f['epoch'] for f in metrics), True, members, metrics,
      [unit.layout], digests))


def _member(id: int, unit: Unit, run: nws_read.Run, side: Side,
            last: folder.Row) -> folder.Row:
  """A row of members.csv; what the format does not record is empty, or -1."""
  return {
      'id': id, 'unit': unit.name, **side._asdict(), 'seed': -1,
      'status': 'finished',
      'architecture': unit.layout.name, **run.row,
      **{p.name: p.choices[0] for p in published.EXTRA}, 'lr_decay': None,
      'epochs': run.evaluations - 1, 'evaluations': run.evaluations,
      'last_step': run.last_step, 'seconds': run.seconds,
      'diverged_epoch': None, 'num_weights': run.num_weights,
      'num_weights_conv': run.num_conv,
      **{k: last[k] for k in last if k.endswith('accuracy')}}
