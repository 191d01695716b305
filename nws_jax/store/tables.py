"""The tables and records of a zoo: exact reading, atomic writing."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nws_jax import errors, say
from nws_jax.store import disks, schema

if TYPE_CHECKING:
  import pandas as pd

Path = str | os.PathLike[str]
_DTYPES = {
    schema.WORD: 'str', schema.WHOLE: 'int64', schema.REAL: 'float64',
    schema.FLAG: 'bool', schema.MAYBE: 'Int64',
}
_PLAIN = re.compile('[^,"]*')


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]
           ) -> str:
  """The text of a table, in which no value is quoted.

  Args:
    rows: mappings with all of `columns`; other keys are ignored. Missing values
      (None, NaN) become empty. Floats are read back exactly.
    columns: {column: kind}.

  Raises:
    ValueError: a word has a comma, a quote, or a character that cannot be
      printed.
  """
  lines = [','.join(columns)]
  lines += [','.join([_cell(row[name], kind) for name, kind in columns.items()])
            for row in rows]
  return '\n'.join(lines) + '\n'


def format_rows(rows: Sequence[Mapping[str, Any]],
                columns: Sequence[str] | None = None) -> str:
  """The text of a table whose rows have equal keys, quoted where necessary.

  Args:
    rows: may be empty only if `columns` are given.
    columns: the columns in their order; None: the keys of the first row.
  """
  out = io.StringIO()
  writer = csv.DictWriter(out, columns or list(rows[0]), lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return out.getvalue()


def _cell(value: Any, kind: str) -> str:
  if kind in (schema.REAL, schema.MAYBE) and _is_missing(value):
    return ''
  text = _WRITE[kind](value)
  if kind == schema.WORD and not (
      text.isprintable() and _PLAIN.fullmatch(text)):
    raise ValueError(f'{text!r} cannot stand in a table')
  return text


def _is_missing(value: Any) -> bool:
  """Whether it is None, NaN, or pandas.NA (without importing pandas)."""
  return (value is None or type(value).__name__ == 'NAType'
          or value != value)


_WRITE: dict[str, Callable[[Any], str]] = {
    schema.WORD: str, schema.WHOLE: lambda x: str(int(x)),
    schema.REAL: lambda x: repr(float(x)),
    schema.FLAG: lambda x: str(bool(x)), schema.MAYBE: lambda x: str(int(x)),
}


def parse_csv(text: str, columns: Mapping[str, str], path: Path
              ) -> 'pd.DataFrame':
  """Parses a table, with exact floats and a dtype for each kind of column.

  Args:
    text: what `to_csv` returned.
    columns: {column: kind}.
    path: the file that an error names.

  Raises:
    Damaged: it is not a complete table with these columns.
  """
  import pandas as pd  # slow to import, and --help does not need it
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
    # All cells in one list: the garbage collector would spend more time on a
    # list for each row than everything else takes.
    cells = ','.join(rows).split(',') if rows else []
    return pd.DataFrame({
        name: pd.array([_READ[kind](x) for x in cells[i::len(columns)]],
                       dtype=_DTYPES[kind])
        for i, (name, kind) in enumerate(columns.items())})
  except (ValueError, KeyError, OverflowError) as e:
    raise damaged(path, e) from e


_READ: dict[str, Callable[[str], Any]] = {
    schema.WORD: str, schema.WHOLE: int,
    schema.REAL: lambda x: float(x) if x else float('nan'),
    schema.FLAG: {'True': True, 'False': False}.__getitem__,
    schema.MAYBE: lambda x: int(x) if x else None,
}


def read_csv(path: Path, columns: Mapping[str, str], sha256: str | None = None
             ) -> 'pd.DataFrame':
  """Reads a table; see `parse_csv` and `read_text`."""
  return parse_csv(read_text(path, sha256), columns, path)


def read_json(path: Path) -> dict[str, Any]:
  """Reads a JSON object; inverse of `write_json`.

  Raises:
    Damaged: the file is missing, not a JSON object, or not what was written.
  """
  try:
    return parse_json(read_text(path)).value
  except ValueError as e:
    raise damaged(path, e) from e


class Parsed(NamedTuple):
  """A JSON object."""
  value: dict[str, Any]  # without its checksum
  checked: bool  # whether it had one


def parse_json(text: str) -> Parsed:
  """Parses a JSON object that `write_json` has written.

  Raises:
    ValueError: it is not a JSON object, or not what was written.
  """
  value = json.loads(text)
  if not isinstance(value, dict):
    raise ValueError('it holds no JSON object')
  written = value.pop(_CHECKSUM, None)  # older versions wrote none
  if written is not None and written != _hash_json(value):
    raise ValueError('its checksum is wrong')
  return Parsed(value, written is not None)


def read_text(path: Path, sha256: str | None = None) -> str:
  """Reads a file of UTF-8 text.

  Raises:
    Damaged: the file is missing, not readable, or has another SHA-256 than the
      one given.
  """
  try:
    with open(path, 'rb') as f:
      data = f.read()
    if sha256 is not None and hash_text(data) != sha256:
      raise ValueError('its checksum is wrong')
    return data.decode()
  except (OSError, ValueError) as e:
    raise damaged(path, e) from e


def write_json(path: Path, value: dict[str, Any]) -> None:
  """Writes a JSON object and its checksum, atomically and durably."""
  write_text(path, json.dumps(
      {**value, _CHECKSUM: _hash_json(value)}, indent=1) + '\n')


_CHECKSUM = 'checksum'  # the field that holds the checksum of all other fields


def _hash_json(value: dict[str, Any]) -> str:
  return hash_text(json.dumps(value))


def write_text(path: Path, text: str) -> None:
  """Writes text as UTF-8; see `write_bytes`."""
  write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
  """Writes a file atomically: a reader sees either the old or the new one.

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
  """Writes a file with `write_text`, unless it has this text already."""
  with contextlib.suppress(OSError), open(path, 'rb') as f:
    if f.read() == text.encode():
      return
  write_text(path, text)


def keep_json(path: str, value: dict[str, Any]) -> None:
  """Writes a file with `write_json`, unless it has this value already."""
  with contextlib.suppress(errors.Damaged):
    if _hash_json(read_json(path)) == _hash_json(value):
      return
  write_json(path, value)


def sweep(path: str) -> None:
  """Removes the temporary files that killed processes left in a folder."""
  for name in os.listdir(path) if os.path.isdir(path) else ():
    if is_aside(name):
      aside = os.path.join(path, name)
      if os.path.isdir(aside):
        shutil.rmtree(aside, ignore_errors=True)
      else:
        os.unlink(aside)


def is_aside(name: str) -> bool:
  """Whether a name is that of a temporary file of `write_bytes`."""
  return bool(re.search(r'\.\d+\.tmp$', name))


def hash_text(text: str | bytes) -> str:
  """SHA-256 of text or bytes, as hexadecimal digits."""
  data = text.encode() if isinstance(text, str) else text
  return hashlib.sha256(data).hexdigest()


def damaged(path: Path, reason: BaseException | str) -> errors.Damaged:
  """The error for a file or folder that is not what was written."""
  if isinstance(reason, OSError):
    reason = reason.strerror or reason
  return errors.Damaged(
      f'{path} is damaged: {say.first(reason or "not readable")}. Restore it '
      f'from a copy{_advise(path)}.')


_ADVICE = {  # {name of a file of the whole zoo: what else can be done}
    'config.json': ', for nothing else tells what the networks are; or train '
                   'them again in another --workdir',
    'plan.json': '; or move it away and run the zoo command again: it is made '
                 'anew from what the units recorded of it, which those of '
                 'older versions did not',
    **{name: '; or delete it and run the command that made the zoo again: it '
             'is made anew from the tables of the units'
       for name in (*schema.COLUMNS, 'checksums.json')}}


def _advise(path: Path) -> str:
  """What to do if there is no copy of a file or folder."""
  above, name = os.path.split(os.fspath(path))
  kind, unit = os.path.split(above)[0], os.path.basename(above)
  if (os.path.basename(kind) in ('units', 'snapshots', 'state')
      and not os.path.exists(os.path.join(above, 'config.json'))):
    return (f'; or delete units/{unit}, snapshots/{unit} and state/{unit} and '
            'run the command that made the zoo again: it makes that unit anew')
  return _ADVICE.get(name, '; or delete it and run the command that made it '
                           'again')
