"""The record that defines a classifier, and the types of its functions.

All classifiers are in `table.CLASSIFIERS`; `training` trains them.
"""

import dataclasses
from typing import Any, Callable, Hashable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from nws_jax import errors
from nws_jax.meta.data import descriptions, layouts, regions
from nws_jax.meta.data.windows import Array

Variables = dict[str, Any]


class Task(NamedTuple):
  """One model's own data. Rows are padded; the first `n` of a side count."""
  labels_M: Array  # int32 classes, or float32 standardised targets
  first: Array  # its first snapshot; the last is first + span - 1
  train_N: Array
  trains: Array
  valid_N: Array
  valids: Array
  test_N: Array
  weights_M: Array  # of each network's loss: `fit.weigh`


class View(NamedTuple):
  """How a classifier sees a network, from what all models share."""
  # (shared, key, m_B, e_B) -> one random input of each
  pick: Callable[[Any, jax.Array, Array, Array], Any]
  # (shared, m, e) -> the evenly spaced inputs [S, ...]
  grid: Callable[[Any, Array, Array], Any]


class Model(NamedTuple):
  """A model of one classifier, as a pair of pure functions."""
  # (key, inputs of the training side) -> variables
  init: Callable[[jax.Array, Any], Variables]
  # (variables, inputs, key or None) -> (outputs [B, O], variables)
  apply: Callable[[Variables, Any, Any], tuple[jax.Array, Variables]]


class Vectors(NamedTuple):
  """How a classifier that takes the weights themselves gets its inputs.

  A shape is the static part of the inputs: hashable, with the `length` of a
  window.
  """
  find_shape: Callable[[regions.Place], Any]
  make_view: Callable[[Any], View]  # shape -> View
  share: Callable[[regions.Place, Any], Any]  # what all models share


class Gradients(NamedTuple):
  """A classifier that is a Flax module, trained by `training.fit`."""
  # (outputs, shape) -> module, which is called with (inputs, train). The shape
  # is None for inputs that are descriptions. Dropout uses the stream 'dropout'.
  make_module: Callable[[int, Any], nn.Module]
  learning_rate: float  # of Adam, unless the settings give another
  averages: bool  # whether the outputs of several models are averaged
  # variables -> the number of features in the bank that they were trained on;
  # None for a classifier that takes vectors.
  count_features: Callable[[Variables], int] | None


class Fitted(NamedTuple):
  """A fitted model; `scale` turns its scores into log-probabilities."""
  outputs: int
  estimator: Any  # of scikit-learn; None is the majority
  shares_O: np.ndarray  # log-frequencies of the classes, or the mean
  scale: float = 1.0


class Rows(NamedTuple):
  """Described windows of some networks."""
  features_NxF: np.ndarray
  labels_N: np.ndarray  # int classes, or standardised floats
  weights_N: np.ndarray  # of each row's loss


class Estimator(NamedTuple):
  """A classifier without gradients; it takes descriptions."""
  # (training rows, validation rows, outputs, seed) -> Fitted
  fit: Callable[[Rows, Rows, int, int], Fitted]
  most_rows: int  # if there are more, an evenly spaced subset is used
  packages: tuple[str, ...]  # that it imports; of the extra `baselines`


class Work(NamedTuple):
  """The work of all models at one place, for an estimate of the time."""
  models: int
  steps: int
  batch: int
  rows: int  # windows that a model is fitted to, where it has no steps
  scored: float  # windows that all models predict
  window: int  # weights of a window
  outputs: int
  tensors: layouts.Layouts  # of each architecture
  speed: float  # floating-point operations a second, of a large dot


class Attribution(NamedTuple):
  """How a classifier's integrated gradients are computed."""
  steps: int  # points on the path
  networks: int  # the most that are attributed


class Requirements(NamedTuple):
  """What a classifier can read; other requests end in `errors.Wrong`."""
  shortest_window: int
  compares_pairs: bool  # whether it can read --target=same_setting
  # None if it reads windows of any architectures. Otherwise it reads whole
  # vectors of one architecture; this raises `Wrong` for one that it cannot.
  check_whole: Callable[[tuple[layouts.Tensor, ...]], Any] | None


@dataclasses.dataclass(frozen=True)
class Classifier:
  """One kind of classifier. Every field is required."""
  name: str
  inputs: descriptions.Description | Vectors
  training: Gradients | Estimator
  requirements: Requirements
  attribution: Attribution | str  # or the reason why there is none
  seconds: Callable[[Work], float]  # a rough upper bound, on one CPU core
  compile_seconds: float
  too_slow_on_cpu: bool  # for a ladder

  def find_shape(self, place: regions.AnyPlace) -> Any:
    """The static part of its inputs; None if they are descriptions."""
    if not isinstance(self.inputs, Vectors):
      return None
    assert isinstance(place, regions.Place)
    return self.inputs.find_shape(place)

  def make_view(self, shape: Any) -> View:
    return (self.inputs.make_view(shape) if isinstance(self.inputs, Vectors)
            else view_bank())

  def make_model(self, outputs: int, shape: Hashable = None) -> Model:
    """The `Model` of a classifier that is trained by gradients."""
    assert isinstance(self.training, Gradients)
    return wrap(self.training.make_module(outputs, shape))

  def count_members(self, asked: int) -> int:
    """How many models of each fold are averaged: `asked`, or one."""
    return (asked if isinstance(self.training, Gradients)
            and self.training.averages else 1)

  def check_packages(self) -> None:
    """Raises `Wrong` if a package that it needs is not installed."""
    if isinstance(self.training, Estimator):
      try:
        for package in self.training.packages:
          __import__(package)
      except ImportError as e:
        raise errors.Wrong(
            f'--classifier={self.name} needs scikit-learn and skops, which are '
            "not installed: pip install 'nws_jax[baselines]', or use "
            '--classifier=fast.') from e


def wrap(module: nn.Module) -> Model:
  """The `Model` of a Flax module that is called with (inputs, train)."""
  def init(key: jax.Array, inputs: Any) -> Variables:
    return dict(module.init(key, inputs, train=False))

  def apply(variables: Variables, inputs: Any,
            key: Any) -> tuple[Any, Variables]:
    if key is None:
      return module.apply(variables, inputs, train=False), variables
    outputs, changed = module.apply(
        variables, inputs, train=True, rngs={'dropout': key},
        mutable=['batch_stats'])
    return outputs, {**variables, **changed}

  return Model(init, apply)


def view_bank() -> View:
  """A `View` of a `descriptions.Bank`, which the models share."""
  def pick(shared: descriptions.Bank, key: jax.Array, m_B: Array,
           e_B: Array) -> jax.Array:
    r_B = jax.random.randint(key, m_B.shape, 0, shared.drawn_MxExRxF.shape[2])
    return shared.drawn_MxExRxF[m_B, e_B, r_B]

  return View(pick, lambda shared, m, e: shared.even_MxExSxF[m, e])


def measure_loss(outputs_BxO: Array, labels_B: Array) -> Array:
  """Cross-entropy of classes, or the squared error of a target: [B]."""
  if jnp.issubdtype(labels_B.dtype, jnp.integer):
    return optax.softmax_cross_entropy_with_integer_labels(
        outputs_BxO, labels_B)
  predicted_B = outputs_BxO[:, 0]
  # The released code subtracted [B] from [B, 1] (docs/recipe.md, section 13).
  assert predicted_B.shape == labels_B.shape
  return (predicted_B - labels_B)**2


def by_operations(count: Callable[[Work], float],
                  efficiency: float) -> Callable[[Work], float]:
  """Seconds, from the operations of one window forwards.

  Args:
    count: `Work` -> multiplications and additions of one window.
    efficiency: rate of training, against that of a large dot.
  """
  def estimate(work: Work) -> float:
    # Forwards and backwards of each batch, and forwards of what is scored.
    windows = 3 * work.models * work.steps * work.batch + work.scored
    return count(work) * windows / work.speed / efficiency
  return estimate
