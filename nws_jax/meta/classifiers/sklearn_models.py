"""The rungs without gradients: the majority, and scikit-learn on statistics.

A rung is fitted on rows [N, F] of the training networks; of the few settings it
may have, the validation networks choose. It says log-probabilities of classes,
or values of a standardised target: what the other classifiers say.
"""

import contextlib
import itertools
import warnings
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors
from nws_jax.meta import settings
from nws_jax.meta.figures import calibration
from nws_jax.meta.training import fit as fitting
from nws_jax.store import sealed

# What a saved estimator may consist of; nothing else is ever loaded.
TRUSTED = (
    'numpy.dtype',
    'sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor',
)
_FLOOR = 1e-6  # least probability that a rung gives a class
_QUANTILES = 9  # eighths: between two of them distances stay as they are
_WIDE = 3**0.5  # evenly spread up to here the deviation is 1


class Fitted(NamedTuple):
  """What was fitted; `scale` makes its scores log-probabilities."""
  name: str
  outputs: int
  estimator: Any  # of scikit-learn; None is the majority
  shares_O: np.ndarray  # log-frequencies of the classes, or the mean
  scale: float = 1.0


def check(name):
  """Raises `Wrong` where scikit-learn is needed and not installed."""
  if name in settings.FITTED and name != settings.MAJORITY:
    try:
      import sklearn  # noqa: F401
      import skops.io  # noqa: F401
    except ImportError as e:
      raise errors.Wrong(
          f'--classifier={name} needs scikit-learn and skops, which are not '
          "installed: pip install 'nws_jax[baselines]', or use "
          '--classifier=fast.') from e


def fit(name, train, valid, outputs, seed):
  """Fits a rung, and keeps the best of its settings.

  Args:
    name: majority, logistic, svm or boosting.
    train: (rows [N, F], labels [N]: int classes or standardised floats,
      weights [N] of the rows).
    valid: the same of the validation networks.
    outputs: classes, or 1.
    seed: for what is drawn.

  Returns:
    `Fitted`.
  """
  labels_N = train[1]
  shares_O = (np.log(np.bincount(labels_N, minlength=outputs) / len(labels_N)
                     + _FLOOR)
              if labels_N.dtype.kind == 'i' else np.mean(labels_N, keepdims=1))
  plain, rows_NxF = Fitted(name, outputs, None, shares_O), _clean(train[0])
  if (name == settings.MAJORITY or len(np.unique(labels_N)) < 2
      or not np.any(np.fmin.reduce(rows_NxF) < np.fmax.reduce(rows_NxF))):
    return plain
  from sklearn import pipeline
  best, classes = None, labels_N.dtype.kind == 'i'
  with _quietly():
    steps = _make_steps(name, seed)
    for step in steps:
      rows_NxF = step.fit_transform(rows_NxF)
    for estimator in _list_estimators(name, classes, seed):
      estimator.fit(rows_NxF, labels_N, sample_weight=train[2])
      fitted = _set_scale(plain._replace(
          estimator=pipeline.make_pipeline(*steps, estimator)), valid)
      said = say(fitted, valid[0])
      if not classes:  # as `asking.Unit` holds it
        said = said.clip(labels_N.min(), labels_N.max())
      loss = np.mean(valid[2] * fitting.measure_loss(said, valid[1]))
      if best is None or loss < best[0]:
        best = loss, fitted
  return best[1]


def say(fitted, rows_NxF):
  """Log-probabilities [N, classes], or values [N, 1]: float32."""
  if fitted.estimator is None:
    return np.broadcast_to(fitted.shares_O.astype(np.float32),
                           (len(rows_NxF), fitted.outputs))
  with _quietly():
    scores = _score(fitted, _clean(rows_NxF))
  if not hasattr(fitted.estimator, 'classes_'):
    return scores[:, None].astype(np.float32)
  from scipy import special  # slow to import
  said = np.full((len(scores), fitted.outputs), np.log(_FLOOR))
  said[:, fitted.estimator.classes_] = special.log_softmax(
      scores * fitted.scale, 1)
  return special.log_softmax(np.maximum(said, np.log(_FLOOR)), 1).astype(
      np.float32)


def write(path, fitted):
  """Saves an estimator; the rest of `Fitted` is numbers, for a record."""
  from skops import io
  io.dump(fitted.estimator, path)


def read(path):
  """The estimator in a file.

  Raises:
    errors.Damaged: it is not readable, or holds what is not on the list.
  """
  from skops import io
  try:
    return io.load(path, trusted=list(TRUSTED))
  except Exception as e:  # skops raises anything that a file makes it raise
    raise sealed.damaged(path, str(e)) from e


def _make_steps(name, seed):
  """What is done to rows before an estimator sees them.

  What does not vary among the training rows is left out. Statistics range over
  many orders of magnitude, and no single one may lead a sum away: each is
  placed between the quantiles of the training rows, and goes no further than
  they do. What a window lacks is put in the middle.
  """
  from sklearn import feature_selection, impute, preprocessing
  varying = feature_selection.VarianceThreshold()
  if name == settings.BOOSTING:  # a tree splits alike on any scale
    return [varying]
  return [
      varying,
      preprocessing.QuantileTransformer(n_quantiles=_QUANTILES,
                                        random_state=seed),
      preprocessing.MinMaxScaler((-_WIDE, _WIDE)),
      impute.SimpleImputer(strategy='constant', fill_value=0.0)]


def _list_estimators(name, classes, seed):
  from sklearn import ensemble, linear_model, svm
  if name == settings.BOOSTING:
    kind = (ensemble.HistGradientBoostingClassifier if classes
            else ensemble.HistGradientBoostingRegressor)
    return [kind(max_iter=80, learning_rate=0.1, max_leaf_nodes=8,
                 min_samples_leaf=5, max_features=0.1, early_stopping=False,
                 random_state=seed)]
  if name == settings.SVM:
    kind = svm.SVC if classes else svm.SVR
    return [kind(kernel=kernel, C=c) for kernel, c in
            itertools.chain(zip(itertools.repeat('rbf'), (0.3, 1, 3, 10, 30)),
                            zip(itertools.repeat('linear'), (0.001, 0.01)))]
  if classes:
    return [linear_model.LogisticRegression(C=c, max_iter=300,
                                            random_state=seed)
            for c in (1e-3, 1e-2, 1e-1, 1, 10)]
  return [linear_model.Ridge(alpha) for alpha in (1e1, 1e2, 1e3, 1e4)]


def _score(fitted, rows_NxF):
  """Scores of the estimator's classes [N, k], or its values [N]."""
  estimator = fitted.estimator
  if not hasattr(estimator, 'classes_'):
    return estimator.predict(rows_NxF)
  if fitted.name == settings.SVM:
    scores = estimator.decision_function(rows_NxF)
    if scores.ndim == 1:  # of the second of two classes
      scores = np.stack([-scores, scores], 1) / 2
    return scores
  return np.log(np.maximum(estimator.predict_proba(rows_NxF), _FLOOR))


def _set_scale(fitted, valid):
  """Margins of a support vector machine become log-probabilities."""
  if fitted.name != settings.SVM or not hasattr(fitted.estimator, 'classes_'):
    return fitted
  rows_NxF, labels_N, _ = valid
  known = np.isin(labels_N, fitted.estimator.classes_)
  scores = _score(fitted, _clean(rows_NxF[known]))
  places = np.searchsorted(fitted.estimator.classes_, labels_N[known])
  temperature = calibration.fit_temperature(scores, places)
  return fitted._replace(scale=1 / temperature)


def _clean(rows_NxF):
  """float64; what is infinite becomes large, what is missing stays NaN."""
  rows_NxF = np.asarray(rows_NxF, np.float64)
  return np.where(np.isnan(rows_NxF), np.nan, np.clip(
      rows_NxF, -1e30, 1e30))


@contextlib.contextmanager
def _quietly():
  import threadpoolctl
  # A fit that has not wholly converged is a fit; a column that is missing
  # everywhere has no mean and needs none.
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    # One thread: trees of so few rows are no work to share, and two threads
    # that wait for each other on a busy machine take ten times as long.
    with threadpoolctl.threadpool_limits(1):
      yield
