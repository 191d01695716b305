"""Which networks are read, and what is to be read from them."""

import dataclasses
from typing import Any

import numpy as np

from nws_jax import errors, space

REGRESSED = tuple(p.name for p in space.ALL if p.continuous) + (
    'test_accuracy',)
LEAST = 5  # networks of each class


@dataclasses.dataclass(frozen=True)
class Target:
  """A property to read: its value for each network.

  `values_M` are indices into `classes`; or the numbers to regress, for
  learning_rate their natural logarithms.
  """
  name: str
  classes: tuple  # empty where it is regressed
  values_M: Any

  @property
  def outputs(self):
    return len(self.classes) or 1

  @property
  def fixes_shapes(self):
    """Whether the layout of the weights gives it away."""
    p = space.BY_NAME.get(self.name)
    return p is not None and p.role == space.SHAPE

  def natural(self, values):
    """Values to regress -> what a reader of members.csv knows."""
    return np.exp(values) if self.name == 'learning_rate' else values


def check_name(name):
  """Raises `Wrong` for what no zoo can have; needs no zoo."""
  allowed = [p.name for p in space.ALL] + ['test_accuracy']
  if name not in allowed:
    raise errors.Wrong(f'--target={name} is not possible; allowed: '
                       f'{", ".join(allowed)}.')


def find_varying(members):
  """Names of what can be read: properties of more than one value."""
  rows = members.to_dict('records')
  return space.varying(rows) + (
      ['test_accuracy'] if members['test_accuracy'].nunique() > 1 else [])


def choose(members, name):
  """The `Target` of these networks.

  Raises:
    errors.Wrong: it does not vary (names what does), or a class has fewer
      than five networks.
  """
  if name not in find_varying(members):
    raise errors.Wrong(
        f'--target={name} cannot be read: all {len(members)} networks have '
        'the same. What varies: '
        f'{", ".join(find_varying(members)) or "nothing"}.')
  values = members[name].tolist()
  if name in REGRESSED:
    values_M = np.asarray(values, float)
    if not np.isfinite(values_M).all():
      raise errors.Wrong(f'--target={name} cannot be read: it is missing for '
                         f'{np.sum(~np.isfinite(values_M))} networks.')
    return Target(name, (), np.log(values_M) if name == 'learning_rate'
                  else values_M)
  classes = _order(name, set(values))
  values_M = np.array([classes.index(v) for v in values])
  for value, count in zip(classes, np.bincount(values_M)):
    if count < LEAST:
      raise errors.Wrong(
          f'--target={name} cannot be read: only {count} networks have '
          f'{value}, at least {LEAST} of each class are needed. Train a larger '
          'zoo, or one without it.')
  return Target(name, classes, values_M)


def select(members, name, *, diverged, min_accuracy, balance):
  """The networks to read, and why the others are left out.

  Args:
    members: DataFrame of the zoo.
    name: the target.
    diverged: whether diverged networks stay.
    min_accuracy: least test accuracy of a network that stays.
    balance: whether every class keeps only as many networks as the smallest
      has, the first ones by id, as published.

  Returns:
    (members that stay, {reason: how many it left out}).
  """
  left_out = {}

  def keep(rows, reason):
    left_out[reason] = int(len(members) - rows.sum())
    return members[rows]

  if not diverged:
    members = keep((members['status'] != 'diverged').to_numpy(), 'diverged')
  if min_accuracy > 0:
    members = keep((members['test_accuracy'] >= min_accuracy).to_numpy(),
                   'min_accuracy')
  if balance and name not in REGRESSED:
    members = members.sort_values('id')
    place = members.groupby(name).cumcount().to_numpy()
    members = keep(place < members[name].value_counts().min(), 'balance')
  return members, left_out


def _order(name, values):
  """Values in the order of the table, others after them, ascending."""
  known = space.BY_NAME[name].words
  if not all(isinstance(v, (str, bool)) for v in values):
    known = ()
  return tuple(sorted(values, key=lambda v: (
      known.index(v) if v in known else len(known), v)))
