"""Networks of the published format -> units of a zoo, one vector at a time."""

from typing import NamedTuple

import numpy as np

from nws_jax import layout, published, space
from nws_jax.formats import nws_read
from nws_jax.store import folder, snapshots, stacks

STACK_BYTES = 64 * 2 ** 20  # of one snapshot of a unit: what bounds the memory


class Unit(NamedTuple):
  """Networks of one architecture and as many snapshots, stored together."""
  name: str
  layout: layout.Layout
  ids: tuple  # positions in the list of runs, which are the networks' ids


def plan(runs, stack_bytes=STACK_BYTES):
  """`Unit`s for a list of `nws_read.Run`, all networks in one of them."""
  groups = {}
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


def list_sides(runs):
  """(setting, replicate, split, fold) of each network.

  Networks of one table with the same thirteen properties are replicates of
  one setting, and stay on one side. The tables name two sides; where none is
  for validation, one setting in eight of those for training becomes it.
  """
  settings, count, result = {}, {}, []
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
    result.append((setting, replicate, split, space.side(0, setting)[1]))
  return result


def write_unit(zoo, unit, runs, sides, advance):
  """Writes and commits a unit; what lies there uncommitted is replaced.

  Args:
    zoo: the zoo's folder.
    unit: `Unit`.
    runs: all of them.
    sides: what `list_sides` gave for them.
    advance: called after each vector.

  Raises:
    Damaged: a file is not what it was, or there is no room.
  """
  mine, size = [runs[id] for id in unit.ids], unit.layout.num_weights
  vectors_MxP = np.empty((len(mine), size), np.float32)
  writer, digests = snapshots.Writer(), {}
  for number in range(1, len(mine[0].snapshots) + 1):
    for m, run in enumerate(mine):
      vectors_MxP[m] = nws_read.read_vector(run, number)
      advance()
    writer.wait()  # for the one before, which was written meanwhile
    digests[number] = stacks.save(
        writer, folder.snapshot_path(zoo, unit.name, number), vectors_MxP,
        [unit.layout] * len(mine))
  members, metrics = [], []
  for id, run in zip(unit.ids, mine):
    figures = [{'id': id, **f} for f in nws_read.read_figures(run)]
    members.append(_member(id, unit, run, sides[id], figures[-1]))
    metrics += figures
  writer.wait()
  folder.commit(zoo, unit.name, folder.Entry(
      max(f['epoch'] for f in metrics), True, members, metrics,
      [unit.layout], digests))


def _member(id, unit, run, side, last):
  """A row of members.csv; what the format does not tell is empty, or -1."""
  setting, replicate, split, fold = side
  return {
      'id': id, 'unit': unit.name, 'setting': setting, 'replicate': replicate,
      'seed': -1, 'split': split, 'fold': fold, 'status': 'finished',
      'architecture': unit.layout.name, **run.row,
      **{p.name: p.choices[0] for p in published.EXTRA}, 'lr_decay': None,
      'epochs': run.evaluations - 1, 'evaluations': run.evaluations,
      'last_step': run.last_step, 'seconds': run.seconds,
      'diverged_epoch': None, 'num_weights': run.num_weights,
      'num_weights_conv': run.num_conv,
      **{k: last[k] for k in last if k.endswith('accuracy')}}
