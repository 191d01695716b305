"""THE table of properties: what varies, and which of it fixes shapes.

The thirteen published properties, their choices and codes are those of
Eilertsen et al. (arXiv 2002.05688); see docs/recipe.md, section 2. Two more
are fixed unless a config says otherwise.
"""

import dataclasses
import sys
from collections.abc import Collection

import numpy as np

from nws_jax import errors

SHAPE, BATCH, TRACED = 'shape', 'batch', 'traced'
NUM_CLASSES = 10
NUM_LOGITS = 20  # every published network has 20 output units


@dataclasses.dataclass(frozen=True)
class Property:
  """One row of the table.

  `role` says what a value fixes: array shapes, the batch axis, or nothing, in
  which case it is data of a compiled program and varies inside it.
  """
  name: str
  role: str
  choices: tuple  # published; (low, high), or a value, if continuous
  codes: tuple = ()  # how the published files write the choices
  others: tuple = ()  # words that are allowed beside the choices
  continuous: bool = False

  @property
  def words(self):
    """All words that it may be, the published ones first."""
    return self.choices + self.others


PROPERTIES = (  # those of the published format, in its order
    Property(
        'dataset', TRACED,
        ('mnist', 'cifar10', 'svhn_cropped', 'stl10', 'fashion_mnist'),
        ('mnist', 'cifar10', 'svhn', 'stl10', 'fashion'), ('digits',)),
    Property('learning_rate', TRACED, (0.0002, 0.005), continuous=True),
    Property('batch_size', BATCH, (32, 64, 128, 256)),
    Property('batch_norm', SHAPE, (True,)),
    Property('augmentation', TRACED, (False, True)),
    Property('optimizer', TRACED, ('adam', 'rmsprop', 'momentum'), (0, 1, 2),
             ('nesterov', 'lion')),
    # The others, too, are monotone, with a derivative that the output tells.
    Property('activation', TRACED, ('relu', 'elu', 'sigmoid', 'tanh'),
             (0, 1, 2, 3), ('leaky_relu', 'selu', 'softplus', 'softsign')),
    Property('initialization', TRACED,
             ('constant', 'normal', 'glorot_uniform', 'glorot_normal'),
             (0, 1, 2, 3)),
    Property('filter_size', SHAPE, (3, 5, 7)),
    Property('depth_conv', SHAPE, (3, 4, 5)),
    Property('depth_fc', SHAPE, (2, 3, 4)),
    Property('width_conv', SHAPE, (4, 8, 12)),
    Property('width_fc', SHAPE, (64, 128, 192)),
)
EXTRA = (  # beside the published ones; what all published networks have
    Property('weight_decay', TRACED, (0.0,), continuous=True),
    Property('dropout', TRACED, (0.5,), continuous=True),  # share of units
)
ALL = PROPERTIES + EXTRA
BY_NAME = {p.name: p for p in ALL}
SETS = BY_NAME['dataset'].words
ACTIVATIONS = BY_NAME['activation'].words


def check(name, values):
  """Raises `Wrong` unless `values` can be choices of the property `name`."""
  p = BY_NAME[name]
  if not values:
    raise errors.Wrong(f'{name} is empty; give at least one value.')
  for v in values:
    possible, allowed = _judge(p, v)
    if not possible:
      raise errors.Wrong(f'{name}={v!r} is not possible; allowed: {allowed}.')
  if len(set(values)) != len(values):
    raise errors.Wrong(f'{name}={values} names a value twice; name it once.')
  if p.continuous and (len(values) > 2 or list(values) != sorted(values)):
    raise errors.Wrong(f'{name}={values}: give one value, or low,high.')


def check_table(name: str, table: Collection[str]) -> None:
  """Raises `KeyError` unless `table` has the words of a property as its keys.

  Whoever says what the words mean calls it when imported, so that a word
  without an entry, or an entry without a word, is found before anything runs.
  """
  wrong = set(BY_NAME[name].words) ^ set(table)
  if wrong:
    raise KeyError(f'{name}: {", ".join(sorted(wrong))} must be both in the '
                   'table of properties (nws_jax/space.py) and in the table '
                   'that says what it means.')


def _judge(p, v):
  """(whether `v` can be a value of a property, what can, in words)."""
  if isinstance(p.choices[0], str):
    return v in p.words, ', '.join(p.words)
  if isinstance(p.choices[0], bool):
    return isinstance(v, bool), 'True, False'
  if p.continuous:
    test, allowed = _RANGES[p.name]
    return (isinstance(v, (int, float)) and not isinstance(v, bool)
            and v <= sys.float_info.max and test(v)), (
                f'{allowed}: one value, or low,high')
  low, high, odd = _BOUNDS[p.name]
  return (isinstance(v, int) and not isinstance(v, bool) and low <= v <= high
          and bool(v % 2 or not odd)), (
              f'{"odd " if odd else ""}whole numbers from {low} to {high}')


_RANGES = {
    'learning_rate': (lambda v: v > 0, 'finite numbers above 0'),
    'weight_decay': (lambda v: v >= 0, 'finite numbers from 0'),
    'dropout': (lambda v: 0 <= v < 1, 'numbers from 0, below 1'),
}
# Least and greatest value, and whether only odd ones make sense. The halvings
# f, f/2, f/4, f/8 of the hidden layers need width_fc >= 8.
_BOUNDS = {
    'batch_size': (2, 65536, False),
    'filter_size': (1, 15, True),
    'depth_conv': (3, 5, False),
    'depth_fc': (1, 4, False),
    'width_conv': (1, 256, False),
    'width_fc': (8, 8192, False),
}


SAMPLINGS = ('independent', 'balanced')


def sample(seed, settings, choices, sampling='independent'):
  """Draws settings: a list of dicts of all properties.

  A setting depends on (seed, setting) alone, and each property has its own
  draw, so that restricting one changes no other.

  Args:
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
  for p, u_S in zip(ALL, draw(seed, list(settings), choices)):
    c = choices[p.name]
    columns.append([float(c[0] + u * (c[-1] - c[0])) if p.continuous
                    else c[int(u * len(c))] for u in u_S])
  return [dict(zip(BY_NAME, values)) for values in zip(*columns)]


def _draw(seed, settings, choices):
  """Numbers in [0, 1), a sequence a property: a stream of each setting."""
  return np.array([np.random.default_rng([seed, s]).random(len(ALL))
                   for s in settings]).T


def _balance(seed, settings, choices):
  """The same, where each level of a property comes equally often."""
  moving = [p.name for p in ALL if p.continuous]
  points_CxS = np.zeros((len(moving), len(settings)))
  if any(len(choices[name]) > 1 for name in moving):
    points_CxS = _sobol([seed, 0x50b01], len(moving), settings)
  for n, p in enumerate(ALL):
    yield (points_CxS[moving.index(p.name)] if p.continuous
           else _permute([seed, n, 0xba1a], settings, len(choices[p.name])))


def _permute(key, settings, levels):
  """Each of `levels` once in every aligned block, in an order by the key."""
  if levels == 1:
    return [0.5] * len(settings)
  orders = {block: np.random.default_rng([*key, block]).permutation(levels)
            for block in {s // levels for s in settings}}
  return [(orders[s // levels][s % levels] + 0.5) / levels for s in settings]


def _sobol(key, dimensions, settings):
  """Those points of one sequence, which is as long as it must be: [C, S]."""
  from scipy.stats import qmc  # slow, and only for this
  engine = qmc.Sobol(dimensions, rng=np.random.default_rng(key))
  return engine.random_base2(max(settings).bit_length())[settings].T


_FOLDS = 5
_SPLITS = ('train',) * 7 + ('valid',) + ('test',) * 2


def side(seed, setting):
  """(split, fold) of a setting, evenly spread over aligned blocks of ten.

  All replicates of a setting share its side, so no network has a twin across
  a split. Depends on (seed, setting) alone: a population can grow.
  """
  n = len(_SPLITS)
  rng = np.random.default_rng([seed, setting // n, 0x5b117])
  slot = setting % n
  split = _SPLITS[rng.permutation(n)[slot]]
  return split, int(rng.permutation(n)[slot] % _FOLDS)


def varying(rows):
  """Names of the properties that take more than one value in `rows`."""
  return [p.name for p in ALL
          if len({row[p.name] for row in rows}) > 1]


CHANCE = 1 / NUM_CLASSES  # the accuracy of guessing
# Up to here the 95 % interval of an accuracy on 1,000 images contains chance.
AT_CHANCE = float(CHANCE + 1.96 * np.sqrt(CHANCE * (1 - CHANCE) / 1000))
