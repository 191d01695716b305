"""Controls that read fewer networks, among which classes are alike."""

import numpy as np

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers.controls import control
from nws_jax.meta.data import splits, windows

_STRATA = 10  # of equal test accuracy, at most
_LEAST = 10  # matched networks of each class, on average
_ACCURACIES = ('test_accuracy', 'train_accuracy', 'valid_accuracy')


def need_other_classes(request: requests.Request) -> str:
  """Classes that are not themselves of accuracy, one of each network."""
  if not request.target.classes or request.target.name in _ACCURACIES:
    return 'it applies to classes that are not accuracies themselves'
  return control.need_networks(request)


def match_accuracy(request: requests.Request,
                   source: windows.Source) -> control.Plan:
  """As many networks of each class at each test accuracy.

  Coarsened exact matching (S. Iacus, G. King, G. Porro, Political Analysis
  20, 2012): strata between quantiles of the test accuracy, in each of which
  every class keeps as many networks, at random, as the rarest has.
  """
  target = request.target
  accuracy_M = request.members['test_accuracy'].to_numpy()
  labels_M = target.label(request.sides)[0]
  strata = int(np.clip(len(labels_M) // (5 * target.outputs), 2, _STRATA))
  edges = np.unique(np.quantile(accuracy_M, np.arange(1, strata) / strata))
  stratum_M = np.searchsorted(edges, accuracy_M, side='right')
  rng = np.random.default_rng([request.settings.seed, 3])
  kept_M = np.zeros(len(labels_M), bool)
  for stratum in np.unique(stratum_M):
    rows = [rng.permutation(np.flatnonzero(
        (stratum_M == stratum) & (labels_M == k)))
            for k in range(target.outputs)]
    rarest = min(map(len, rows))
    for of_class in rows:
      kept_M[of_class[:rarest]] = True
  if kept_M.sum() < _LEAST * target.outputs:
    raise control.NotApplicable(f'only {kept_M.sum()} networks can be matched')
  try:
    sides = splits.restrict(request.sides, kept_M)
  except errors.Wrong as e:
    raise control.NotApplicable(str(e)) from e
  # The classes that were matched: quantiles of fewer networks differ.
  values_FxM = np.broadcast_to(
      labels_M, (len(sides.trains_F), len(labels_M)))
  return control.Plan(
      running.make_place(request, source),
      [{'sides': sides, 'values_FxM': values_FxM}],
      {'explained_before': _explain_variance(accuracy_M, labels_M),
       'explained_after': _explain_variance(
           accuracy_M[kept_M], labels_M[kept_M])})


def _explain_variance(values_M: np.ndarray, labels_M: np.ndarray) -> float:
  """The share of the variance that lies between the classes (eta squared)."""
  total = np.var(values_M)
  means = np.bincount(labels_M, values_M) / np.maximum(np.bincount(labels_M), 1)
  return float(np.var(means[labels_M]) / total) if total else 0.0
