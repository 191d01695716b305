"""A zoo as it was at one moment: its config, tables, records and checksums.

A run may write while they are read: what is read together fits together.
"""

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any

from nws_jax import errors, published, space
from nws_jax.store import agreement, folder, layers, tables, whole

if TYPE_CHECKING:
  import pandas as pd

_FILES = ('config.json', 'checksums.json', *tables.COLUMNS)
_TRIES = 20  # looks at a zoo that changes during each


@dataclasses.dataclass(frozen=True)
class Moment:
  """What a zoo said of itself at one time."""
  path: str
  config: dict[str, Any]
  texts: dict[str, str]  # {name: text} of the tables
  checksums: dict[str, Any]  # as checksums.json has them
  # {unit: its commit record; the error, if it is damaged}
  records: dict[str, folder.Record | errors.Damaged]

  @property
  def properties(self) -> space.Properties:
    """The table of the properties that its networks have."""
    return published.find_properties(self.config)

  def table(self, name: str) -> 'pd.DataFrame':
    """members.csv, metrics.csv or layers.csv as a DataFrame."""
    path = os.path.join(self.path, name)
    if name == 'layers.csv':
      return layers.parse(self.texts[name], path)
    columns = (tables.list_columns(self.properties) if name == 'members.csv'
               else tables.COLUMNS[name])
    return tables.parse_csv(self.texts[name], columns, path)

  def record(self, unit):
    """A unit's commit record; raises `Damaged` if it is."""
    if isinstance(self.records[unit], errors.Damaged):
      raise self.records[unit]
    return self.records[unit]


def check(zoo):
  """Raises `Wrong` unless a folder is a zoo with something in it."""
  make = f'Make one with: python -m nws_jax.zoo --config=configs/zoo.py ' \
         f'--workdir={zoo}'
  if not os.path.isdir(zoo):
    raise errors.Wrong(f'{zoo} is no folder. {make}')
  if not os.path.exists(os.path.join(zoo, 'config.json')):
    if folder.is_begun(zoo):
      raise tables.damaged(os.path.join(zoo, 'config.json'), 'it is missing')
    raise errors.Wrong(f'{zoo} is not a zoo: it has no config.json. ' + (
        'Name the folder of one.' if os.listdir(zoo) else make))
  if not os.path.exists(os.path.join(zoo, 'checksums.json')):
    raise errors.Wrong(f'nothing in {zoo} is finished yet: wait for its run, '
                       'or start it again.')


def read(zoo):
  """Reads a zoo's `Moment`, whether or not a run goes on in it.

  Raises:
    Wrong: it is not a zoo, or nothing in it is finished.
    Damaged: a table is not what was written, or names networks that config
      and plan do not.
  """
  check(zoo)
  found = _read(zoo)
  agreement.check_networks(
      zoo, found.config, found.texts['members.csv'],
      agreement.read_planned(zoo, found.config))
  return found


def _read(zoo):
  for _ in range(_TRIES):
    before = _stamp(zoo)
    try:
      found, error = _read_top(zoo), None
      if found is not None:
        return found
      found = _read_units(zoo)
    except errors.Damaged as e:
      error = e
    if _stamp(zoo) == before:
      break
  if error is not None:
    raise error
  return found


def verify(moment):
  """Compares the units' records, and their tables, with a `Moment`.

  Raises:
    Damaged: one is not what was written.
  """
  for unit in moment.records:
    moment.record(unit)
    folder.committed(moment.path, unit)


def _stamp(zoo):
  """Changes whenever a run writes a table, or a unit commits."""
  stamps = []
  for path in (*(os.path.join(zoo, name) for name in _FILES),
               *(folder.unit_path(zoo, unit, 'progress.json')
                 for unit in folder.units(zoo))):
    with contextlib.suppress(OSError):
      at = os.stat(path)
      stamps.append((path, at.st_ino, at.st_mtime_ns, at.st_size))
  return stamps


def _read_top(zoo):
  """The `Moment` of the tables on top; None if they do not fit together, or
  units have gone on since they were written."""
  config, checksums, texts = _read_files(zoo)
  if {n: tables.hash_text(t) for n, t in texts.items()} != checksums['tables']:
    return None
  rows = _split(texts['members.csv'])
  if rows.keys() != checksums['snapshots'].keys():
    return None
  records = {unit: _read_record(zoo, unit) for unit in rows}
  for unit, record in records.items():
    if isinstance(record, errors.Damaged):
      continue
    own = tables.hash_text(rows[unit])
    if own != record['tables'].get('members.csv'):
      try:
        folder.committed(zoo, unit)
        return None
      except errors.Damaged as e:
        records[unit] = e
    elif whole.hash_digests(record) != checksums['snapshots'][unit]:
      records[unit] = tables.damaged(
          folder.unit_path(zoo, unit, 'progress.json'),
          'its digests are not those in checksums.json')
  return Moment(zoo, config, texts, checksums, records)


def _read_units(zoo):
  """The `Moment` that the units tell, where a run is writing the tables on top
  or was killed while it did."""
  config, checksums, texts = _read_files(zoo)
  found = whole.gather(zoo)
  for name, text in texts.items():
    if tables.hash_text(text) != checksums['tables'].get(name) and (
        text != found.texts[name]):
      raise tables.damaged(os.path.join(zoo, name), 'its checksum is wrong')
  for unit, record in found.records.items():
    agreement.check_digests(
        zoo, unit, record, checksums['snapshots'].get(unit, {}))
  return Moment(zoo, config, *found)


def _read_files(zoo):
  """(config, checksums, {name: text} of the tables) on top."""
  checksums = whole.read_checksums(zoo)
  config = tables.read_json(os.path.join(zoo, 'config.json'))
  return config, checksums, {
      name: tables.read_text(os.path.join(zoo, name))
      for name in tables.COLUMNS}


def _read_record(zoo, unit):
  """A unit's commit record; the error, if there is none to read."""
  try:
    record = folder.progress(zoo, unit)
  except errors.Damaged as e:
    return e
  return record or tables.damaged(
      folder.unit_path(zoo, unit, 'progress.json'), 'it is missing')


def _split(text):
  """{unit: text of its own table} of the members.csv on top."""
  head, *rows = text.splitlines(keepends=True)
  at, result = list(tables.FIRST).index('unit'), {}
  for row in rows:
    result.setdefault(row.split(',')[at], [head]).append(row)
  return {unit: ''.join(lines) for unit, lines in result.items()}
