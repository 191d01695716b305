"""Checks that the config, plan, units and tables of a zoo agree.

A zoo records most things twice. The two records are compared whenever the zoo
is opened, and before a run removes or rewrites anything.
"""

import os
from collections.abc import Container, Iterable
from typing import Any, NamedTuple

from nws_jax import errors
from nws_jax.store import descriptions, folder, schema, tables, whole

Config = dict[str, Any]  # content of config.json
Planned = dict[str, set[int] | None]  # {unit: its networks, None: not known}


def read_planned(zoo: str, config: Config) -> Planned | None:
  """Reads the networks of each unit from plan.json.

  If plan.json is missing, they are read from the units' own descriptions.

  Returns:
    {unit: its networks, or None if they are not known}; None if nothing
    records them.

  Raises:
    Damaged: a record is damaged.
  """
  if 'converted_from' in config:
    units = config['converted_from'].get('units')
    return units and dict.fromkeys(units)
  path = os.path.join(zoo, 'plan.json')
  if os.path.exists(path):
    units = tables.read_json(path).get('units')
  else:
    units = [d['unit'] for d in descriptions.read_all(zoo).values()]
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
    planned: what `read_planned` returns.

  Raises:
    Damaged: the table has a network twice, or a network or unit that is not
      of this zoo.
  """
  path = os.path.join(zoo, 'members.csv')
  seen: set[int] = set()
  for cell, unit in _columns(members, 2):
    id = int(cell)
    if id in seen:
      raise tables.damaged(path, f'it names network {id} twice')
    seen.add(id)
    if not 0 <= id < config.get('networks', id + 1):
      raise tables.damaged(path, f'it names network {id}, but config.json only '
                           f'{config["networks"]} networks')
    if planned is not None:
      _check_planned(zoo, unit, [id], planned)
  if planned is not None:
    for unit in folder.units(zoo):
      _check_planned(zoo, unit, (), planned)


def check(zoo: str, config: Config, planned: Planned) -> None:
  """Compares all records of a zoo, and checks that the files they name exist.

  Weights are not read. The zoo's own tables may be missing, because they can be
  made from those of the units.

  Args:
    zoo: the zoo's folder; a run may be writing to it.
    config: content of config.json.
    planned: what `read_planned` returns, for every unit.

  Raises:
    Damaged: two records disagree, or a file is missing; the message names the
      first one found.
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
        before = record  # a run may have committed meanwhile: check it again


def check_digests(zoo: str, unit: str, record: dict[str, Any],
                  summed: dict[str, str], blamed: str | None = None) -> None:
  """Raises `Damaged` if a unit's digests are not those in checksums.json.

  Args:
    zoo: the zoo's folder.
    unit: the unit's name.
    record: its commit record.
    summed: {snapshot: digest} of checksums.json. A run that has continued since
      may have other snapshots, but the same digest of each that is in both.
    blamed: the file that an error names; None: the unit's record.
  """
  found = whole.hash_digests(record)
  if any(found.get(n, digest) != digest for n, digest in summed.items()):
    raise tables.damaged(
        blamed or folder.unit_path(zoo, unit, 'progress.json'),
        f'the digests of {unit} in its record and in checksums.json differ')


def _check_planned(zoo: str, unit: str, ids: Iterable[int], planned: Planned
                   ) -> None:
  """Raises `Damaged` unless the networks are planned for this unit."""
  if unit not in planned:
    raise _foreign(zoo, unit, 'nothing in config.json and plan.json names it')
  known = planned[unit]
  for id in ids:
    if known is not None and id not in known:
      raise _disagreeing(zoo, unit, id)


class _Top(NamedTuple):
  """What the files of the whole zoo say of its snapshots."""
  summed: dict[str, dict[str, str]]  # {unit: {snapshot: digest}}
  blamed: str | None  # the file to blame if a unit's digests differ from these;
  #   None: the unit's own record


def _check_top(zoo: str) -> _Top:
  """Compares the zoo's tables with checksums.json and with the units."""
  path = os.path.join(zoo, 'checksums.json')
  if not os.path.exists(path):
    return _Top({}, None)
  checksums = whole.read_checksums(zoo)
  texts = {name: tables.read_text(os.path.join(zoo, name))
           for name in schema.COLUMNS
           if os.path.exists(os.path.join(zoo, name))}
  other = [name for name in texts if tables.hash_text(
      texts[name]) != checksums['tables'].get(name)]
  borne_out = any(name in texts and name not in other
                  for name in folder.UNIT_TABLES)
  # A run writes the checksums last, so a table may be newer than they are. Then
  # it must equal the table that the units give.
  gathered = whole.gather(zoo).texts if other else {}
  for name in other:
    if texts[name] != gathered[name]:
      raise tables.damaged(
          os.path.join(zoo, name) if borne_out else path,
          'its checksum is wrong' if borne_out else
          f'it is not of the tables beside it, as of {name}')
  return _Top(checksums['snapshots'], None if borne_out else path)


def _check_description(zoo: str, unit: str, config: Config, planned: Planned
                       ) -> None:
  """Compares a unit's description with the config and the plan."""
  description = descriptions.read(zoo, unit)
  if description is None:  # older versions wrote none, or it was deleted
    return
  if '' != description['zoo'] != config.get('identity', description['zoo']):
    raise _foreign(zoo, unit, 'its unit.json is of another zoo')
  ids = set(map(int, description['unit']['ids']))
  for id in sorted(ids ^ (planned[unit] or ids)):
    raise _disagreeing(zoo, unit, id)


def _check_untouched(zoo: str, unit: str, summed: Container[str]) -> None:
  """Raises `Damaged` if a unit without a commit record has ever had one."""
  snapshots = os.path.dirname(folder.snapshot_path(zoo, unit, 0))
  if unit in summed and os.path.isdir(snapshots) or any(
      os.path.exists(folder.unit_path(zoo, unit, name))
      for name in folder.UNIT_TABLES):
    raise tables.damaged(
        folder.unit_path(zoo, unit, 'progress.json'), 'it is missing')


def _check_unit(zoo: str, unit: str, planned: Planned
                ) -> tuple[dict[str, Any], list[int]]:
  """Compares a unit's record with its tables and the plan.

  Returns:
    (its record, the numbers of its snapshots).
  """
  record, texts = folder.committed(zoo, unit)
  ids: set[int] = set()
  stacks: dict[int, list[int]] = {}  # {snapshot: its networks}
  for id, name in _columns(texts['members.csv'], 2):
    if name != unit:
      raise tables.damaged(folder.unit_path(zoo, unit, 'members.csv'),
                           f'it is of the unit {name}')
    ids.add(int(id))
  for id, _, _, number in _columns(texts['metrics.csv'], 4):
    if number:
      stacks.setdefault(int(number), []).append(int(id))
  _check_planned(zoo, unit, sorted(ids), planned)
  if record['done']:
    for missing in sorted((planned[unit] or set()) - ids):
      raise _disagreeing(zoo, unit, missing)
  busy = sorted(id for id in record['slots'] if id >= 0)
  if {n: len(d) for n, d in record['digests'].items()} != {
      n: len(some) for n, some in stacks.items()}:
    wrong = 'it names other snapshots than metrics.csv'
  elif not record['done'] and busy != sorted(
      stacks[max(stacks)] if stacks else []):
    wrong = 'its slots do not hold the networks of its last snapshot'
  else:
    return record, sorted(stacks)
  raise tables.damaged(folder.unit_path(zoo, unit, 'progress.json'), wrong)


def _check_there(zoo: str, unit: str, record: dict[str, Any],
                 numbers: list[int]) -> None:
  """Raises `Damaged` unless a unit's snapshots and state exist."""
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
  """The error if plan.json and a unit disagree about a network."""
  return tables.damaged(
      os.path.join(zoo, 'plan.json'),
      f'it does not say of network {id} what units/{unit} says')


def _foreign(zoo: str, unit: str, reason: str) -> errors.Damaged:
  """The error for a unit that does not belong to the zoo."""
  return errors.Damaged(
      f'{os.path.join(zoo, "units", unit)} is no unit of this zoo: {reason}. '
      f'If it was copied there, move units/{unit}, snapshots/{unit} and '
      f'state/{unit} out of {zoo}, and run the command that made the zoo '
      'again. Otherwise config.json or plan.json was changed: restore it from '
      'a copy.')
