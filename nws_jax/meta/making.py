"""Makes what a request asks for, and writes its files."""

import os
import pathlib
import sys
import time
from typing import NamedTuple

from nws_jax import errors, say


class Where(NamedTuple):
  """Where results go, and how."""
  workdir: str
  force: bool  # again, where they are there
  save: bool  # the trained classifiers too


def climb(request, where):
  """Makes every rung that is not there yet, and the table of all.

  Args:
    request: `request.Request` of the first rung.
    where: `Where`.
  """
  from nws_jax.meta import price, rungs, summary
  from nws_jax.meta import request as requests
  from nws_jax.store import tables
  asked, left_out = rungs.list_requests(request)
  speed, source, rows = _measure_speed(), None, []
  todo = [r for r in asked if where.force or not os.path.exists(
      os.path.join(requests.folder(where.workdir, r), 'result.json'))]
  total = sum(price.estimate(r, speed) for r in todo)
  print(f'{len(todo)} of {len(asked)} rungs to make, at most about '
        f'{say.time(total)}', file=sys.stderr)
  for rung in asked:
    folder, begin = requests.folder(where.workdir, rung), time.monotonic()
    if rung in todo:
      source = source or requests.load(rung)
      make(rung, where, begin, source, speed)
    record = tables.read_json(os.path.join(folder, 'result.json'))
    rows.append(rungs.make_row(record, rung.digest))
  folder = os.path.join(where.workdir, request.target.name,
                        rungs.digest(request))
  _make_folder(folder)
  record = rungs.describe(request, rows, left_out)
  tables.write_text(os.path.join(folder, 'ladder.csv'), rungs.write(rows))
  tables.write_json(os.path.join(folder, 'ladder.json'), record)
  print(summary.tell_ladder(record))
  print(f'\n{os.path.join(folder, "ladder.csv")}')


def make(request, where, begin, source=None, speed=None):
  """Trains, and writes the files; the record last, it says that all is there.

  Args:
    request: `request.Request`.
    where: `Where`.
    begin: when it began.
    source: its `windows.Source`, if it was read before.
    speed: as of `_measure_speed`, if it was measured before.
  """
  from nws_jax.meta import ablation, answer, cells, price, saved
  from nws_jax.meta import request as requests
  from nws_jax.store import tables
  print(price.tell(request, speed or _measure_speed()), file=sys.stderr)
  folder = requests.folder(where.workdir, request)
  _make_folder(folder)
  source = source or requests.load(request)
  bar = _Bar(request.target.name)
  try:
    if request.axes:
      rows = ablation.run(request, source, bar.show)
      record = requests.describe(request) | {'axes': list(request.axes)}
      tables.write_text(
          os.path.join(folder, 'ablation.csv'), cells.write(rows))
      _draw(os.path.join(folder, 'ablation.png'), rows, record)
    else:
      record, predictions, outcome = answer.run(request, source, bar.show)
      if where.save and saved.can(request):
        saved.write(folder, request, source, outcome)
      tables.write_text(os.path.join(folder, 'predictions.csv'), predictions)
  finally:
    bar.close()
  record['seconds'] = round(time.monotonic() - begin, 1)
  tables.write_json(os.path.join(
      folder, 'ablation.json' if request.axes else 'result.json'), record)


def explain(request, where):
  """Explains a result by the classifier beside it; the record is last.

  Args:
    request: `request.Request`.
    where: `Where`.
  """
  from nws_jax import bars
  from nws_jax.meta import explanation, saved, summary
  from nws_jax.meta import request as requests
  from nws_jax.store import tables
  folder, begin = requests.folder(where.workdir, request), time.monotonic()
  done = os.path.join(folder, explanation.RECORD)
  if os.path.exists(done) and not where.force:
    print(f'\n{done} is there already; --force makes it again.')
  else:
    model = os.path.join(folder, 'model')
    if not os.path.exists(os.path.join(model, 'recipe.json')):
      raise errors.Wrong(f'{folder} has no trained classifier to explain: it '
                         'was made with --nosave. Add --force.')
    import pandas as pd
    shown = []

    def show(what):
      for bar in shown:
        bar.close()
      shown.append(bars.make(desc=what, unit=' networks'))

      def to(done, of):
        shown[-1].total = of
        shown[-1].update(done - shown[-1].n)
      return to

    try:
      found = explanation.run(
          request, requests.load(request), saved.read(model).models,
          pd.read_csv(os.path.join(folder, 'predictions.csv')), show)
    finally:
      for bar in shown:
        bar.close()
    for name, rows in found.tables.items():
      tables.write_text(os.path.join(folder, name), explanation.write(rows))
    tables.write_json(done, found.record | {
        'seconds': round(time.monotonic() - begin, 1)})
  print(f'\n{summary.tell_explanation(done)}')


def _make_folder(folder):
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as e:
    raise errors.Wrong(f'{folder} cannot be made: {e.strerror}. Name another '
                       '--workdir.') from e
  if not os.access(folder, os.W_OK):
    raise errors.Wrong(f'{folder} cannot be written to. Name another '
                       '--workdir.')


def _draw(path, cells, record):
  import pandas as pd

  from nws_jax.pictures import ablation
  png = ablation.to_png(
      pd.DataFrame(cells), record['axes'],
      f'{record["target"]}, read by {record["classifier"]}')
  aside = f'{path}.{os.getpid()}.tmp'
  pathlib.Path(aside).write_bytes(png)
  os.replace(aside, path)


def _measure_speed():
  """Floating-point operations a second, of a dot."""
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
  """Models that are trained, on stderr."""

  def __init__(self, name):
    from nws_jax import bars
    # Every round is told, though no model may have ended in it.
    self._bar = bars.make(desc=name, unit=' models', miniters=0)

  def show(self, done, models, rounds):
    self._bar.total = models
    self._bar.set_postfix_str(f'round {rounds}', refresh=False)
    self._bar.update(done - self._bar.n)

  def close(self):
    self._bar.close()
