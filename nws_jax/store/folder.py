"""The folder of a zoo: its places, its lock, and the commits of its units.

  config.json  plan.json, and the tables of the whole zoo (whole.py)
  units/<unit>/             description, tables and commit record of one unit
  snapshots/<unit>/<number>/ variables of its networks, and their checksums
                             (stacks.py)
  state/<unit>/<round>/     the trainer's state after that round

A unit is what one program trains, in rounds: an epoch of every network that
has a slot. metrics.csv tells which of a network's epochs is in which snapshot.
`progress.json` is written last: what it does not name did not happen.
"""

import contextlib
import os
import re
import shutil
from typing import Any, NamedTuple

from nws_jax import errors
from nws_jax.store import locks, tables

UNIT_TABLES = {
    'members.csv': tables.MEMBERS, 'metrics.csv': tables.METRICS}
CHECKSUMS = 'checksums.u64'  # in a snapshot's folder
_NAME = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9._-]*')


def unit_path(zoo, unit, *names):
  """units/<unit>/... in a zoo; see `_inside`."""
  return _inside(zoo, 'units', unit, *names)


def snapshot_path(zoo, unit, number):
  """Folder of a unit's snapshot: the number that metrics.csv gives it."""
  return _inside(zoo, 'snapshots', unit, str(int(number)))


def state_path(zoo, unit, round):
  """Folder of the trainer's state after a round."""
  return _inside(zoo, 'state', unit, str(int(round)))


def _inside(zoo, *names):
  """Joins a path whose parts may come from a file: it stays in the zoo."""
  for name in names:
    if not _NAME.fullmatch(name):
      raise errors.Damaged(f'{zoo} names {name!r}, which is no name of a unit '
                           'or a file of one. Restore it from a copy.')
  path = os.path.join(zoo, *names)
  root = os.path.realpath(zoo)
  if os.path.commonpath([root, os.path.realpath(path)]) != root:
    raise errors.Damaged(f'{path} leads out of {zoo} by a link. Put what it '
                         'names in its place.')
  return path


def lock(zoo):
  """Holds a zoo's folder, which is made, for this process alone.

  Returns:
    a context manager; see `locks.hold`.
  """
  return locks.hold(os.path.join(zoo, 'lock'))


def list_held(path):
  """Sorted names of what is in a folder, but for locks and what a process
  writes aside."""
  return sorted(name for name in os.listdir(path)
                if name != 'lock' and not tables.is_aside(name))


def commit(zoo, unit, round, done, members, metrics, digests, slots=(),
           seconds=0.0, state=None):
  """Makes a unit's state after `round` the one to go on from.

  Its snapshot and state must be durable already.

  Args:
    zoo: the zoo's folder.
    unit: the unit's name.
    round: the last round of the unit that counts.
    done: nothing will follow.
    members: rows of its networks (`tables.MEMBERS`), in ascending id.
    metrics: rows of all its evaluations so far (`tables.METRICS`), those of a
      network in the order of epochs.
    digests: {snapshot: digests of its networks, in ascending id}, of every
      one kept.
    slots: the network in each slot of the program; -1 is empty.
    seconds: that the unit has taken so far.
    state: {leaf: digest} of the trainer's state after that round.
  """
  os.makedirs(unit_path(zoo, unit), exist_ok=True)
  _settle(zoo, unit)
  texts = {'members.csv': tables.to_csv(members, tables.MEMBERS),
           'metrics.csv': tables.to_csv(metrics, tables.METRICS)}
  for name, text in texts.items():
    tables.write_text(unit_path(zoo, unit, name + _NEW), text)
  tables.write_json(unit_path(zoo, unit, 'progress.json'), {
      'round': int(round), 'done': bool(done),
      'tables': {k: tables.hash_text(t) for k, t in texts.items()},
      'digests': {str(int(n)): list(d) for n, d in digests.items()},
      'checked': [int(n) for n in digests if os.path.exists(
          os.path.join(snapshot_path(zoo, unit, n), CHECKSUMS))],
      'slots': [int(id) for id in slots], 'seconds': float(seconds),
      'state': dict(state or {})})
  _settle(zoo, unit)


_NEW = '.new'  # a table that its record may name already


def _settle(zoo, unit):
  """Puts tables that the record names in their places."""
  record = progress(zoo, unit)
  for name in UNIT_TABLES:
    path = unit_path(zoo, unit, name)
    if os.path.exists(path + _NEW) and record and tables.hash_text(
        tables.read_text(path + _NEW)) == record['tables'].get(name):
      os.replace(path + _NEW, path)


def sweep(zoo, unit):
  """Removes what a unit's record does not name: of runs that were killed, and
  the snapshots that were not kept."""
  tables.sweep(unit_path(zoo, unit))
  _settle(zoo, unit)
  for name in UNIT_TABLES:  # one that no record came to name
    if os.path.exists(unit_path(zoo, unit, name + _NEW)):
      os.unlink(unit_path(zoo, unit, name + _NEW))
  record = progress(zoo, unit)
  kept = {str(n) for n in (record or {'digests': ()})['digests']}
  done = record is not None and record['done']
  for path, keep in (
      (_inside(zoo, 'snapshots', unit), kept),
      (_inside(zoo, 'state', unit),
       {str(record['round'])} if record and not done else ())):
    for name in os.listdir(path) if os.path.isdir(path) else ():
      if name not in keep:
        shutil.rmtree(os.path.join(path, name), ignore_errors=True)
  if done:
    shutil.rmtree(_inside(zoo, 'state', unit), ignore_errors=True)


def forget(zoo, unit):
  """Removes all of a unit, its records at one blow: it was never begun."""
  path = unit_path(zoo, unit)
  if os.path.isdir(path):
    gone = f'{path}.{os.getpid()}.tmp'
    os.rename(path, gone)
    shutil.rmtree(gone, ignore_errors=True)
  for path in (_inside(zoo, 'snapshots', unit), _inside(zoo, 'state', unit)):
    shutil.rmtree(path, ignore_errors=True)


def is_begun(zoo: str) -> bool:
  """Whether a folder has what only zoos have, but for config.json."""
  return any(os.path.exists(os.path.join(zoo, name))
             for name in ('plan.json', 'units'))


def units(zoo):
  """Names of the units that committed anything, sorted."""
  return _list_units(zoo, 'progress.json')


def _list_units(zoo: str, file: str) -> list[str]:
  folder = os.path.join(zoo, 'units')
  names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
  return [n for n in names
          if _NAME.fullmatch(n) and not tables.is_aside(n)
          and os.path.exists(unit_path(zoo, n, file))]


def describe(zoo: str, unit: str, description: dict[str, Any]) -> None:
  """Records what is planned of a unit beside what it will commit."""
  os.makedirs(unit_path(zoo, unit), exist_ok=True)
  tables.keep_json(unit_path(zoo, unit, 'unit.json'), description)


def description(zoo: str, unit: str) -> dict[str, Any] | None:
  """What was planned of a unit, as `describe` was given it; None if nothing
  was recorded.

  Raises:
    Damaged: it is not readable.
  """
  path = unit_path(zoo, unit, 'unit.json')
  if not os.path.exists(path):
    return None
  record = tables.read_json(path)
  if not (isinstance(record.get('zoo'), str)
          and isinstance(record.get('unit'), dict)):
    raise tables.damaged(path, 'it does not describe a unit')
  return record


def descriptions(zoo: str) -> dict[str, dict[str, Any]]:
  """{unit: its description} of all that have one."""
  return {unit: description(zoo, unit)
          for unit in _list_units(zoo, 'unit.json')}


def progress(zoo, unit):
  """A unit's commit record, or None before its first commit.

  Returns:
    {'round': int, 'done': bool, 'tables': {name: sha256},
    'digests': {snapshot: [digest of each network]}, 'checked': [snapshots
    with `CHECKSUMS`], of older versions empty, 'slots': [id],
    'seconds': float, 'state': {leaf: digest}, of older versions empty}

  Raises:
    Damaged: it is not readable.
  """
  path = unit_path(zoo, unit, 'progress.json')
  if not os.path.exists(path):
    return None
  record = tables.read_json(path)
  try:
    return {'round': int(record['round']), 'done': bool(record['done']),
            'tables': {k: str(v) for k, v in record['tables'].items()},
            'digests': {int(n): [str(d) for d in ds]
                        for n, ds in record['digests'].items()},
            'checked': [int(n) for n in record.get('checked', ())],
            'slots': [int(id) for id in record['slots']],
            'seconds': float(record['seconds']),
            'state': {k: str(v) for k, v in record.get('state', {}).items()}}
  except (KeyError, TypeError, ValueError, AttributeError) as e:
    raise tables.damaged(path, f'it is no commit record ({e!r})') from e


class Commit(NamedTuple):
  """What a unit committed at once."""
  record: dict  # see `progress`
  texts: dict  # {name: text} of its tables


def committed(zoo, unit):
  """A unit's last `Commit`, whole even while a run commits the next one.

  Raises:
    Damaged: nothing was committed, or a table is not what was.
  """
  record = progress(zoo, unit)
  while True:
    if record is None:
      raise tables.damaged(
          unit_path(zoo, unit, 'progress.json'), 'it is missing')
    try:
      return Commit(record, {
          name: _read_table(zoo, unit, name, record['tables'].get(name))
          for name in UNIT_TABLES})
    except errors.Damaged:
      before, record = record, progress(zoo, unit)
      if record == before:
        raise


def _read_table(zoo, unit, name, sha256):
  path = unit_path(zoo, unit, name)
  # A run killed while it committed left it aside; a run that goes on may put
  # it in its place between two looks.
  for place in (path, path + _NEW, path):
    with contextlib.suppress(errors.Damaged):
      return tables.read_text(place, sha256)
  tables.read_text(path)  # says that it is missing
  raise tables.damaged(path, 'its checksum is wrong')


def read_unit(zoo, unit):
  """A unit's (members, metrics) as last committed: two DataFrames."""
  return parse(zoo, unit, committed(zoo, unit))


def parse(zoo, unit, commit):
  """The (members, metrics) of a unit's `Commit`: two DataFrames."""
  return tuple(
      tables.parse_csv(
          commit.texts[name], columns, unit_path(zoo, unit, name))
      for name, columns in UNIT_TABLES.items())
