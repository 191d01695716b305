"""Records of results, each with the digests of the files beside it.

A record is a JSON object, which is written last into its folder. Its field
`files` holds {name: SHA-256} of the files that belong to it, and its field
`checksum` its own checksum (see `tables.write_json`). Reading a record compares
both, so damage is found at once. Records of older versions have neither field,
and nothing is compared.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nws_jax import errors, say
from nws_jax.store import locks, tables

RESULT, ABLATION, LADDER = 'result.json', 'ablation.json', 'ladder.json'
_RECORDS = (RESULT, ABLATION, LADDER)  # a finished folder has one of them
# What a folder has whose result is begun, and perhaps not finished.
_BEGUN = ('predictions.csv', 'ablation.csv', 'ladder.csv', 'model')
_FILES = 'files'
# Suffixes of a folder that is not finished, and of one that is replaced.
_PART, _OLD = '.part', '.old'


def write(path: tables.Path, record: Mapping[str, Any],
          names: Iterable[str] | None = None) -> None:
  """Writes a record, after the files that belong to it.

  Args:
    path: the file of the record.
    record: a mapping that JSON can hold.
    names: the files of its folder that belong to it; None: all of them.

  Raises:
    Damaged: it cannot be written.
  """
  folder = pathlib.Path(path).parent
  if names is None:
    names = [p.relative_to(folder).as_posix() for p in folder.rglob('*')
             if p.is_file() and p != pathlib.Path(path)]
  tables.write_json(path, {**record, _FILES: {
      name: _hash_file(folder / name) for name in sorted(names)}})


def read(path: tables.Path, names: Iterable[str] | None = None
         ) -> dict[str, Any]:
  """Reads a record, and compares its files with their digests.

  Args:
    path: the file of the record.
    names: which of its files are compared; None: all of them.

  Returns:
    The record as it was given to `write`, without the digests.

  Raises:
    Damaged: the record or one of its files is not what was written; the
      message names the file.
  """
  try:
    with open(path, encoding='utf-8') as f:
      record, checked = tables.parse_json(f.read())
    # Raises ValueError if a text holds no characters, as '\ud800' does.
    json.dumps(record, ensure_ascii=False).encode()
    files = record.pop(_FILES, {})
    if bool(files) and not checked:
      raise ValueError('its checksum is missing')
  except (OSError, ValueError, RecursionError) as e:
    raise damaged(path, e) from e
  for name in files if names is None else [n for n in names if n in files]:
    if os.path.isabs(name) or '..' in name.split('/'):
      raise damaged(path, f'{name!r} is not beside it')
    _check_file(pathlib.Path(path).parent / name, files[name])
  return record


def _check_file(path: pathlib.Path, sha256: str) -> None:
  try:
    if _hash_file(path) != sha256:
      raise ValueError('its checksum is wrong')
  except (OSError, ValueError) as e:
    raise damaged(path, e) from e


def _hash_file(path: pathlib.Path) -> str:
  with open(path, 'rb') as f:
    return hashlib.file_digest(f, 'sha256').hexdigest()


@contextlib.contextmanager
def naming(path: tables.Path) -> Iterator[None]:
  """Turns what a reader of an incomplete record raises into `Damaged`."""
  try:
    yield
  except KeyError as e:
    raise damaged(path, f'it has no {e.args[0]!r}') from e
  except (AttributeError, IndexError, OSError, OverflowError, TypeError,
          ValueError) as e:
    raise damaged(path, str(e)) from e


def damaged(path: tables.Path, reason: BaseException | str) -> errors.Damaged:
  """The error for a file of a result that is not what was written."""
  if isinstance(reason, OSError):
    reason = reason.strerror or ''
  return errors.Damaged(
      f'{path} is damaged: {say.first(reason or "not readable")}. Run the '
      'python -m nws_jax.meta command that made it again, with --force; or '
      f'remove {pathlib.Path(path).parent}.')


def find(folder: tables.Path, name: str) -> list[pathlib.Path]:
  """Paths of the files `name` of all finished results under a folder, sorted.

  Args:
    folder: a --workdir of meta; it need not exist.
    name: a path within a result's folder, such as model/recipe.json.
  """
  return sorted(p for p in pathlib.Path(folder).glob(f'*/*/{name}')
                if not _is_aside(p.relative_to(folder).parts[1]))


def list_unfinished(folder: tables.Path) -> list[pathlib.Path]:
  """Folders under a --workdir of meta with an unfinished result, sorted."""
  def holds(path: pathlib.Path, names: Iterable[str]) -> bool:
    return any((path / name).exists() for name in names)
  return sorted(p for p in pathlib.Path(folder).glob('*/*') if p.is_dir()
                and (_is_aside(p.name) or holds(p, _BEGUN)
                     and not holds(p, _RECORDS)))


def _is_aside(name: str) -> bool:
  return name.endswith((_PART, _OLD))


@contextlib.contextmanager
def hold(folder: tables.Path) -> Iterator[None]:
  """Holds a result's folder for this process; other processes wait."""
  folder = os.fspath(folder)
  with locks.hold(f'{folder}.lock', wait=True):
    _recover(folder)
    yield


@contextlib.contextmanager
def replace(folder: tables.Path) -> Iterator[str]:
  """Yields a new folder, which replaces `folder` unless an error is raised.

  The caller must hold the folder: see `hold`.
  """
  folder = os.fspath(folder)
  aside = folder + _PART
  shutil.rmtree(aside, ignore_errors=True)
  os.makedirs(aside)
  try:
    yield aside
  except BaseException:
    shutil.rmtree(aside, ignore_errors=True)
    raise
  if os.path.exists(folder):
    os.rename(folder, folder + _OLD)
  os.rename(aside, folder)
  shutil.rmtree(folder + _OLD, ignore_errors=True)


def _recover(folder: str) -> None:
  """Completes a replacement during which the process was killed."""
  if os.path.exists(folder + _OLD):
    if not os.path.exists(folder):
      os.rename(folder + _OLD, folder)
    shutil.rmtree(folder + _OLD, ignore_errors=True)
