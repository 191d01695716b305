"""The folder of a zoo: its paths, its lock, and the commits of its units.

  config.json  plan.json, and the tables of the whole zoo (whole.py)
  units/<unit>/             description, tables and commit record of one unit
  snapshots/<unit>/<number>/ variables of its networks, and their checksums
                             (stacks.py)
  state/<unit>/<round>/     the trainer's state after that round

A unit is trained by one program, in rounds. A round is one epoch of every
network that has a slot. metrics.csv says which snapshot has the weights of a
network after an epoch. The commit record, `progress.json`, is written last:
whatever it does not name is not part of the zoo.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nws_jax import errors, published
from nws_jax.layout import Layout
from nws_jax.store import layers, locks, schema, tables

if TYPE_CHECKING:
  import pandas as pd

UNIT_TABLES = ('members.csv', 'metrics.csv', 'layers.csv')
Row = dict[str, Any]  # of a table
Record = dict[str, Any]  # a unit's commit record; see `progress`
CHECKSUMS = 'checksums.u64'  # in a snapshot's folder
_NAME = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9._-]*')


def unit_path(zoo: str, unit: str, *names: str) -> str:
  """The path units/<unit>/... in a zoo."""
  return _inside(zoo, 'units', unit, *names)


def snapshot_path(zoo: str, unit: str, number: int) -> str:
  """The folder of a unit's snapshot, by its number in metrics.csv."""
  return _inside(zoo, 'snapshots', unit, str(int(number)))


def state_path(zoo: str, unit: str, round: int) -> str:
  """The folder of the trainer's state after a round."""
  return _inside(zoo, 'state', unit, str(int(round)))


def _inside(zoo: str, *names: str) -> str:
  """Joins a path, some parts of which may have been read from a file.

  Raises:
    Damaged: a part is not a plain name, or the path leads out of the zoo.
  """
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


def lock(zoo: str) -> contextlib.AbstractContextManager[None]:
  """Creates a zoo's folder, and holds it for this process; see `locks.hold`."""
  return locks.hold(os.path.join(zoo, 'lock'))


def list_held(path: str) -> list[str]:
  """Sorted names of the files in a folder, without locks and temporary files.
  """
  return sorted(name for name in os.listdir(path)
                if name != 'lock' and not tables.is_aside(name))


class Entry(NamedTuple):
  """What a unit commits after a round."""
  round: int  # the number of the round
  done: bool  # whether it is the last one
  members: Iterable[Row]  # of its networks (`columns`), by id
  metrics: Iterable[Row]  # of all its evaluations so far (`schema.METRICS`),
  #   those of a network in the order of epochs
  layouts: Iterable[Layout]  # of its architectures
  digests: Mapping[int, Sequence[str]]  # {snapshot: digests of its networks, by
  #   id} of all snapshots that are kept
  slots: Sequence[int] = ()  # the network in each slot; -1: empty
  seconds: float = 0.0  # of training so far
  state: Mapping[str, str] = MappingProxyType({})  # {leaf: digest} of the
  #   trainer's state after the round


def commit(zoo: str, unit: str, entry: Entry) -> None:
  """Commits a round of a unit: a later run resumes after it.

  The snapshot and the state of the round must be durable already.
  """
  os.makedirs(unit_path(zoo, unit), exist_ok=True)
  _settle(zoo, unit)
  _write(zoo, unit, {
      'members.csv': tables.to_csv(entry.members, columns(zoo)),
      'metrics.csv': tables.to_csv(entry.metrics, schema.METRICS),
      'layers.csv': layers.to_csv(entry.layouts)}, {
          'round': int(entry.round), 'done': bool(entry.done),
          'digests': {str(int(n)): list(d) for n, d in entry.digests.items()},
          'checked': [int(n) for n in entry.digests if os.path.exists(
              os.path.join(snapshot_path(zoo, unit, n), CHECKSUMS))],
          'slots': [int(id) for id in entry.slots],
          'seconds': float(entry.seconds), 'state': dict(entry.state)})


def complete(zoo: str, unit: str, layouts: Iterable[Layout]) -> None:
  """Adds layers.csv to a unit if an older version committed it without one."""
  record = progress(zoo, unit)
  if record is not None and 'layers.csv' not in record['tables']:
    _write(zoo, unit, {**committed(zoo, unit).texts,
                       'layers.csv': layers.to_csv(layouts)}, record)


def _write(zoo: str, unit: str, texts: dict[str, str], record: Record) -> None:
  """Writes a unit's tables under temporary names, then the commit record, and
  then renames the tables."""
  before = (progress(zoo, unit) or {'tables': {}})['tables']
  hashes = {name: tables.hash_text(text) for name, text in texts.items()}
  for name, text in texts.items():
    if hashes[name] != before.get(name):
      tables.write_text(unit_path(zoo, unit, name + _NEW), text)
  tables.write_json(unit_path(zoo, unit, 'progress.json'),
                    {**record, 'tables': hashes})
  _settle(zoo, unit)


_NEW = '.new'  # suffix of a table that may be committed, but is not renamed yet


def _settle(zoo: str, unit: str) -> None:
  """Renames the tables that are committed but still have temporary names."""
  record = progress(zoo, unit)
  for name in UNIT_TABLES:
    path = unit_path(zoo, unit, name)
    if os.path.exists(path + _NEW) and record and tables.hash_text(
        tables.read_text(path + _NEW)) == record['tables'].get(name):
      os.replace(path + _NEW, path)


def sweep(zoo: str, unit: str) -> None:
  """Removes what is not committed: remnants of killed runs, and snapshots that
  are not kept."""
  tables.sweep(unit_path(zoo, unit))
  _settle(zoo, unit)
  for name in UNIT_TABLES:  # those that were never committed
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


def forget(zoo: str, unit: str) -> None:
  """Removes everything of a unit; its records disappear atomically."""
  path = unit_path(zoo, unit)
  if os.path.isdir(path):
    gone = f'{path}.{os.getpid()}.tmp'
    os.rename(path, gone)
    shutil.rmtree(gone, ignore_errors=True)
  for path in (_inside(zoo, 'snapshots', unit), _inside(zoo, 'state', unit)):
    shutil.rmtree(path, ignore_errors=True)


def is_begun(zoo: str) -> bool:
  """Whether a folder has files of a zoo other than config.json."""
  return any(os.path.exists(os.path.join(zoo, name))
             for name in ('plan.json', 'units'))


def units(zoo: str) -> list[str]:
  """Sorted names of the units with at least one commit."""
  return list_units(zoo, 'progress.json')


def list_units(zoo: str, file: str) -> list[str]:
  """Sorted names of the units whose folders have a file of this name."""
  folder = os.path.join(zoo, 'units')
  names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
  return [n for n in names
          if _NAME.fullmatch(n) and not tables.is_aside(n)
          and os.path.exists(unit_path(zoo, n, file))]


def progress(zoo: str, unit: str) -> Record | None:
  """A unit's commit record; None before its first commit.

  Returns:
    {'round': int, 'done': bool, 'tables': {name: sha256},
    'digests': {snapshot: [digest of each network]},
    'checked': [snapshots with `CHECKSUMS`], 'slots': [id], 'seconds': float,
    'state': {leaf: digest}}. Older versions recorded neither 'checked' nor
    'state'; then these are empty.

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
  """One commit of a unit."""
  record: Record
  texts: dict[str, str]  # {name: text} of its tables


def committed(zoo: str, unit: str) -> Commit:
  """Reads a unit's last commit, consistently even if a run commits meanwhile.

  Raises:
    Damaged: there is no commit, or a table is not what was committed.
  """
  record = progress(zoo, unit)
  while True:
    if record is None:
      raise tables.damaged(
          unit_path(zoo, unit, 'progress.json'), 'it is missing')
    try:
      return Commit(record, {
          name: _read_table(zoo, unit, name, record['tables'].get(name))
          for name in UNIT_TABLES if name != 'layers.csv'
          or name in record['tables']})  # older versions had none
    except errors.Damaged:
      before, record = record, progress(zoo, unit)
      if record == before:
        raise


def _read_table(zoo: str, unit: str, name: str, sha256: str | None) -> str:
  path = unit_path(zoo, unit, name)
  # A run that was killed during a commit left the table under its temporary
  # name. A run that continues may rename it between the first two tries.
  for place in (path, path + _NEW, path):
    with contextlib.suppress(errors.Damaged):
      return tables.read_text(place, sha256)
  tables.read_text(path)  # raises if it is missing
  raise tables.damaged(path, 'its checksum is wrong')


class Tables(NamedTuple):
  """The parsed tables of a unit."""
  members: 'pd.DataFrame'
  metrics: 'pd.DataFrame'


def read_unit(zoo: str, unit: str) -> Tables:
  """Reads the tables of a unit's last commit."""
  return parse(zoo, unit, committed(zoo, unit))


def parse(zoo: str, unit: str, commit: Commit) -> Tables:
  """Parses the tables of a unit's commit."""
  return Tables(*(
      tables.parse_csv(commit.texts[name], kinds, unit_path(zoo, unit, name))
      for name, kinds in (('members.csv', columns(zoo)),
                          ('metrics.csv', schema.METRICS))))


def columns(zoo: str) -> dict[str, str]:
  """{column: kind} of members.csv, from the properties in config.json."""
  path = os.path.join(zoo, 'config.json')
  return schema.list_columns(published.find_properties(
      tables.read_json(path) if os.path.exists(path) else {}))
