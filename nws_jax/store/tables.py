"""The tables and records of a zoo: columns, exact reading, atomic writing."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from nws_jax import errors, published, say, space
from nws_jax.store import disks

WORD, WHOLE, REAL, FLAG, MAYBE = 'word', 'whole', 'real', 'flag', 'maybe'
_DTYPES = {WORD: 'str', WHOLE: 'int64', REAL: 'float64', FLAG: 'bool',
           MAYBE: 'Int64'}  # MAYBE: a whole number, or empty
_PLAIN = re.compile('[^,"]*')

# docs/contract.md tells what the columns mean. Between the first and the last
# of members.csv are the properties of the zoo's networks.
FIRST = {
    'id': WHOLE, 'unit': WORD, 'setting': WHOLE, 'replicate': WHOLE,
    'seed': WHOLE, 'split': WORD, 'fold': WHOLE, 'status': WORD,
    'architecture': WORD,
}
LAST = {
    'lr_decay': REAL, 'epochs': WHOLE, 'evaluations': WHOLE,
    'last_step': WHOLE, 'seconds': REAL, 'diverged_epoch': MAYBE,
    'num_weights': WHOLE, 'num_weights_conv': WHOLE,
    'train_accuracy': REAL, 'valid_accuracy': REAL, 'test_accuracy': REAL,
}


def list_columns(properties: space.Properties) -> dict[str, str]:
  """{column: kind} of members.csv, of networks that have these properties."""
  def find_kind(p: space.Property) -> str:
    if p.continuous:
      return REAL
    return {bool: FLAG, str: WORD}.get(type(p.choices[0]), WHOLE)
  return {**FIRST, **{p.name: find_kind(p) for p in properties}, **LAST}


MEMBERS = list_columns(published.ALL)
METRICS = {
    'id': WHOLE, 'epoch': WHOLE, 'step': WHOLE, 'snapshot': MAYBE,
    'train_loss': REAL, 'train_accuracy': REAL, 'valid_loss': REAL,
    'valid_accuracy': REAL, 'test_loss': REAL, 'test_accuracy': REAL,
}
LAYERS = {
    'architecture': WORD, 'layer': WORD, 'tensor': WORD, 'start': WHOLE,
    'stop': WHOLE, 'shape': WORD, 'leaf': WORD, 'axes': WORD, 'part': WORD,
}
COLUMNS = {'members.csv': MEMBERS, 'metrics.csv': METRICS, 'layers.csv': LAYERS}
TIMES = ('seconds',)  # columns in which equal zoos may differ


def pick(count, keep):
  """Which of `count` evaluations keep their weights: `keep` of them, spread
  evenly from the first to the last (recipe, section 10); 0: all."""
  if not keep or count <= keep:
    return list(range(count))
  step = (count - 1) / (keep - 1)
  return [round(n * step) for n in range(keep)]


def to_csv(rows, columns):
  """The text of a table; no value needs quotes, for a word holds no comma.

  Args:
    rows: mappings with all of `columns`, others are left out; what is
      missing (None, NaN) becomes empty. Floats read back bit by bit.
    columns: one of the tables above.
  """
  lines = [','.join(columns)]
  lines += [','.join([_cell(row[name], kind) for name, kind in columns.items()])
            for row in rows]
  return '\n'.join(lines) + '\n'


def format_rows(rows: Sequence[Mapping[str, Any]],
                columns: Sequence[str] | None = None) -> str:
  """CSV text of rows with equal keys, quoted where needed.

  Args:
    rows: at least one, unless `columns` are given.
    columns: their order; None: as in the first row.
  """
  out = io.StringIO()
  writer = csv.DictWriter(out, columns or list(rows[0]), lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return out.getvalue()


def _cell(value, kind):
  if kind in (REAL, MAYBE) and _is_missing(value):
    return ''
  text = _WRITE[kind](value)
  if kind == WORD and not (text.isprintable() and _PLAIN.fullmatch(text)):
    raise ValueError(f'{text!r} cannot stand in a table')
  return text


def _is_missing(value):
  """None, NaN, or pandas.NA, for which pandas need not be imported."""
  return (value is None or type(value).__name__ == 'NAType'
          or value != value)


_WRITE = {
    WORD: str, WHOLE: lambda x: str(int(x)), REAL: lambda x: repr(float(x)),
    FLAG: lambda x: str(bool(x)), MAYBE: lambda x: str(int(x)),
}


def parse_csv(text, columns, path):
  """Text of a table -> pandas.DataFrame with exact floats and fixed types.

  Raises:
    Damaged: it is not a whole table of these columns; names `path`.
  """
  import pandas as pd  # slow, and of no use to --help
  try:
    if not text.endswith('\n'):
      raise ValueError('its last line is cut off')
    head, *rows = text[:-1].split('\n')
    if head.split(',') != list(columns):
      raise ValueError(f'its columns are {head}, not {",".join(columns)}')
    for n, row in enumerate(rows, 2):
      if row.count(',') != len(columns) - 1:
        raise ValueError(f'line {n} has {row.count(",") + 1} values, not '
                         f'{len(columns)}')
    # One flat list of strings: lists of lists cost the garbage collector more
    # than all the rest.
    cells = ','.join(rows).split(',') if rows else []
    return pd.DataFrame({
        name: pd.array([_READ[kind](x) for x in cells[i::len(columns)]],
                       dtype=_DTYPES[kind])
        for i, (name, kind) in enumerate(columns.items())})
  except (ValueError, KeyError, OverflowError) as e:
    raise damaged(path, e) from e


_READ = {
    WORD: str, WHOLE: int, REAL: lambda x: float(x) if x else float('nan'),
    FLAG: {'True': True, 'False': False}.__getitem__,
    MAYBE: lambda x: int(x) if x else None,
}


def read_csv(path, columns, sha256=None):
  """Reads one table; see `parse_csv`. `sha256` is what its bytes must have."""
  return parse_csv(read_text(path, sha256), columns, path)


def read_json(path):
  """Reads a JSON object; inverse of `write_json`.

  Raises:
    Damaged: it is not there, not one, or not what was written.
  """
  try:
    return parse_json(read_text(path))[0]
  except ValueError as e:
    raise damaged(path, e) from e


def parse_json(text):
  """(the JSON object that `write_json` wrote, whether it has a checksum).

  Raises:
    ValueError: it is none, or not what was written.
  """
  value = json.loads(text)
  if not isinstance(value, dict):
    raise ValueError('it holds no JSON object')
  written = value.pop(_CHECKSUM, None)  # older versions wrote none
  if written is not None and written != _hash_json(value):
    raise ValueError('its checksum is wrong')
  return value, written is not None


def read_text(path, sha256=None):
  """Reads a file; raises `Damaged` if it is missing or not `sha256`."""
  try:
    with open(path, 'rb') as f:
      data = f.read()
    if sha256 is not None and hash_text(data) != sha256:
      raise ValueError('its checksum is wrong')
    return data.decode()
  except (OSError, ValueError) as e:
    raise damaged(path, e) from e


def write_json(path, value):
  """Writes a JSON object and its checksum, atomically and durably."""
  write_text(path, json.dumps(
      {**value, _CHECKSUM: _hash_json(value)}, indent=1) + '\n')


_CHECKSUM = 'checksum'  # of all other fields, in a file of its own


def _hash_json(value: dict[str, Any]) -> str:
  return hash_text(json.dumps(value))


def write_text(path, text):
  """Writes text as UTF-8; see `write_bytes`."""
  write_bytes(path, text.encode())


def write_bytes(path, data):
  """Writes a file aside and renames it: a reader sees the old or the new one.

  Raises:
    Damaged: it cannot be written.
  """
  aside = f'{path}.{os.getpid()}.tmp'
  try:
    with open(aside, 'wb') as f:
      f.write(data)
      f.flush()
      disks.sync(f.fileno())
    os.replace(aside, path)
    disks.sync_folder(os.path.dirname(path) or '.')
  except OSError as e:
    if os.path.exists(aside):
      os.unlink(aside)
    raise errors.Damaged(
        f'{path} could not be written: {e.strerror}. {say.advise(e)} and run '
        'the same command again.') from e


def keep_text(path: str, text: str) -> None:
  """Writes a file, as `write_text` does, unless it has this text already."""
  with contextlib.suppress(OSError), open(path, 'rb') as f:
    if f.read() == text.encode():
      return
  write_text(path, text)


def keep_json(path: str, value: dict[str, Any]) -> None:
  """Writes a JSON object, as `write_json` does, unless it is there already."""
  with contextlib.suppress(errors.Damaged):
    if _hash_json(read_json(path)) == _hash_json(value):
      return
  write_json(path, value)


def sweep(path):
  """Removes what killed writers left aside in a folder."""
  for name in os.listdir(path) if os.path.isdir(path) else ():
    if is_aside(name):
      aside = os.path.join(path, name)
      if os.path.isdir(aside):
        shutil.rmtree(aside, ignore_errors=True)
      else:
        os.unlink(aside)


def is_aside(name):
  """Whether a file is one that is written aside: a killed writer's."""
  return bool(re.search(r'\.\d+\.tmp$', name))


def hash_text(text):
  """SHA-256 of text or bytes, as hexadecimal digits."""
  data = text.encode() if isinstance(text, str) else text
  return hashlib.sha256(data).hexdigest()


def damaged(path, reason):
  """The error for a file or folder that is not what was written."""
  if isinstance(reason, OSError):
    reason = reason.strerror or reason
  return errors.Damaged(
      f'{path} is damaged: {say.first(reason or "not readable")}. Restore it '
      f'from a copy{_advise(path)}.')


_ADVICE = {  # by the name of a record of a whole zoo
    'config.json': ', for nothing else tells what the networks are; or train '
                   'them again in another --workdir',
    'plan.json': '; or move it away and run the zoo command again: it is made '
                 'anew from what the units recorded of it, which those of '
                 'older versions did not',
    **{name: '; or delete it and run the command that made the zoo again: it '
             'is made anew from the tables of the units'
       for name in (*COLUMNS, 'checksums.json')}}


def _advise(path: str) -> str:
  """What helps where there is no copy of a file or folder."""
  above, name = os.path.split(os.fspath(path))
  kind, unit = os.path.split(above)[0], os.path.basename(above)
  if (os.path.basename(kind) in ('units', 'snapshots', 'state')
      and not os.path.exists(os.path.join(above, 'config.json'))):
    return (f'; or delete units/{unit}, snapshots/{unit} and state/{unit} and '
            'run the command that made the zoo again: it makes that unit anew')
  return _ADVICE.get(name, '; or delete it and run the command that made it '
                           'again')
