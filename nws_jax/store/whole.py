"""The tables of a whole zoo, merged from those of its units.

  members.csv  metrics.csv  layers.csv  checksums.json
"""

import functools
import json
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from nws_jax.store import folder, layers, schema, tables


def rebuild(zoo: str, without: str | None = None) -> None:
  """Writes the tables of the whole zoo, and checksums.json, from its units.

  Files that are up to date are not written again.

  Args:
    zoo: the zoo's folder.
    without: a unit that is left out.

  Raises:
    Damaged: a unit's tables or record are damaged.
  """
  found = gather(zoo, without)
  for name, text in found.texts.items():
    tables.keep_text(os.path.join(zoo, name), text)
  tables.keep_json(os.path.join(zoo, 'checksums.json'), found.checksums)


class Gathered(NamedTuple):
  """The last commits of the units, merged."""
  texts: dict[str, str]  # {name: text} of the tables of the whole zoo
  checksums: dict[str, Any]  # as checksums.json has them
  records: dict[str, folder.Record]  # {unit: its commit record}


def gather(zoo: str, without: str | None = None) -> Gathered:
  """Reads and merges the last commits of all units but `without`.

  Raises:
    Damaged: a unit's tables or record are damaged.
  """
  commits = {unit: folder.committed(zoo, unit) for unit in folder.units(zoo)
             if unit != without}
  texts = _merge(zoo, commits.values())
  texts['layers.csv'] = layers.merge(
      commit.texts.get('layers.csv') or _read_old_layers(zoo)
      for commit in commits.values())
  records = {unit: commit.record for unit, commit in commits.items()}
  snapshots = {unit: hash_digests(r) for unit, r in records.items()}
  return Gathered(texts, {
      'zoo': _digest(texts, snapshots),
      'tables': {name: tables.hash_text(t) for name, t in texts.items()},
      'snapshots': snapshots}, records)


def _merge(zoo: str, commits: Iterable[folder.Commit]) -> dict[str, str]:
  """Merges members.csv and metrics.csv of the units: {name: text}."""
  texts = {}
  for name, columns in (('members.csv', folder.columns(zoo)),
                        ('metrics.csv', schema.METRICS)):
    rows: list[str] = []
    for commit in commits:
      rows += commit.texts[name].splitlines(keepends=True)[1:]
    # Sorting by id is stable, so the epochs of a network stay in order.
    rows.sort(key=lambda r: int(r[:r.index(',')]))
    texts[name] = ','.join(columns) + '\n' + ''.join(rows)
  return texts


@functools.lru_cache(maxsize=1)
def _upgrade(text: str, path: str) -> str:
  """Adds the columns that older versions did not write to a layers.csv."""
  return layers.to_csv(layers.read(layers.parse(text, path), path).values())


def _read_old_layers(zoo: str) -> str:
  """layers.csv of a zoo in which an older version wrote none for each unit."""
  path = os.path.join(zoo, 'layers.csv')
  text = tables.read_text(path)
  if os.path.exists(os.path.join(zoo, 'checksums.json')):
    written = read_checksums(zoo)['tables'].get('layers.csv')
    # A run that added columns may have been killed before it updated the
    # checksums, so these may also be of the table without the new columns.
    if written not in map(tables.hash_text, (text, layers.cut(text))):
      raise tables.damaged(path, 'its checksum is wrong')
  return _upgrade(text, path)


def _digest(texts: dict[str, str], snapshots: dict[str, dict[str, str]]) -> str:
  """The digest of a zoo, equal for zoos that differ in times only."""
  rows = [r.split(',') for r in texts['members.csv'].splitlines()]
  keep = [i for i, name in enumerate(rows[0]) if name not in schema.TIMES]
  members = [[r[i] for i in keep] for r in rows]
  return tables.hash_text(json.dumps(
      [members, texts['metrics.csv'], layers.cut(texts['layers.csv']),
       snapshots]))


def hash_digests(record: folder.Record) -> dict[str, str]:
  """{snapshot: digest of all its networks} of a unit, as in checksums.json."""
  return {str(n): tables.hash_text(' '.join(digests))
          for n, digests in sorted(record['digests'].items())}


def read_checksums(zoo: str) -> dict[str, Any]:
  """Reads checksums.json.

  Returns:
    {'zoo': digest, 'tables': {name: sha256},
    'snapshots': {unit: {snapshot: digest}}}.
  """
  path = os.path.join(zoo, 'checksums.json')
  record = tables.read_json(path)
  if not (isinstance(record.get('zoo'), str)
          and isinstance(record.get('tables'), dict)
          and isinstance(record.get('snapshots'), dict)):
    raise tables.damaged(path, 'it holds no checksums')
  return record
