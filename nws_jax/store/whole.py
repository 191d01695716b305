"""The tables of a whole zoo, made of those of its units.

  members.csv  metrics.csv  layers.csv  checksums.json
"""

import json
import os
from typing import Any, NamedTuple

from nws_jax.store import folder, tables, vectors


def rebuild(zoo, without=None):
  """Writes the tables of the whole zoo, and checksums.json, from its units.

  What is as the units say stays untouched.

  Args:
    zoo: the zoo's folder.
    without: a unit that is left out.

  Raises:
    Damaged: a unit's tables or record are.
  """
  found = gather(zoo, without)
  for name, text in found.texts.items():
    tables.keep_text(os.path.join(zoo, name), text)
  tables.keep_json(os.path.join(zoo, 'checksums.json'), found.checksums)


class Gathered(NamedTuple):
  """What the units' last commits make together."""
  texts: dict  # {name: text} of the tables on top
  checksums: dict  # as checksums.json has them
  records: dict  # {unit: its commit record}


def gather(zoo, without=None):
  """Reads the last commits of the units but `without`, each of them whole.

  Raises:
    Damaged: a unit's tables or record are.
  """
  commits = {unit: folder.committed(zoo, unit) for unit in folder.units(zoo)
             if unit != without}
  texts = _merge(zoo, commits.values())
  records = {unit: commit.record for unit, commit in commits.items()}
  snapshots = {unit: hash_digests(r) for unit, r in records.items()}
  return Gathered(texts, {
      'zoo': _digest(texts, snapshots),
      'tables': {name: tables.hash_text(t) for name, t in texts.items()},
      'snapshots': snapshots}, records)


def _merge(zoo, commits):
  """The texts of the whole zoo's tables, from its units': {name: text}."""
  rows = {name: [] for name in folder.UNIT_TABLES}
  for commit in commits:
    for name, text in commit.texts.items():
      rows[name] += text.splitlines(keepends=True)[1:]
  texts = {}
  for name, columns in folder.UNIT_TABLES.items():
    # By id; epochs are in order in every unit, and stay so.
    rows[name].sort(key=lambda r: int(r[:r.index(',')]))
    texts[name] = ','.join(columns) + '\n' + ''.join(rows[name])
  texts['layers.csv'] = _layers(tables.parse_csv(
      texts['members.csv'], tables.MEMBERS, os.path.join(zoo, 'members.csv')))
  return texts


def _layers(members):
  """Text of layers.csv: every tensor of every architecture."""
  archs = {row['architecture']: vectors.architecture(row) for row in
           members.drop_duplicates('architecture').to_dict('records')}
  return tables.to_csv(
      ({'architecture': name, 'layer': s.layer, 'tensor': s.tensor,
        'start': s.start, 'stop': s.stop, 'shape': 'x'.join(map(str, s.shape))}
       for name in sorted(archs) for s in vectors.spans(archs[name])),
      tables.LAYERS)


def _digest(texts, snapshots):
  """One digest of a zoo; equal zoos, times aside, have equal ones."""
  rows = [r.split(',') for r in texts['members.csv'].splitlines()]
  keep = [i for i, name in enumerate(rows[0]) if name not in tables.TIMES]
  members = [[r[i] for i in keep] for r in rows]
  return tables.hash_text(json.dumps(
      [members, texts['metrics.csv'], texts['layers.csv'], snapshots]))


def hash_digests(record):
  """{snapshot: one digest of a unit's networks}, as checksums.json has it."""
  return {str(n): tables.hash_text(' '.join(digests))
          for n, digests in sorted(record['digests'].items())}


def read_checksums(zoo: str) -> dict[str, Any]:
  """{'zoo': digest, 'tables': {name: sha256}, 'snapshots': {unit: ...}}."""
  path = os.path.join(zoo, 'checksums.json')
  record = tables.read_json(path)
  if not (isinstance(record.get('zoo'), str)
          and isinstance(record.get('tables'), dict)
          and isinstance(record.get('snapshots'), dict)):
    raise tables.damaged(path, 'it holds no checksums')
  return record
