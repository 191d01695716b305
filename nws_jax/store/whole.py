"""The tables of a whole zoo: made of those of its units, read and checked.

  members.csv  metrics.csv  layers.csv  checksums.json
"""

import json
import os

from nws_jax import errors
from nws_jax.store import folder, tables, vectors


def rebuild(zoo):
  """Writes the tables of the whole zoo, and checksums.json, from its units.

  Raises:
    Damaged: a unit's tables or record are.
  """
  texts = _merge(zoo)
  snapshots = {unit: _hash_digests(zoo, unit) for unit in folder.units(zoo)}
  for name, text in texts.items():
    tables.write_text(os.path.join(zoo, name), text)
  tables.write_json(os.path.join(zoo, 'checksums.json'), {
      'zoo': _digest(texts, snapshots),
      'tables': {name: tables.hash_text(t) for name, t in texts.items()},
      'snapshots': snapshots})


def _merge(zoo):
  """The texts of the whole zoo's tables, from its units: {name: text}."""
  rows = {name: [] for name in folder.UNIT_TABLES}
  for unit in folder.units(zoo):
    for name, text in folder.committed(zoo, unit).items():
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


def _hash_digests(zoo, unit):
  """{snapshot: one digest of a unit's networks}, as checksums.json has it."""
  return {str(n): tables.hash_text(' '.join(digests))
          for n, digests in sorted(
              folder.progress(zoo, unit)['digests'].items())}


def verify(zoo):
  """Compares the units' tables and records with their checksums.

  Raises:
    Damaged: one is not what was written.
  """
  for unit, written in read_checksums(zoo)['snapshots'].items():
    folder.committed(zoo, unit)
    found = _hash_digests(zoo, unit)
    if any(found.get(n) != digest for n, digest in written.items()):
      raise tables.damaged(folder.unit_path(zoo, unit, 'progress.json'),
                           'its digests are not those in checksums.json')


def check(zoo):
  """Raises `Wrong` unless a folder is a zoo with something in it."""
  make = f'Make one with: python -m nws_jax.zoo --config=configs/zoo.py ' \
         f'--workdir={zoo}'
  if not os.path.isdir(zoo):
    raise errors.Wrong(f'{zoo} is no folder. {make}')
  if not os.path.exists(os.path.join(zoo, 'config.json')):
    raise errors.Wrong(f'{zoo} is not a zoo: it has no config.json. {make}')
  if not os.path.exists(os.path.join(zoo, 'checksums.json')):
    raise errors.Wrong(f'nothing in {zoo} is finished yet: wait for its run, '
                       'or start it again.')


def read_table(zoo, name):
  """Reads members.csv, metrics.csv or layers.csv of a whole zoo.

  Raises:
    Damaged: it is not what was written.
  """
  path = os.path.join(zoo, name)
  sha256 = read_checksums(zoo)['tables'].get(name)
  text = tables.read_text(path)
  # A run writes the checksums last: a table may be newer than they are, but
  # then it is what the units say.
  if tables.hash_text(text) != sha256 and text != _merge(zoo)[name]:
    raise tables.damaged(path, 'its checksum is wrong')
  return tables.parse_csv(text, tables.COLUMNS[name], path)


def read_checksums(zoo):
  """{'zoo': digest, 'tables': {name: sha256}, 'snapshots': {...}}."""
  path = os.path.join(zoo, 'checksums.json')
  record = tables.read_json(path)
  if not (isinstance(record.get('zoo'), str)
          and isinstance(record.get('tables'), dict)
          and isinstance(record.get('snapshots'), dict)):
    raise tables.damaged(path, 'it holds no checksums')
  return record
