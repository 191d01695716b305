"""THE table of properties: what varies, and which of it fixes shapes.

The thirteen properties, their published choices and the published codes are
those of Eilertsen et al. (arXiv 2002.05688); see docs/recipe.md, section 2.
"""

import dataclasses
import math

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
  choices: tuple  # (low, high) if continuous
  codes: tuple = ()  # how the published files write the choices
  continuous: bool = False


PROPERTIES = (
    Property(
        'dataset', TRACED,
        ('mnist', 'cifar10', 'svhn_cropped', 'stl10', 'fashion_mnist'),
        ('mnist', 'cifar10', 'svhn', 'stl10', 'fashion')),
    Property('learning_rate', TRACED, (0.0002, 0.005), continuous=True),
    Property('batch_size', BATCH, (32, 64, 128, 256)),
    Property('batch_norm', SHAPE, (True,)),
    Property('augmentation', TRACED, (False, True)),
    Property('optimizer', TRACED, ('adam', 'rmsprop', 'momentum'), (0, 1, 2)),
    Property('activation', TRACED, ('relu', 'elu', 'sigmoid', 'tanh'),
             (0, 1, 2, 3)),
    Property('initialization', TRACED,
             ('constant', 'normal', 'glorot_uniform', 'glorot_normal'),
             (0, 1, 2, 3)),
    Property('filter_size', SHAPE, (3, 5, 7)),
    Property('depth_conv', SHAPE, (3, 4, 5)),
    Property('depth_fc', SHAPE, (2, 3, 4)),
    Property('width_conv', SHAPE, (4, 8, 12)),
    Property('width_fc', SHAPE, (64, 128, 192)),
)
BY_NAME = {p.name: p for p in PROPERTIES}
SETS = BY_NAME['dataset'].choices + ('digits',)
OPTIMIZERS = BY_NAME['optimizer'].choices
ACTIVATIONS = BY_NAME['activation'].choices
INITIALIZATIONS = BY_NAME['initialization'].choices


@dataclasses.dataclass(frozen=True, order=True)
class Architecture:
  """What fixes the shapes of a network's arrays: static and hashable."""
  filter_size: int
  depth_conv: int
  depth_fc: int
  width_conv: int
  width_fc: int
  batch_norm: bool = True

  @property
  def name(self):
    return (f'k{self.filter_size}-c{self.depth_conv}x{self.width_conv}'
            f'-f{self.depth_fc}x{self.width_fc}'
            + ('' if self.batch_norm else '-plain'))


def architecture(row):
  """The architecture of a population's row (a mapping or a pandas row)."""
  return Architecture(*(
      f.type(row[f.name]) for f in dataclasses.fields(Architecture)))


def check(name, values):
  """Raises `Wrong` unless `values` can be choices of the property `name`."""
  p = BY_NAME[name]
  if not values:
    raise errors.Wrong(f'{name} is empty; give at least one value.')
  if len(set(values)) != len(values):
    raise errors.Wrong(f'{name}={values} names a value twice.')
  for v in values:
    if p.continuous:
      ok = (isinstance(v, (int, float)) and not isinstance(v, bool)
            and math.isfinite(v) and 0 < v)
      allowed = 'finite numbers above 0: one value, or low,high'
    elif name in ('dataset', 'optimizer', 'activation', 'initialization'):
      options = SETS if name == 'dataset' else p.choices
      ok, allowed = v in options, ', '.join(options)
    elif isinstance(p.choices[0], bool):
      ok, allowed = isinstance(v, bool), 'True, False'
    else:
      low, high, odd = _BOUNDS[name]
      ok = (isinstance(v, int) and not isinstance(v, bool) and low <= v <= high
            and (v % 2 or not odd))
      allowed = f'{"odd " if odd else ""}whole numbers from {low} to {high}'
    if not ok:
      raise errors.Wrong(f'{name}={v!r} is not possible; allowed: {allowed}.')
  if p.continuous and (len(values) > 2 or list(values) != sorted(values)):
    raise errors.Wrong(f'{name}={values}: give one value, or low,high.')


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


def sample(seed, setting, choices, sampling='independent'):
  """Draws one setting: a dict of the thirteen properties.

  A setting depends on (seed, setting) alone, and each property has its own
  draw, so that restricting one changes no other.

  Args:
    seed: root seed of the population.
    setting: index of the setting.
    choices: {property: tuple of choices}, (low, high) if continuous.
    sampling: 'independent' and uniform, as published; or 'balanced': every
      level of a property once in each aligned block of settings, in an order of
      its own, and continuous ones evenly spread.
  """
  row = {}
  published = np.random.default_rng([seed, setting]).random(len(PROPERTIES))
  for n, p in enumerate(PROPERTIES):
    c = choices[p.name]
    u = published[n] if sampling == 'independent' else _balance(
        [seed, n, 0xba1a], setting, 0 if p.continuous else len(c))
    row[p.name] = (float(c[0] + u * (c[-1] - c[0])) if p.continuous
                   else c[int(u * len(c))])
  return row


def _balance(key, setting, levels):
  """A number in [0, 1) that takes each level equally often; 0: is continuous.

  Continuous ones follow the radical inverse in base 2, the first dimension of
  Sobol's sequence, with all bits flipped by one random word.
  """
  if levels:
    block, slot = divmod(setting, levels)
    order = np.random.default_rng([*key, block]).permutation(levels)
    return (order[slot] + 0.5) / levels
  word = int(np.random.default_rng(key).integers(2 ** 32))
  return (int(f'{setting:032b}'[::-1], 2) ^ word) / 2 ** 32


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


def group(row):
  """What networks must share to be trained by one compiled program."""
  return architecture(row), int(row['batch_size'])


def varying(rows):
  """Names of the properties that take more than one value in `rows`."""
  return [p.name for p in PROPERTIES
          if len({row[p.name] for row in rows}) > 1]
