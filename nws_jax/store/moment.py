"""A zoo at one moment: its config, tables, records and checksums.

They are consistent with each other even if a run writes while they are read.
"""

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from nws_jax import errors, published, space
from nws_jax.store import agreement, folder, layers, schema, tables, whole

if TYPE_CHECKING:
  import pandas as pd

_FILES = ('config.json', 'checksums.json', *schema.COLUMNS)
_TRIES = 20  # attempts to read a zoo that changes meanwhile


@dataclasses.dataclass(frozen=True)
class Moment:
  """The content of a zoo at one time, without its weights."""
  path: str
  config: dict[str, Any]
  texts: dict[str, str]  # {name: text} of the tables
  checksums: dict[str, Any]  # content of checksums.json
  # {unit: its commit record; the error, if it is damaged}
  records: dict[str, folder.Record | errors.Damaged]

  @property
  def properties(self) -> space.Properties:
    """The properties that its networks have."""
    return published.find_properties(self.config)

  def table(self, name: str) -> 'pd.DataFrame':
    """members.csv, metrics.csv or layers.csv as a DataFrame."""
    path = os.path.join(self.path, name)
    if name == 'layers.csv':
      return layers.parse(self.texts[name], path)
    columns = (schema.list_columns(self.properties) if name == 'members.csv'
               else schema.COLUMNS[name])
    return tables.parse_csv(self.texts[name], columns, path)

  def record(self, unit: str) -> folder.Record:
    """A unit's commit record; raises `Damaged` if it is damaged."""
    record = self.records[unit]
    if isinstance(record, errors.Damaged):
      raise record
    return record


def check(zoo: str) -> None:
  """Raises `Wrong` unless a folder is a zoo in which something is finished."""
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


def read(zoo: str) -> Moment:
  """Reads a zoo, even while a run is writing to it.

  Raises:
    Wrong: the folder is not a zoo, or nothing in it is finished.
    Damaged: a table is not what was written, or has networks that the config
      and the plan do not have.
  """
  check(zoo)
  found = _read(zoo)
  agreement.check_networks(
      zoo, found.config, found.texts['members.csv'],
      agreement.read_planned(zoo, found.config))
  return found


def _read(zoo: str) -> Moment:
  """Reads the tables of the zoo, or else of its units, until nothing changes.
  """
  for _ in range(_TRIES):
    before = _stamp(zoo)
    found: Moment | errors.Damaged
    try:
      top = _read_top(zoo)
      if top is not None:
        return top
      found = _read_units(zoo)
    except errors.Damaged as e:
      found = e
    if _stamp(zoo) == before:
      break
  if isinstance(found, errors.Damaged):
    raise found
  return found


def verify(moment: Moment) -> None:
  """Checks the units' commit records and tables.

  Raises:
    Damaged: one of them is not what was written.
  """
  for unit in moment.records:
    moment.record(unit)
    folder.committed(moment.path, unit)


class _Stamp(NamedTuple):
  """The identity of a version of a file."""
  path: str
  inode: int
  time: int  # of the last change, in nanoseconds
  size: int


def _stamp(zoo: str) -> list[_Stamp]:
  """The versions of the zoo's files; differs after any write or commit."""
  stamps = []
  for path in (*(os.path.join(zoo, name) for name in _FILES),
               *(folder.unit_path(zoo, unit, 'progress.json')
                 for unit in folder.units(zoo))):
    with contextlib.suppress(OSError):
      at = os.stat(path)
      stamps.append(_Stamp(path, at.st_ino, at.st_mtime_ns, at.st_size))
  return stamps


def _read_top(zoo: str) -> Moment | None:
  """Reads the tables of the whole zoo.

  Returns:
    None if they do not fit together, or if a unit has committed since they were
    written.
  """
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


def _read_units(zoo: str) -> Moment:
  """Merges the tables of the units.

  That is necessary while a run writes the tables of the whole zoo, or after it
  was killed meanwhile.
  """
  config, checksums, texts = _read_files(zoo)
  found = whole.gather(zoo)
  for name, text in texts.items():
    if tables.hash_text(text) != checksums['tables'].get(name) and (
        text != found.texts[name]):
      raise tables.damaged(os.path.join(zoo, name), 'its checksum is wrong')
  for unit, record in found.records.items():
    agreement.check_digests(
        zoo, unit, record, checksums['snapshots'].get(unit, {}))
  return Moment(zoo, config, found.texts, found.checksums, {**found.records})


class _Files(NamedTuple):
  """The files of the whole zoo."""
  config: dict[str, Any]
  checksums: dict[str, Any]
  texts: dict[str, str]  # {name: text} of the tables


def _read_files(zoo: str) -> _Files:
  checksums = whole.read_checksums(zoo)
  config = tables.read_json(os.path.join(zoo, 'config.json'))
  return _Files(config, checksums, {
      name: tables.read_text(os.path.join(zoo, name))
      for name in schema.COLUMNS})


def _read_record(zoo: str, unit: str) -> folder.Record | errors.Damaged:
  """A unit's commit record, or the error if it is missing or damaged."""
  try:
    record = folder.progress(zoo, unit)
  except errors.Damaged as e:
    return e
  return record or tables.damaged(
      folder.unit_path(zoo, unit, 'progress.json'), 'it is missing')


def _split(text: str) -> dict[str, str]:
  """Splits the members.csv of a zoo into those of its units: {unit: text}."""
  head, *rows = text.splitlines(keepends=True)
  at = list(schema.FIRST).index('unit')
  result: dict[str, list[str]] = {}
  for row in rows:
    result.setdefault(row.split(',')[at], [head]).append(row)
  return {unit: ''.join(lines) for unit, lines in result.items()}
