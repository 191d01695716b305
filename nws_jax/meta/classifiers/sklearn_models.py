"""The classifiers without gradients: scikit-learn on statistics of the weights.

One is fitted to rows [N, F] of the training networks; of the few settings it
may have, the validation networks choose. It predicts log-probabilities of
classes, or values of a standardised target, as the other classifiers do.
"""

import contextlib
import functools
import warnings
from typing import Any, Callable, Iterator, NamedTuple

import numpy as np

from nws_jax.meta.classifiers import interface, majority
from nws_jax.meta.figures import calibration
from nws_jax.store import sealed

# What a saved estimator may consist of; nothing else is ever loaded.
TRUSTED = (
    'numpy.dtype',
    'sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor',
)
_QUANTILES = 9  # eighths: between two of them distances stay as they are
_WIDE = 3**0.5  # evenly spread up to here the deviation is 1


class Recipe(NamedTuple):
  """How an estimator is made, and which ones are tried."""
  scales: bool  # whether statistics are placed between their quantiles
  list_estimators: Callable[[bool, int], list[Any]]  # (classes, seed)


def fit(recipe: Recipe, train: interface.Rows, valid: interface.Rows,
        outputs: int, seed: int) -> interface.Fitted:
  """Fits all estimators of a recipe, and keeps the best one.

  Args:
    recipe: `Recipe`.
    train: rows of the training networks.
    valid: rows of the validation networks.
    outputs: classes, or 1.
    seed: for what is drawn.
  """
  # Without anything that varies there is nothing to fit.
  majority_ = majority.fit(train, valid, outputs, seed)
  rows_NxF, labels_N = _clean(train.features_NxF), train.labels_N
  if (len(np.unique(labels_N)) < 2
      or not np.any(np.fmin.reduce(rows_NxF) < np.fmax.reduce(rows_NxF))):
    return majority_

  from sklearn import pipeline
  best, best_loss, classes = majority_, np.inf, labels_N.dtype.kind == 'i'
  with _quietly():
    steps = _make_steps(recipe, seed)
    for step in steps:
      rows_NxF = step.fit_transform(rows_NxF)
    for n, estimator in enumerate(recipe.list_estimators(classes, seed)):
      estimator.fit(rows_NxF, labels_N, sample_weight=train.weights_N)
      fitted = _set_scale(majority_._replace(
          estimator=pipeline.make_pipeline(*steps, estimator)), valid)
      predictions = predict(fitted, valid.features_NxF)
      if not classes:  # as `cross_validation.TargetScale` holds it
        predictions = predictions.clip(labels_N.min(), labels_N.max())
      loss = float(np.mean(valid.weights_N * interface.measure_loss(
          predictions, valid.labels_N)))
      if n == 0 or loss < best_loss:
        best, best_loss = fitted, loss
  return best


def predict(fitted: interface.Fitted, rows_NxF: np.ndarray) -> np.ndarray:
  """Log-probabilities [N, classes], or values [N, 1]: float32."""
  if fitted.estimator is None:
    return np.broadcast_to(fitted.shares_O.astype(np.float32),
                           (len(rows_NxF), fitted.outputs))
  with _quietly():
    scores = _score(fitted.estimator, _clean(rows_NxF))
  if not hasattr(fitted.estimator, 'classes_'):
    return scores[:, None].astype(np.float32)
  from scipy import special  # slow to import
  least = np.log(majority.FLOOR)
  result = np.full((len(scores), fitted.outputs), least)
  result[:, fitted.estimator.classes_] = special.log_softmax(
      scores * fitted.scale, 1)
  return special.log_softmax(np.maximum(result, least), 1).astype(np.float32)


def write(path: str, fitted: interface.Fitted) -> None:
  """Saves an estimator; the rest of `Fitted` is numbers, for a record."""
  from skops import io
  io.dump(fitted.estimator, path)


def read(path: str) -> Any:
  """The estimator in a file.

  Raises:
    errors.Damaged: it is not readable, or holds what is not on the list.
  """
  from skops import io
  try:
    return io.load(path, trusted=list(TRUSTED))
  except Exception as e:  # skops raises anything that a file makes it raise
    raise sealed.damaged(path, str(e)) from e


def _make_steps(recipe: Recipe, seed: int) -> list[Any]:
  """What is done to rows before an estimator sees them.

  What does not vary among the training rows is left out. Statistics range over
  many orders of magnitude, and no single one may dominate a sum: each is placed
  between the quantiles of the training rows, and held within them. What a
  window lacks is put in the middle.
  """
  from sklearn import feature_selection, impute, preprocessing
  varying = feature_selection.VarianceThreshold()
  if not recipe.scales:
    return [varying]
  return [
      varying,
      preprocessing.QuantileTransformer(n_quantiles=_QUANTILES,
                                        random_state=seed),
      preprocessing.MinMaxScaler((-_WIDE, _WIDE)),
      impute.SimpleImputer(strategy='constant', fill_value=0.0)]


def _list_boosting(classes: bool, seed: int) -> list[Any]:
  from sklearn import ensemble
  make = (ensemble.HistGradientBoostingClassifier if classes
          else ensemble.HistGradientBoostingRegressor)
  return [make(max_iter=80, learning_rate=0.1, max_leaf_nodes=8,
               min_samples_leaf=5, max_features=0.1, early_stopping=False,
               random_state=seed)]


def _list_svm(classes: bool, seed: int) -> list[Any]:
  del seed
  from sklearn import svm
  make = svm.SVC if classes else svm.SVR
  return ([make(kernel='rbf', C=c) for c in (0.3, 1, 3, 10, 30)]
          + [make(kernel='linear', C=c) for c in (0.001, 0.01)])


def _list_linear(classes: bool, seed: int) -> list[Any]:
  from sklearn import linear_model
  if not classes:
    return [linear_model.Ridge(alpha) for alpha in (1e1, 1e2, 1e3, 1e4)]
  return [linear_model.LogisticRegression(C=c, max_iter=300, random_state=seed)
          for c in (1e-3, 1e-2, 1e-1, 1, 10)]


fit_logistic = functools.partial(fit, Recipe(True, _list_linear))
fit_svm = functools.partial(fit, Recipe(True, _list_svm))
# A tree splits alike on any scale.
fit_boosting = functools.partial(fit, Recipe(False, _list_boosting))


def _score(estimator: Any, rows_NxF: np.ndarray) -> np.ndarray:
  """Scores of the estimator's classes [N, k], or its values [N]."""
  if not hasattr(estimator, 'classes_'):
    return estimator.predict(rows_NxF)
  if hasattr(estimator, 'predict_proba'):
    return np.log(np.maximum(estimator.predict_proba(rows_NxF),
                             majority.FLOOR))
  scores = estimator.decision_function(rows_NxF)
  if scores.ndim == 1:  # of the second of two classes
    scores = np.stack([-scores, scores], 1) / 2
  return scores


def _set_scale(fitted: interface.Fitted,
               valid: interface.Rows) -> interface.Fitted:
  """Margins, of what gives no probabilities, become log-probabilities."""
  estimator = fitted.estimator
  if not hasattr(estimator, 'classes_') or hasattr(estimator, 'predict_proba'):
    return fitted
  known = np.isin(valid.labels_N, estimator.classes_)
  scores = _score(estimator, _clean(valid.features_NxF[known]))
  columns = np.searchsorted(estimator.classes_, valid.labels_N[known])
  temperature = calibration.fit_temperature(scores, columns)
  return fitted._replace(scale=1 / temperature)


def _clean(rows_NxF: np.ndarray) -> np.ndarray:
  """float64; what is infinite becomes large, what is missing stays NaN."""
  rows_NxF = np.asarray(rows_NxF, np.float64)
  return np.where(np.isnan(rows_NxF), np.nan, np.clip(
      rows_NxF, -1e30, 1e30))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
  import threadpoolctl
  # A fit that has not wholly converged is a fit; a column that is missing
  # everywhere has no mean and needs none.
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    # One thread: trees of so few rows are no work to share, and two threads
    # that wait for each other on a busy machine take ten times as long.
    with threadpoolctl.threadpool_limits(1):
      yield
