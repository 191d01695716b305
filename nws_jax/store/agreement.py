"""Whether what a zoo says of itself agrees: its config, plan, units and tables.

A zoo says most things twice. The two are compared whenever it is opened, and
before a run removes or writes anything anew.
"""

import os
from collections.abc import Container, Iterable
from typing import Any

from nws_jax import errors
from nws_jax.store import folder, tables, whole

Config = dict[str, Any]  # content of config.json
Planned = dict[str, set[int] | None]  # unit -> its networks, if they are known


def read_planned(zoo: str, config: Config) -> Planned | None:
  """{unit: its networks, or None if they are not known}, as plan.json has it.

  Where plan.json is gone, the units' own records tell; None if nothing does.

  Raises:
    Damaged: a record is.
  """
  if 'converted_from' in config:
    units = config['converted_from'].get('units')
    return units and dict.fromkeys(units)
  path = os.path.join(zoo, 'plan.json')
  if os.path.exists(path):
    units = tables.read_json(path).get('units')
  else:
    units = [d['unit'] for d in folder.descriptions(zoo).values()]
  try:
    return {str(u['name']): set(map(int, u['ids'])) for u in units} or None
  except (KeyError, TypeError, ValueError) as e:
    raise tables.damaged(path, f'it is no plan ({e!r})') from e


def check_networks(zoo: str, config: Config, members: str,
                   planned: Planned | None) -> None:
  """Compares the networks of a table with config and plan.

  Args:
    zoo: the zoo's folder.
    config: content of config.json.
    members: text of members.csv.
    planned: as `read_planned` gives it.

  Raises:
    Damaged: a network is there twice, or is none of the zoo's; or a unit is.
  """
  path, seen = os.path.join(zoo, 'members.csv'), set()
  for id, unit in _columns(members, 2):
    id = int(id)
    if id in seen:
      raise tables.damaged(path, f'it names network {id} twice')
    seen.add(id)
    if not 0 <= id < config.get('networks', id + 1):
      raise tables.damaged(path, f'it names network {id}, but config.json only '
                           f'{config["networks"]} networks')
    if planned is not None:
      _check_planned(zoo, unit, [id], planned)
  for unit in folder.units(zoo) if planned is not None else ():
    _check_planned(zoo, unit, (), planned)


def check(zoo: str, config: Config, planned: Planned) -> None:
  """Compares all that a zoo says of itself; what it names must be there.

  Weights are not read. Tables on top that are missing are no damage: they are
  made of those of the units.

  Args:
    zoo: the zoo's folder; a run may go on in it.
    config: content of config.json.
    planned: as `read_planned` gives it, of every unit.

  Raises:
    Damaged: names the first thing that is not as another says.
  """
  for unit in folder.units(zoo):
    _check_planned(zoo, unit, (), planned)
  summed, blamed = _check_top(zoo)
  for unit in planned:
    before = None
    while True:
      record = folder.progress(zoo, unit)
      try:
        _check_description(zoo, unit, config, planned)
        if record is None:
          _check_untouched(zoo, unit, summed)
        else:
          own, numbers = _check_unit(zoo, unit, planned)
          check_digests(zoo, unit, own, summed.get(unit, {}), blamed)
          _check_there(zoo, unit, own, numbers)
        break
      except errors.Damaged:
        if record == before:
          raise
        before = record  # a run may have gone on meanwhile


def check_digests(zoo: str, unit: str, record: dict[str, Any],
                  summed: dict[str, str], blamed: str | None = None) -> None:
  """Raises `Damaged` if a unit's digests are not those in checksums.json.

  Args:
    zoo: the zoo's folder.
    unit: the unit's name.
    record: its commit record.
    summed: {snapshot: digest}, as checksums.json has it; a run that has gone on
      since has others, but no other digest of one.
    blamed: the file that is wrong then, if not the record.
  """
  found = whole.hash_digests(record)
  if any(found.get(n, digest) != digest for n, digest in summed.items()):
    raise tables.damaged(
        blamed or folder.unit_path(zoo, unit, 'progress.json'),
        f'the digests of {unit} in its record and in checksums.json differ')


def _check_planned(zoo: str, unit: str, ids: Iterable[int], planned: Planned
                   ) -> None:
  """Raises `Damaged` unless networks are planned for their unit."""
  if unit not in planned:
    raise _foreign(zoo, unit, 'nothing in config.json and plan.json names it')
  for id in ids:
    if planned[unit] is not None and id not in planned[unit]:
      raise _disagreeing(zoo, unit, id)


def _check_top(zoo: str) -> tuple[dict[str, dict[str, str]], str | None]:
  """({unit: {snapshot: digest}} of checksums.json, what is wrong where a unit
  has another digest: a file, or None for the unit's own record)."""
  path = os.path.join(zoo, 'checksums.json')
  if not os.path.exists(path):
    return {}, None
  checksums = whole.read_checksums(zoo)
  texts = {name: tables.read_text(os.path.join(zoo, name))
           for name in tables.COLUMNS
           if os.path.exists(os.path.join(zoo, name))}
  other = [name for name in texts if tables.hash_text(
      texts[name]) != checksums['tables'].get(name)]
  borne_out = any(name in texts and name not in other
                  for name in folder.UNIT_TABLES)
  # A run writes the checksums last: a table may be newer than they are, but
  # then it is what the units say.
  gathered = whole.gather(zoo) if other else None
  for name in other:
    if texts[name] != gathered.texts[name]:
      raise tables.damaged(
          os.path.join(zoo, name) if borne_out else path,
          'its checksum is wrong' if borne_out else
          f'it is not of the tables beside it, as of {name}')
  return checksums['snapshots'], None if borne_out else path


def _check_description(zoo: str, unit: str, config: Config, planned: Planned
                       ) -> None:
  """Compares what a unit recorded of itself with config and plan."""
  description = folder.description(zoo, unit)
  if description is None:  # of an older version, or deleted
    return
  if '' != description['zoo'] != config.get('identity', description['zoo']):
    raise _foreign(zoo, unit, 'its unit.json is of another zoo')
  ids = set(map(int, description['unit']['ids']))
  for id in sorted(ids ^ (planned[unit] or ids)):
    raise _disagreeing(zoo, unit, id)


def _check_untouched(zoo: str, unit: str, summed: Container[str]) -> None:
  """Raises `Damaged` if a unit without a record has ever had one."""
  snapshots = os.path.dirname(folder.snapshot_path(zoo, unit, 0))
  if unit in summed and os.path.isdir(snapshots) or any(
      os.path.exists(folder.unit_path(zoo, unit, name))
      for name in folder.UNIT_TABLES):
    raise tables.damaged(
        folder.unit_path(zoo, unit, 'progress.json'), 'it is missing')


def _check_unit(zoo: str, unit: str, planned: Planned
                ) -> tuple[dict[str, Any], list[int]]:
  """Compares a unit's record with its tables and the plan."""
  record, texts = folder.committed(zoo, unit)
  stacks, ids = {}, set()  # snapshot -> its networks
  for id, name in _columns(texts['members.csv'], 2):
    if name != unit:
      raise tables.damaged(folder.unit_path(zoo, unit, 'members.csv'),
                           f'it is of the unit {name}')
    ids.add(int(id))
  for id, _, _, number in _columns(texts['metrics.csv'], 4):
    if number:
      stacks.setdefault(int(number), []).append(int(id))
  _check_planned(zoo, unit, sorted(ids), planned)
  if record['done'] and planned[unit] is not None:
    for id in sorted(planned[unit] - ids):
      raise _disagreeing(zoo, unit, id)
  busy = sorted(id for id in record['slots'] if id >= 0)
  if {n: len(d) for n, d in record['digests'].items()} != {
      n: len(some) for n, some in stacks.items()}:
    wrong = 'it names other snapshots than metrics.csv'
  elif not record['done'] and busy != sorted(
      stacks.get(max(stacks, default=None), [])):
    wrong = 'its slots do not hold the networks of its last snapshot'
  else:
    return record, sorted(stacks)
  raise tables.damaged(folder.unit_path(zoo, unit, 'progress.json'), wrong)


def _check_there(zoo: str, unit: str, record: dict[str, Any],
                 numbers: list[int]) -> None:
  """Raises `Damaged` unless a unit's snapshots and state are there."""
  paths = [folder.snapshot_path(zoo, unit, n) for n in numbers]
  if not record['done']:
    paths.append(folder.state_path(zoo, unit, record['round']))
  for path in paths:
    if not os.path.isdir(path):
      raise tables.damaged(path, 'it is missing')


def _columns(text: str, count: int) -> list[list[str]]:
  """The first values of each row of a table."""
  return [row.split(',', count)[:count] for row in text.splitlines()[1:]]


def _disagreeing(zoo: str, unit: str, id: int) -> errors.Damaged:
  return tables.damaged(
      os.path.join(zoo, 'plan.json'),
      f'it does not say of network {id} what units/{unit} says')


def _foreign(zoo: str, unit: str, reason: str) -> errors.Damaged:
  return errors.Damaged(
      f'{os.path.join(zoo, "units", unit)} is no unit of this zoo: {reason}. '
      f'If it was copied there, move units/{unit}, snapshots/{unit} and '
      f'state/{unit} out of {zoo}, and run the command that made the zoo '
      'again. Otherwise config.json or plan.json was changed: restore it from '
      'a copy.')
