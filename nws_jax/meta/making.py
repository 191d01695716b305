"""Runs requests and writes their files: aside first, then moved into place as a
whole."""

import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nws_jax import errors, say
from nws_jax.store import sealed

if TYPE_CHECKING:
  from nws_jax.meta import request as requests
  from nws_jax.meta.data import windows


class Where(NamedTuple):
  """Where results are written, and what of them."""
  workdir: str
  force: bool  # whether finished results are made again
  save: bool  # whether trained classifiers are kept


def run_ladder(request: 'requests.Request', where: Where) -> None:
  """Runs every rung that has no result yet, and writes the table of all.

  Args:
    request: that of the first rung.
    where: the results go.
  """
  from nws_jax.meta import price, running, summary
  from nws_jax.meta.answers import ladder
  from nws_jax.store import tables
  asked, left_out = ladder.list_requests(request)
  speed, source = _measure_speed(), None
  rows: list[dict[str, Any]] = []
  warnings: dict[str, list[str]] = {}
  todo = [r for r in asked if where.force or not os.path.exists(
      find_record(where.workdir, r))]
  total = sum(price.estimate(r, speed) for r in todo)
  print(f'{len(todo)} of {len(asked)} rungs to run, about '
        f'{say.time(total)} at most', file=sys.stderr)
  for rung in asked:
    path = find_record(where.workdir, rung)
    if rung in todo:
      source = source or running.load(rung)
      make(rung, where, time.monotonic(), source, speed)
    with sealed.naming(path):
      record = sealed.read(path)
      rows.append(ladder.make_row(record, rung.digest))
      warnings[record['classifier']] = record['warnings']
  folder = os.path.join(where.workdir, request.target.name,
                        ladder.digest(request))
  record = ladder.describe(request, rows, left_out, warnings)
  with sealed.hold(folder), sealed.replace(folder) as aside:
    tables.write_text(os.path.join(aside, 'ladder.csv'), tables.format_rows(
        rows, ladder.COLUMNS))
    sealed.write(os.path.join(aside, sealed.LADDER), record)
  print(summary.format_ladder(record))
  print(f'\n{os.path.join(folder, "ladder.csv")}')


def find_record(workdir: str, request: 'requests.Request') -> str:
  """The path of the record in a request's folder once it is answered."""
  from nws_jax.meta import request as requests
  return os.path.join(requests.folder(workdir, request),
                      sealed.ABLATION if request.axes else sealed.RESULT)


def make(request: 'requests.Request', where: Where, begin: float,
         source: 'windows.Source | None' = None,
         speed: float | None = None) -> bool:
  """Runs a request and writes its files, or waits for a process that does.

  Args:
    request: to be answered.
    where: the result goes.
    begin: when the command began, by `time.monotonic`.
    source: its weights, if they were read before.
    speed: see `_measure_speed`, if it was measured before.

  Returns:
    Whether this process made the result.
  """
  from nws_jax.meta import price, running
  done = find_record(where.workdir, request)
  if where.force or not os.path.exists(done):
    price.check_memory(request)
  with sealed.hold(os.path.dirname(done)):
    if os.path.exists(done) and not where.force:
      return False
    print(price.tell(request, speed or _measure_speed()), file=sys.stderr)
    bar = _Bar(request.target.name)
    try:
      with sealed.replace(os.path.dirname(done)) as aside:
        record = _fill(aside, request, source or running.load(request),
                       where.save, bar.show)
        record['seconds'] = round(time.monotonic() - begin, 1)
        sealed.write(os.path.join(aside, os.path.basename(done)), record)
    finally:
      bar.close()
  return True


def _fill(folder: str, request: 'requests.Request', source: 'windows.Source',
          save: bool, show: Callable[[int, int, int], None]) -> dict[str, Any]:
  """Writes all files of an answer except its record, which is returned."""
  from nws_jax.meta import request as requests
  from nws_jax.meta.answers import ablation, answer
  from nws_jax.meta.data import targets
  from nws_jax.meta.identify import saved
  from nws_jax.store import tables
  if request.axes:
    rows = ablation.run(request, source, show)
    record = requests.describe(request) | {
        'axes': list(request.axes),
        'warnings': targets.warn(request.target, request.sides)}
    tables.write_text(os.path.join(folder, 'ablation.csv'),
                      tables.format_rows(rows))
    _draw(os.path.join(folder, 'ablation.png'), rows, record)
    return record
  record, predictions, outcome = answer.run(request, source, show)
  if save and answer.reads_whole_networks(request):
    saved.write(folder, request, source, outcome)
  tables.write_text(os.path.join(folder, 'predictions.csv'), predictions)
  return record


def explain(request: 'requests.Request', where: Where) -> None:
  """Explains a result by the classifier beside it; the record is written last.

  Args:
    request: that was answered.
    where: its result is.
  """
  from nws_jax.meta import request as requests
  from nws_jax.meta import summary
  from nws_jax.meta.explain import explanation
  folder = requests.folder(where.workdir, request)
  done = os.path.join(folder, explanation.RECORD)
  with sealed.hold(folder):
    if os.path.exists(done) and not where.force:
      print(f'\n{done} exists; --force makes it again.')
    else:
      _explain(request, folder)
  print(f'\n{summary.show_explanation(done)}')


def _explain(request: 'requests.Request', folder: str) -> None:
  """Writes an explanation beside a result: its tables, then its record."""
  import pandas as pd

  from nws_jax import bars
  from nws_jax.meta import running
  from nws_jax.meta.explain import explanation
  from nws_jax.meta.identify import saved
  from nws_jax.store import tables
  begin, model = time.monotonic(), os.path.join(folder, saved.MODEL)
  if not os.path.exists(os.path.join(model, saved.RECIPE)):
    raise errors.Wrong(f'{folder} has no trained classifier to explain: it '
                       'was made with --nosave. Add --force.')
  shown: list[Any] = []  # progress bars, one after the other

  def show(what: str) -> Callable[[int, int], None]:
    for bar in shown:
      bar.close()
    shown.append(bars.make(desc=what, unit=' networks'))

    def update(done: int, of: int) -> None:
      shown[-1].total = of
      shown[-1].update(done - shown[-1].n)
    return update

  try:
    found = explanation.run(
        request, running.load(request), saved.read(model).models,
        pd.read_csv(os.path.join(folder, 'predictions.csv')), show)
  finally:
    for bar in shown:
      bar.close()
  done = pathlib.Path(folder, explanation.RECORD)
  done.unlink(missing_ok=True)  # it names tables that are replaced
  for name, rows in found.tables.items():
    tables.write_text(os.path.join(folder, name), tables.format_rows(rows))
  sealed.write(done, found.record | {
      'seconds': round(time.monotonic() - begin, 1)}, found.tables)


def _draw(path: str, cells: Sequence[dict[str, Any]],
          record: dict[str, Any]) -> None:
  import pandas as pd

  from nws_jax.pictures import ablation
  png = ablation.to_png(
      pd.DataFrame(cells), record['axes'],
      f'{record["target"]}, read by {record["classifier"]}')
  pathlib.Path(path).write_bytes(png)


def _measure_speed() -> float:
  """Floating-point operations a second of a large dot."""
  import jax
  import jax.numpy as jnp
  n, repeats = 1024, 8
  dot = jax.jit(lambda x: x @ x * 1e-3)
  x = jax.block_until_ready(dot(jnp.ones((n, n))))
  begin = time.monotonic()
  for _ in range(repeats):
    x = dot(x)
  jax.block_until_ready(x)
  return repeats * 2 * n**3 / (time.monotonic() - begin)


class _Bar:
  """A progress bar of trained models, on stderr."""

  def __init__(self, name: str) -> None:
    from nws_jax import bars
    # It shows every round, even if no model finished in it.
    self._bar = bars.make(desc=name, unit=' models', miniters=0)

  def show(self, done: int, models: int, rounds: int) -> None:
    self._bar.total = models
    self._bar.set_postfix_str(f'round {rounds}', refresh=False)
    self._bar.update(done - self._bar.n)

  def close(self) -> None:
    self._bar.close()
