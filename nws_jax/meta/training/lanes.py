"""Trains many models, several at once on each core, and lets them predict.

On a CPU each core has models of its own: the steps of small ones are too short
to be shared, and a large one, alone, keeps to its core's cache.
"""

import concurrent.futures
import functools
import threading
from typing import Any, Callable, NamedTuple, Sequence

import jax
import numpy as np

from nws_jax.meta.classifiers import interface
from nws_jax.meta.data import cores
from nws_jax.meta.training import fit, many

MEMORY = 1 << 30  # bytes that models trained at once may take, about
LANES = {'cpu': 25}  # models that train at once where more are no faster
_ACTIVATIONS = 400  # bytes per weight of a window: those of the cnn

Progress = Callable[[int, int], None]


def train_alone(shape: Any) -> bool:
  """Whether models that see weights themselves, in inputs of this shape, train
  one after another on a core."""
  return bool(shape) and jax.default_backend() == 'cpu'


@functools.lru_cache(maxsize=8)  # cells of one shape share what is compiled
def build(classifier: interface.Classifier, outputs: int, plan: fit.Plan,
          shape: Any) -> fit.Programs:
  """The programs of many models; `plan.steps` makes no difference."""
  return many.map_fit(
      fit.make_fit(classifier.make_model(outputs, shape),
                   classifier.make_view(shape), plan),
      together=not train_alone(shape))


class _Division(NamedTuple):
  """How models are divided among threads, and among the lanes of each."""
  workers: int
  lanes: int  # models that train at once, on each
  chunk: int  # models of which variables are at hand there


def run(programs: fit.Programs, shared: Any, job: fit.Job, plan: fit.Plan,
        shape: Any, progress: Progress
        ) -> tuple[list[np.ndarray], interface.Variables | None]:
  """Trains as many models at once as is fast and fits the memory.

  Args:
    programs: from `build`.
    shared: what all models see.
    job: the models, and what they predict.
    plan: `fit.Plan`.
    shape: of the inputs, as of `build`.
    progress: called with (rounds done, models to go).

  Returns:
    (outputs [models, N, span, S, O] for each of `job.tests`, the variables of
    the first `job.kept` models).
  """
  division = _divide(programs, shared, job, plan, shape)
  _compile(programs, shared, many.take(job.tasks, np.arange(division.lanes)),
           job.keys[:division.lanes])
  shares = np.array_split(np.arange(len(job.keys)), division.workers)
  report = _Report(progress, {rows[0]: len(rows) for rows in shares})
  worker = _Worker(programs, shared, job, plan, division, report)
  outputs, parts = zip(*_run_all(
      [functools.partial(worker.run, rows) for rows in shares], report))
  trained = [variables for part in parts for variables in part]
  kept = jax.tree.map(lambda *x: np.concatenate(x)[:job.kept],
                      *trained) if job.kept else None
  return [np.concatenate(x) for x in zip(*outputs)], kept


def _divide(programs: fit.Programs, shared: Any, job: fit.Job, plan: fit.Plan,
            shape: Any) -> _Division:
  models = len(job.keys)
  one = jax.eval_shape(
      programs.start, shared, many.take(job.tasks, [0]), job.keys[:1])
  size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(one.best))
  size *= 5  # variables, two moments, the best ones, gradients
  if shape:
    size += _ACTIVATIONS * plan.batch * shape.length
  fitting = max(1, MEMORY // size)
  workers = min(cores.count(), models, fitting)
  models, fitting = -(-models // workers), fitting // workers
  lanes = 1 if train_alone(shape) else min(
      models, fitting, LANES.get(jax.default_backend(), models))
  return _Division(workers, lanes, max(lanes, 5 * fitting // lanes * lanes))


def _compile(programs: fit.Programs, shared: Any, tasks: interface.Task,
             keys: jax.Array) -> None:
  """Compiles all three, together; jit finds them when they are called."""
  start, advance, predict = programs
  state = jax.eval_shape(start, shared, tasks, keys)
  lowered = [start.lower(shared, tasks, keys),
             advance.lower(shared, tasks, keys, state),
             predict.lower(shared, tasks, state.best)]
  with concurrent.futures.ThreadPoolExecutor(len(lowered)) as pool:
    list(pool.map(lambda program: program.compile(), lowered))


def _run_all(parts: Sequence[Callable[[], Any]], report: '_Report'
             ) -> list[Any]:
  """The results of all `parts`; all end soon where one fails."""
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


class _Worker(NamedTuple):
  """What a thread needs to train its share of the models."""
  programs: fit.Programs
  shared: Any
  job: fit.Job
  plan: fit.Plan
  division: _Division
  report: '_Report'

  def run(self, rows: np.ndarray
          ) -> tuple[list[np.ndarray], list[interface.Variables]]:
    """Some models' (outputs for each test, [variables of those kept])."""
    outputs: list[list[np.ndarray]] = [[] for _ in self.job.tests]
    kept, lanes = [], self.division.lanes
    for begin in range(0, len(rows), self.division.chunk):
      # Train as many models as there is room for the variables of.
      chunk = rows[begin:begin + self.division.chunk]
      later = len(rows) - begin - len(chunk)
      best = many.train(
          self.programs, self.shared, many.take(self.job.tasks, chunk),
          self.job.keys[chunk], self.plan,
          functools.partial(self._update, rows[0], later), lanes)
      # Predict by so many as are trained at once; the last ones again where
      # there are too few, for programs of one shape.
      for first in range(0, len(chunk), lanes):
        lane = np.minimum(np.arange(first, first + lanes), len(chunk) - 1)
        for found, test in zip(outputs, self.job.tests):
          found.append(np.asarray(self.programs.predict(
              self.shared, many.take(test, chunk[lane]),
              many.take(best, lane)))[:len(chunk) - first])
      if chunk[0] < self.job.kept:
        kept.append(best)
    return [np.concatenate(x) for x in outputs], kept

  def _update(self, worker: int, later: int, rounds: int, left: int) -> None:
    del rounds  # of this chunk alone
    self.report.update(worker, left + later)


class _Report:
  """Adds up the progress of threads."""

  def __init__(self, progress: Progress, left: dict[int, int]) -> None:
    self._progress, self._rounds = progress, 0
    self._left, self._lock = left, threading.Lock()
    self.stopped = False

  def update(self, worker: int, left: int) -> None:
    with self._lock:
      if self.stopped:
        raise InterruptedError('another thread has failed')
      self._left[worker] = left
      self._rounds += 1
      self._progress(self._rounds, sum(self._left.values()))
