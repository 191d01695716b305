"""What a zoo's plan says about a unit, recorded in the unit's own folder."""

import os
from typing import Any

from nws_jax.store import folder, tables


def write(zoo: str, unit: str, description: dict[str, Any]) -> None:
  """Records the plan of a unit in the unit's own folder."""
  os.makedirs(folder.unit_path(zoo, unit), exist_ok=True)
  tables.keep_json(folder.unit_path(zoo, unit, 'unit.json'), description)


def read(zoo: str, unit: str) -> dict[str, Any] | None:
  """The plan of a unit that `write` has recorded; None: there is none.

  Raises:
    Damaged: it is not readable.
  """
  path = folder.unit_path(zoo, unit, 'unit.json')
  if not os.path.exists(path):
    return None
  record = tables.read_json(path)
  if not (isinstance(record.get('zoo'), str)
          and isinstance(record.get('unit'), dict)):
    raise tables.damaged(path, 'it does not describe a unit')
  return record


def read_all(zoo: str) -> dict[str, dict[str, Any]]:
  """{unit: its description} of all units that have one."""
  found = {unit: read(zoo, unit)
           for unit in folder.list_units(zoo, 'unit.json')}
  return {unit: d for unit, d in found.items() if d is not None}
