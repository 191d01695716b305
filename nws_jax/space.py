"""Properties of a population: what may vary, and how settings are drawn.

Here are the properties of training, and those that several kinds of networks
have. A family composes them with its own into the whole table of its
populations (`zoo.families`, `published`). Choices and codes are those of
Eilertsen et al. (arXiv 2002.05688); see docs/recipe.md, section 2.
"""

import dataclasses
import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors

SHAPE, BATCH, TRACED = 'shape', 'batch', 'traced'
NUM_CLASSES = 10


class Range(NamedTuple):
  """The numbers that a property may be."""
  low: float
  high: float = math.inf
  open_low: bool = False  # whether `low` itself is left out
  open_high: bool = False
  odd: bool = False

  def holds(self, value: float) -> bool:
    return (self.low <= value <= self.high
            and not (self.open_low and value == self.low)
            and not (self.open_high and value == self.high)
            and not (self.odd and value % 2 == 0))

  def describe(self, whole: bool) -> str:
    if whole:
      return (f'{"odd " if self.odd else ""}whole numbers from {self.low:g} to '
              f'{self.high:g}')
    start = f'{"above" if self.open_low else "from"} {self.low:g}'
    if self.high == math.inf:
      return f'finite numbers {start}'
    return f'numbers {start}, {"below" if self.open_high else "to"} ' + (
        f'{self.high:g}')


@dataclasses.dataclass(frozen=True)
class Property:
  """A property of networks: a row of the table of a population.

  `role` says what a value fixes: array shapes, the batch axis, or nothing, in
  which case it is data of a compiled program and varies inside it.
  """
  name: str
  role: str
  choices: tuple[Any, ...]  # published; (low, high), or a value, if continuous
  codes: tuple[Any, ...] = ()  # how the published files write the choices
  others: tuple[str, ...] = ()  # words that are allowed beside the choices
  continuous: bool = False
  allowed: Range | None = None  # of numbers

  @property
  def words(self) -> tuple[Any, ...]:
    """All words that it may be, the published ones first."""
    return self.choices + self.others


Properties = Sequence[Property]
DATASET = Property(
    'dataset', TRACED,
    ('mnist', 'cifar10', 'svhn_cropped', 'stl10', 'fashion_mnist'),
    ('mnist', 'cifar10', 'svhn', 'stl10', 'fashion'), ('digits',))
LEARNING_RATE = Property('learning_rate', TRACED, (0.0002, 0.005),
                         continuous=True, allowed=Range(0, open_low=True))
BATCH_SIZE = Property('batch_size', BATCH, (32, 64, 128, 256),
                      allowed=Range(2, 65536))
BATCH_NORM = Property('batch_norm', SHAPE, (True,))
AUGMENTATION = Property('augmentation', TRACED, (False, True))
OPTIMIZER = Property('optimizer', TRACED, ('adam', 'rmsprop', 'momentum'),
                     (0, 1, 2), ('nesterov', 'lion'))
# The others, too, are monotone, with a derivative that the output tells.
ACTIVATION = Property(
    'activation', TRACED, ('relu', 'elu', 'sigmoid', 'tanh'), (0, 1, 2, 3),
    ('leaky_relu', 'selu', 'softplus', 'softsign'))
INITIALIZATION = Property(
    'initialization', TRACED,
    ('constant', 'normal', 'glorot_uniform', 'glorot_normal'), (0, 1, 2, 3))
WEIGHT_DECAY = Property('weight_decay', TRACED, (0.0,), continuous=True,
                        allowed=Range(0))
DROPOUT = Property(  # share of units
    'dropout', TRACED, (0.5,), continuous=True,
    allowed=Range(0, 1, open_high=True))
SETS, ACTIVATIONS = DATASET.words, ACTIVATION.words
# The order of the words of properties that several kinds of networks have.
WORDS = {p.name: p.words for p in (
    DATASET, OPTIMIZER, ACTIVATION, INITIALIZATION)}


def to_records(properties: Properties) -> list[dict[str, Any]]:
  """What config.json records of a table, so that readers know it."""
  return [{'name': p.name, 'role': p.role, 'continuous': p.continuous,
           'choices': list(p.words)} for p in properties]


def from_records(records: Iterable[Mapping[str, Any]]) -> tuple[Property, ...]:
  """Inverse of `to_records`, but for what only the trainer needs.

  Raises:
    errors.Damaged: it is no table of properties.
  """
  try:
    return tuple(Property(
        str(r['name']), str(r['role']), tuple(r['choices']),
        continuous=bool(r['continuous'])) for r in records)
  except (KeyError, TypeError) as e:
    raise errors.Damaged(
        f'config.json holds no table of properties: {e!r}') from e


def check(p: Property, values: Sequence[Any]) -> None:
  """Raises `Wrong` unless `values` can be choices of a property."""
  name = p.name
  if not values:
    raise errors.Wrong(f'{name} is empty; give at least one value.')
  for v in values:
    possible, allowed = _judge(p, v)
    if not possible:
      raise errors.impossible(name, v, allowed)
  if len(set(values)) != len(values):
    raise errors.Wrong(f'{name}={values} names a value twice; name it once.')
  if p.continuous and (len(values) > 2 or list(values) != sorted(values)):
    raise errors.Wrong(f'{name}={values}: give one value, or low,high.')


def check_table(p: Property, table: Collection[str]) -> None:
  """Raises `KeyError` unless `table` has the words of a property as its keys.

  Whoever says what the words mean calls it when imported, so that a word
  without an entry, or an entry without a word, is found before anything runs.
  """
  wrong = set(p.words) ^ set(table)
  if wrong:
    raise KeyError(f'{p.name}: {", ".join(sorted(wrong))} must be both in the '
                   'table of properties (nws_jax/space.py) and in the table '
                   'that says what it means.')


def _judge(p: Property, v: Any) -> tuple[bool, str]:
  """(whether `v` can be a value of a property, what can, in words)."""
  if isinstance(p.choices[0], str):
    return v in p.words, ', '.join(p.words)
  if isinstance(p.choices[0], bool):
    return isinstance(v, bool), 'True, False'
  allowed, number = p.allowed or Range(-math.inf), not isinstance(v, bool)
  if p.continuous:
    return (number and isinstance(v, (int, float))
            and v <= sys.float_info.max and allowed.holds(v),
            f'{allowed.describe(False)}: one value, or low,high')
  return (number and isinstance(v, int) and allowed.holds(v),
          allowed.describe(True))


SAMPLINGS = ('independent', 'balanced')


def sample(properties: Properties, seed: int, settings: Sequence[int],
           choices: Mapping[str, tuple[Any, ...]],
           sampling: str = 'independent') -> list[dict[str, Any]]:
  """Draws settings: a list of dicts of all properties.

  A setting depends on (seed, setting) alone, and each property has its own
  draw, so that restricting one changes no other.

  Args:
    properties: the table of the population.
    seed: root seed of the population.
    settings: indices of the settings.
    choices: {property: tuple of choices}; one value or (low, high) if
      continuous.
    sampling: 'independent' and uniform, as published; or 'balanced': every
      level of a property once in each aligned block of settings, in an order of
      its own, and the continuous ones a scrambled Sobol sequence.
  """
  draw = _draw if sampling == 'independent' else _balance
  columns = []
  for p, u_S in zip(
      properties, draw(properties, seed, list(settings), choices)):
    c = choices[p.name]
    columns.append([float(c[0] + u * (c[-1] - c[0])) if p.continuous
                    else c[int(u * len(c))] for u in u_S])
  names = [p.name for p in properties]
  return [dict(zip(names, values)) for values in zip(*columns)]


def _draw(properties: Properties, seed: int, settings: list[int],
          choices: Mapping[str, tuple[Any, ...]]) -> np.ndarray:
  """Numbers in [0, 1), a sequence a property: a stream of each setting."""
  return np.array([np.random.default_rng([seed, s]).random(len(properties))
                   for s in settings]).T


def _balance(properties: Properties, seed: int, settings: list[int],
             choices: Mapping[str, tuple[Any, ...]]
             ) -> Iterator[Sequence[float]]:
  """The same, where each level of a property comes equally often."""
  moving = [p.name for p in properties if p.continuous]
  points_CxS = np.zeros((len(moving), len(settings)))
  if any(len(choices[name]) > 1 for name in moving):
    points_CxS = _sobol([seed, 0x50b01], len(moving), settings)
  for n, p in enumerate(properties):
    yield (points_CxS[moving.index(p.name)] if p.continuous
           else _permute([seed, n, 0xba1a], settings, len(choices[p.name])))


def _permute(key: list[int], settings: list[int], levels: int) -> list[float]:
  """Each of `levels` once in every aligned block, in an order by the key."""
  if levels == 1:
    return [0.5] * len(settings)
  orders = {block: np.random.default_rng([*key, block]).permutation(levels)
            for block in {s // levels for s in settings}}
  return [(orders[s // levels][s % levels] + 0.5) / levels for s in settings]


def _sobol(key: list[int], dimensions: int, settings: list[int]
           ) -> np.ndarray:
  """Those points of one sequence, which is as long as it must be: [C, S]."""
  from scipy.stats import qmc  # slow, and only for this
  engine = qmc.Sobol(dimensions, rng=np.random.default_rng(key))
  return engine.random_base2(max(settings).bit_length())[settings].T


_FOLDS = 5
_SPLITS = ('train',) * 7 + ('valid',) + ('test',) * 2


def side(seed: int, setting: int) -> tuple[str, int]:
  """(split, fold) of a setting, evenly spread over aligned blocks of ten.

  All replicates of a setting share its side, so no network has a twin across
  a split. Depends on (seed, setting) alone: a population can grow.
  """
  n = len(_SPLITS)
  rng = np.random.default_rng([seed, setting // n, 0x5b117])
  slot = setting % n
  split = _SPLITS[rng.permutation(n)[slot]]
  return split, int(rng.permutation(n)[slot] % _FOLDS)


def varying(properties: Properties, rows: Sequence[Mapping[str, Any]]
            ) -> list[str]:
  """Names of the properties that take more than one value in `rows`."""
  return [p.name for p in properties
          if len({row[p.name] for row in rows}) > 1]


CHANCE = 1 / NUM_CLASSES  # the accuracy of guessing
# Up to here the 95 % interval of an accuracy on 1,000 images contains chance.
AT_CHANCE = float(CHANCE + 1.96 * np.sqrt(CHANCE * (1 - CHANCE) / 1000))
