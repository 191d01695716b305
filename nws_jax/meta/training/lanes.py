"""Trains many models, some at once, and lets them predict.

On a CPU each core has models of its own: the steps of small ones are too short
to be shared, and a large one, alone, keeps to its core's cache.
"""

import concurrent.futures
import functools
import threading

import jax
import numpy as np

from nws_jax.meta.classifiers import published
from nws_jax.meta.data import cores
from nws_jax.meta.training import fit, many, views

MEMORY = 1 << 30  # bytes that models trained at once may take, about
LANES = {'cpu': 25}  # models that train at once where more are no faster


def train_alone(form):
  """Whether models that see weights themselves, of which there is a `form` of
  `views`, train one after another on a core."""
  return bool(form) and jax.default_backend() == 'cpu'


@functools.lru_cache(maxsize=8)  # cells of one shape share what is compiled
def build(name, outputs, plan, form):
  """`many.map_fit`; `plan.steps` is of no account, `form` is of `views`."""
  view, more = views.make(name, form)
  return many.map_fit(
      fit.make_fit(published.make(name, outputs, more), view, plan),
      together=not train_alone(form))


def run(mapped, shared, tasks, asked, keys, plan, form, kept, progress):
  """Trains as many models at once as is fast and fits the memory.

  Args:
    mapped: from `build`.
    shared: what all models see.
    tasks: `fit.Task` with a leading axis of models.
    asked: what they predict, each a `fit.Task` like `tasks`.
    keys: one a model; consumed.
    plan: `fit.Plan`.
    form: of `views`.
    kept: how many models' variables are returned, the first ones.
    progress: called with (rounds done, models to go).

  Returns:
    (outputs [models, N, span, S, O] for each of `asked`, the variables of the
    first `kept` models).
  """
  models = len(keys)
  workers, lanes, chunk = _plan_lanes(
      mapped, shared, tasks, keys, plan, form)
  _compile(mapped, shared, many.take(tasks, np.arange(lanes)), keys[:lanes])
  shares = np.array_split(np.arange(models), workers)
  report = _Report(progress, {rows[0]: len(rows) for rows in shares})
  parts = [functools.partial(
      _run_some, mapped, shared, tasks, asked, keys, plan, kept, lanes, chunk,
      rows, report) for rows in shares]
  said, trained = zip(*_run_all(parts, report))
  trained = [part for some in trained for part in some]
  return [np.concatenate(x) for x in zip(*said)], (jax.tree.map(
      lambda *x: np.concatenate(x)[:kept], *trained) if kept else None)


def _plan_lanes(mapped, shared, tasks, keys, plan, form):
  """(cores, models that train at once on each, models of which variables are at
  hand there)."""
  one = jax.eval_shape(mapped[0], shared, many.take(tasks, [0]), keys[:1])
  size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(one.best))
  size *= 5  # variables, two moments, the best ones, gradients
  if form:
    size += 400 * plan.batch * form[0]  # activations of the cnn, about
  fitting = max(1, MEMORY // size)
  workers = min(cores.count(), len(keys), fitting)
  models, fitting = -(-len(keys) // workers), fitting // workers
  lanes = 1 if train_alone(form) else min(
      models, fitting, LANES.get(jax.default_backend(), models))
  return workers, lanes, max(lanes, 5 * fitting // lanes * lanes)


def _compile(mapped, shared, tasks, keys):
  """Compiles all three, together; jit finds them when they are called."""
  start, advance, predict = mapped
  state = jax.eval_shape(start, shared, tasks, keys)
  lowered = [start.lower(shared, tasks, keys),
             advance.lower(shared, tasks, keys, state),
             predict.lower(shared, tasks, state.best)]
  with concurrent.futures.ThreadPoolExecutor(len(lowered)) as pool:
    list(pool.map(lambda program: program.compile(), lowered))


def _run_all(parts, report):
  """What each of `parts` returns; all end soon where one fails."""
  if len(parts) == 1:
    return [parts[0]()]
  pool = concurrent.futures.ThreadPoolExecutor(len(parts))
  try:
    futures = [pool.submit(part) for part in parts]
    for future in concurrent.futures.as_completed(futures):
      future.result()
    return [future.result() for future in futures]
  except BaseException:
    report.stopped = True
    raise
  finally:
    pool.shutdown(wait=not report.stopped)


def _run_some(mapped, shared, tasks, asked, keys, plan, kept, lanes, chunk,
              rows, report):
  """`run` of some models: (outputs for each of `asked`, [variables])."""
  said, trained = [[] for _ in asked], []
  for begin in range(0, len(rows), chunk):
    some = rows[begin:begin + chunk]
    later = len(rows) - begin - len(some)
    best = many.train(
        mapped, shared, many.take(tasks, some), keys[some], plan,
        lambda _, going, later=later: report.tell(rows[0], going + later),
        lanes)
    for first in range(0, len(some), lanes):
      lane = np.minimum(np.arange(first, first + lanes), len(some) - 1)
      for outputs, task in zip(said, asked):
        outputs.append(np.asarray(mapped[2](
            shared, many.take(task, some[lane]), many.take(best, lane)))[
                :len(some) - first])
    if some[0] < kept:
      trained.append(best)
  return [np.concatenate(x) for x in said], trained


class _Report:
  """Adds up what threads tell of their progress."""

  def __init__(self, progress, going):
    self._progress, self._rounds = progress, 0
    self._going, self._lock = going, threading.Lock()
    self.stopped = False

  def tell(self, worker, going):
    with self._lock:
      if self.stopped:
        raise InterruptedError('another thread has failed')
      self._going[worker] = going
      self._rounds += 1
      self._progress(self._rounds, sum(self._going.values()))
