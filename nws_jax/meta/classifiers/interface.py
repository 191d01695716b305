"""What a classifier is: the record of it, and the pure functions behind it.

The table of all is `table.CLASSIFIERS`; `training` trains what it names.
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
  """A pair of pure functions."""
  # (key, inputs of the training side) -> variables
  init: Callable[[jax.Array, Any], Variables]
  # (variables, inputs, key or None) -> (outputs [B, O], variables)
  apply: Callable[[Variables, Any, Any], tuple[jax.Array, Variables]]


class Vectors(NamedTuple):
  """The inputs of a classifier that sees the weights themselves.

  A shape is the static part of its inputs: hashable, with the `length` of a
  window.
  """
  find_shape: Callable[[regions.Place], Any]
  make_view: Callable[[Any], View]  # shape -> View
  share: Callable[[regions.Place, Any], Any]  # what all models share


class Gradients(NamedTuple):
  """A classifier that is a Flax module, trained by `training.fit`."""
  # (outputs, shape) -> module; the shape is None of what sees descriptions.
  # It is called with (inputs, train); dropout draws from 'dropout'.
  make_module: Callable[[int, Any], nn.Module]
  learning_rate: float  # of Adam, unless the settings give another
  averages: bool  # whether several models of each fold decide together
  # variables -> features of the bank that they were made for; None of what
  # sees vectors.
  count_features: Callable[[Variables], int] | None


class Fitted(NamedTuple):
  """What was fitted; `scale` makes its scores log-probabilities."""
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
  """A classifier that is fitted as a whole, one model after the other."""
  # (training rows, validation rows, outputs, seed) -> Fitted
  fit: Callable[[Rows, Rows, int, int], Fitted]
  most_rows: int  # that it is fitted to; evenly spaced ones of more
  packages: tuple[str, ...]  # to be imported; of the extra `baselines`


class Work(NamedTuple):
  """What the models at one place have to do, for an estimate of the time."""
  models: int
  steps: int
  batch: int
  rows: int  # windows that a model is fitted to, where it has no steps
  scored: float  # windows that all models decide about
  window: int  # weights of a window
  outputs: int
  tensors: layouts.Layouts  # of each architecture
  speed: float  # floating-point operations a second, of a large dot


class Attribution(NamedTuple):
  """That integrated gradients of it converge, and what they may take."""
  steps: int  # points on the line
  networks: int  # at most


class Requirements(NamedTuple):
  """What a classifier can read; what it cannot ends in `errors.Wrong`."""
  shortest_window: int
  compares_pairs: bool  # whether it can read --target=same_setting
  # None: windows of any architectures. Else it reads whole vectors of one
  # architecture, for which this raises `Wrong` where it cannot read it.
  check_whole: Callable[[tuple[layouts.Tensor, ...]], Any] | None


@dataclasses.dataclass(frozen=True)
class Classifier:
  """One kind of classifier. Every field is required."""
  name: str
  inputs: descriptions.Description | Vectors
  training: Gradients | Estimator
  requirements: Requirements
  attribution: Attribution | str  # or why there is none
  seconds: Callable[[Work], float]  # at most, about; on one CPU core
  compile_seconds: float
  too_slow_on_cpu: bool  # for a ladder

  def find_shape(self, place: regions.AnyPlace) -> Any:
    """The static part of its inputs; None if it sees descriptions."""
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
    """How many models of each fold decide together, where `asked` may."""
    return (asked if isinstance(self.training, Gradients)
            and self.training.averages else 1)

  def check_packages(self) -> None:
    """Raises `Wrong` where what it needs is not installed."""
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
