"""Records of results: each names the digests of the files beside it; what is
damaged is told at the first look.

A record is a JSON object, written last into its folder. `files` in it are
{name: SHA-256} of what it speaks for; its own checksum is that of all JSON
(`tables.write_json`). Records of older versions have neither: then there is
nothing to compare.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil

from nws_jax import errors, say
from nws_jax.store import locks, tables

RESULT, ABLATION, LADDER = 'result.json', 'ablation.json', 'ladder.json'
_RECORDS = (RESULT, ABLATION, LADDER)  # a finished folder has one of them
_BEGUN = ('predictions.csv', 'ablation.csv', 'ladder.csv', 'model')
_FILES = 'files'
_PART, _OLD = '.part', '.old'  # of folders: half-made, and replaced


def write(path, record, names=None):
  """Writes a record whose files are there already.

  Args:
    path: of the record.
    record: a mapping that JSON can hold.
    names: of the files it speaks for, in its folder; all that lie there if
      None.

  Raises:
    Damaged: it cannot be written.
  """
  folder = pathlib.Path(path).parent
  if names is None:
    names = [p.relative_to(folder).as_posix() for p in folder.rglob('*')
             if p.is_file() and p != pathlib.Path(path)]
  tables.write_json(path, {**record, _FILES: {
      name: _hash_file(folder / name) for name in sorted(names)}})


def read(path, names=None):
  """A record that is what was written, without its digests.

  Args:
    path: of the record.
    names: which of its files are compared with their digests; all if None.

  Raises:
    Damaged: it is not, or a file that it speaks for is not; names that one.
  """
  try:
    with open(path, encoding='utf-8') as f:
      record, checked = tables.parse_json(f.read())
    json.dumps(record, ensure_ascii=False).encode()  # \ud800 is no character
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


def _check_file(path, sha256):
  try:
    if _hash_file(path) != sha256:
      raise ValueError('its checksum is wrong')
  except (OSError, ValueError) as e:
    raise damaged(path, e) from e


def _hash_file(path):
  with open(path, 'rb') as f:
    return hashlib.file_digest(f, 'sha256').hexdigest()


@contextlib.contextmanager
def naming(path):
  """What an incomplete record makes its reader raise becomes `Damaged`."""
  try:
    yield
  except KeyError as e:
    raise damaged(path, f'it has no {e.args[0]!r}') from e
  except (AttributeError, IndexError, OSError, OverflowError, TypeError,
          ValueError) as e:
    raise damaged(path, str(e)) from e


def damaged(path, reason):
  """The error for a file of a result that is not what was written."""
  if isinstance(reason, OSError):
    reason = reason.strerror
  return errors.Damaged(
      f'{path} is damaged: {say.first(reason or "not readable")}. Run the '
      'python -m nws_jax.meta command that made it again, with --force; or '
      f'remove {pathlib.Path(path).parent}.')


def find(folder, name):
  """Paths of the files `name` of all finished results under a folder, sorted.

  Args:
    folder: a --workdir of meta; it need not exist.
    name: as result.json or model/recipe.json.
  """
  return sorted(p for p in pathlib.Path(folder).glob(f'*/*/{name}')
                if not _is_aside(p.relative_to(folder).parts[1]))


def list_unfinished(folder):
  """Folders under a --workdir of meta with a half-made result, sorted."""
  def holds(path, names):
    return any((path / name).exists() for name in names)
  return sorted(p for p in pathlib.Path(folder).glob('*/*') if p.is_dir()
                and (_is_aside(p.name) or holds(p, _BEGUN)
                     and not holds(p, _RECORDS)))


def _is_aside(name):
  return name.endswith((_PART, _OLD))


@contextlib.contextmanager
def hold(folder):
  """Lets one process at a time make a result's folder; others wait for it."""
  folder = os.fspath(folder)
  with locks.hold(f'{folder}.lock', wait=True):
    _recover(folder)
    yield


@contextlib.contextmanager
def replace(folder):
  """Yields a new folder, which takes the place of `folder` if all goes well.

  It is for who holds the folder: see `hold`.
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


def _recover(folder):
  """Ends the replacement of a folder by a process that was killed in it."""
  if os.path.exists(folder + _OLD):
    if not os.path.exists(folder):
      os.rename(folder + _OLD, folder)
    shutil.rmtree(folder + _OLD, ignore_errors=True)
