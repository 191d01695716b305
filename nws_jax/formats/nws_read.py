"""Reads the published format, and checks what it reads.

The files are not trusted: only the last parts of a path from a table are used,
under the folder that the user named, and no link below that folder is followed.
"""

import csv
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors, layout, published, space
from nws_jax.formats import nws
from nws_jax.store import schema

_TABLE = re.compile(rf'(.*[_-])?({"|".join(nws.SIDES)})\.csv')
_SHAPES = ('filter_size', 'depth_conv', 'depth_fc', 'width_conv', 'width_fc')


class Run(NamedTuple):
  """One network of the published format."""
  path: str  # its folder
  side: str  # the one of `nws.SIDES` whose table names it
  row: dict[str, Any]  # its thirteen properties
  num_conv: int  # weights of the convolution part
  num_weights: int
  evaluations: int
  last_step: int
  seconds: float

  @property
  def snapshots(self) -> list[int]:
    """Epochs of its snapshots, ascending."""
    return schema.pick(self.evaluations, nws.SNAPSHOTS)


class Line(NamedTuple):
  """A line of a table."""
  where: str  # the file and the number of the line
  cells: dict[str, str]  # {column: text}


def list_tables(root: str) -> list[str]:
  """Sorted names of the tables in a folder.

  Raises:
    Wrong: there are none.
  """
  try:
    names = sorted(n for n in os.listdir(root) if _TABLE.fullmatch(n))
  except OSError as e:
    raise errors.Wrong(f'{root} is no folder that can be read: {e.strerror}. '
                       'Name the folder of the published data.') from e
  if not names:
    raise errors.Wrong(f'{root} holds no table of networks, such as '
                       'nws_main_train.csv and nws_main_test.csv. Name the '
                       'folder they are in.')
  return names


def list_runs(root: str) -> list[Run]:
  """Lists the networks of all tables in a folder.

  It reads and checks everything but the vectors, of which it checks the sizes.

  Returns:
    The networks, sorted by path.

  Raises:
    Damaged: a file or a line of a table is wrong; the message names it.
  """
  runs: dict[str, Run] = {}
  for name in list_tables(root):
    side = next(s for s in nws.SIDES if name.endswith(f'{s}.csv'))
    for line in _read_table(os.path.join(root, name)):
      run = _open_run(root, side, line)
      if run.path in runs:
        raise errors.Damaged(f'{line.where}: {run.path} is named a second '
                             'time. Keep one of the two lines.')
      runs[run.path] = run
  return [runs[path] for path in sorted(runs)]


def read_figures(run: Run) -> list[dict[str, Any]]:
  """The rows of metrics.csv of a network, without its id and losses."""
  error_Tx5 = _read_errors(run.path)
  numbers = {epoch: n for n, epoch in enumerate(run.snapshots, 1)}
  # The accuracies of this library are float32; this restores them exactly. NaN
  # means that an accuracy was not measured.
  with np.errstate(over='ignore'):
    accuracy_Tx3 = (1 - error_Tx5[:, 1:4] / 100).astype(np.float32)
  return [
      {'epoch': epoch, 'step': int(step), 'snapshot': numbers.get(epoch),
       'train_loss': None, 'valid_loss': None, 'test_loss': None,
       'train_accuracy': float(a), 'valid_accuracy': float(b),
       'test_accuracy': float(c)}
      for epoch, (step, (a, b, c)) in enumerate(
          zip(error_Tx5[:, 0], accuracy_Tx3))]


def _read_errors(folder: str) -> np.ndarray:
  """Reads error.bin of a network, float64 [T, 5], and checks its steps."""
  path = os.path.join(folder, 'error.bin')
  error_Tx5 = np.fromfile(path, nws.FLOAT).reshape(-1, 5)
  step_T = error_Tx5[:, 0]
  if not ((0 <= step_T) & (step_T < 2 ** 63)
          & (step_T == np.floor(step_T))).all():
    raise _damaged(path, 'a step is no whole number')
  return error_Tx5


def read_vector(run: Run, number: int) -> np.ndarray:
  """Reads the vector of a snapshot, float32 [P]; `number` counts from 1."""
  path = os.path.join(run.path, nws.weights_name(number))
  _check_size(path, 8 * run.num_weights)
  with np.errstate(over='ignore'):  # values too large become infinite
    return np.fromfile(path, nws.FLOAT).astype(np.float32)


def find_layout(run: Run) -> layout.Layout:
  """The layout of a network's vector.

  It is `layout.flat` unless the table describes a published architecture of
  that size.
  """
  try:
    for name in _SHAPES:
      space.check(published.BY_NAME[name], (run.row[name],))
    known = published.layout(published.architecture(run.row))
    if (known.num_weights_conv, known.num_weights) == (
        run.num_conv, run.num_weights):
      return known
  except errors.Wrong:
    pass
  return layout.flat(run.num_conv, run.num_weights)


def _read_table(path: str) -> Iterator[Line]:
  if os.path.islink(path) or not os.path.isfile(path):
    raise _damaged(path, 'it is a link or no file')
  try:
    with open(path, encoding='utf-8', newline='') as f:
      reader = csv.DictReader(f)
      columns = reader.fieldnames or ()
      missing = set(nws.SPLIT_COLUMNS) - set(columns)
      if missing:
        raise ValueError(f'it has no column {", ".join(sorted(missing))}')
      for cells in reader:
        if None in cells or None in cells.values():
          raise ValueError(f'line {reader.line_num} does not have '
                           f'{len(columns)} values')
        yield Line(f'{path}, line {reader.line_num}', cells)
  except (OSError, ValueError, csv.Error) as e:
    raise _damaged(path, e) from e


def _open_run(root: str, side: str, line: Line) -> Run:
  """Reads and checks everything of a network but its vectors."""
  where, cells = line
  try:
    row = nws.decode(cells)
    num_conv, num_fc = (int(cells[c]) for c in ('weightn_conv', 'weightn_fc'))
    if num_conv < 0 or num_fc < 0 or not 0 < num_conv + num_fc < 2 ** 31:
      raise ValueError(f'weightn_conv and weightn_fc are {num_conv}, {num_fc}')
  except ValueError as e:
    raise _damaged(where, e) from e
  path = find(root, cells['path'], where)
  stat_path, error_path = (
      os.path.join(path, n) for n in ('stat.bin', 'error.bin'))
  _check_size(stat_path, 32)
  evaluations, last_step, _, seconds = np.fromfile(
      stat_path, nws.FLOAT).tolist()
  if not (1 <= evaluations < 2 ** 31 and evaluations % 1 == 0
          and 0 <= last_step < 2 ** 63):
    raise _damaged(stat_path, f'{evaluations} evaluations, {last_step} steps')
  run = Run(path, side, row, num_conv, num_conv + num_fc, int(evaluations),
            int(last_step), seconds)
  _check_size(error_path, 40 * run.evaluations)
  _read_errors(path)
  _check_no_link(root, os.path.relpath(
      os.path.join(path, 'weights'), root).split(os.sep), where)
  for number in range(1, len(run.snapshots) + 1):
    _check_size(os.path.join(path, nws.weights_name(number)),
                8 * run.num_weights)
  return run


def find(root: str, path: str, where: str) -> str:
  """Finds the folder that a table names.

  The tables hold paths of the machine on which they were written. The folder is
  that of the most last parts of such a path that exists under `root`.

  Args:
    root: the folder that the user named.
    path: the path in the table.
    where: the line of the table, for messages.

  Raises:
    Damaged: there is no such folder, or it would lead out of `root`.
  """
  parts = [p for p in re.split(r'[/\\]', path) if p not in ('', '.')]
  if '..' in parts:
    raise errors.Damaged(f'{where}: the path {path!r} leads upwards, out of '
                         f'{root}. Correct it.')
  for n in range(len(parts)):
    if os.path.lexists(os.path.join(root, *parts[n:])):
      _check_no_link(root, parts[n:], where)
      return os.path.join(root, *parts[n:])
  raise errors.Damaged(f'{where}: no folder under {root} is the end of the '
                       f'path {path!r}. Get what is missing, or delete the '
                       'line.')


def _check_no_link(root: str, parts: Sequence[str], where: str) -> None:
  """Raises `Damaged` if a folder or file on a path below `root` is a link."""
  for n in range(1, len(parts) + 1):
    path = os.path.join(root, *parts[:n])
    if os.path.islink(path):
      raise errors.Damaged(f'{where}: {path} is a link, which could lead out '
                           f'of {root}. Put what it names in its place.')


def _check_size(path: str, size: int) -> None:
  """Raises `Damaged` unless a path is a plain file of so many bytes."""
  try:
    found = os.lstat(path)
  except OSError as e:
    raise _damaged(path, 'it is missing' if isinstance(e, FileNotFoundError)
                   else e.strerror or 'not readable') from e
  if not stat.S_ISREG(found.st_mode):
    raise _damaged(path, 'it is a link or no file')
  if found.st_size != size:
    raise _damaged(path, f'it has {found.st_size} bytes, not {size}')


def _damaged(path: str, reason: Exception | str) -> errors.Damaged:
  return errors.Damaged(f'{path} is damaged: {reason}. Get it again, or delete '
                        "its network's line in the table.")
