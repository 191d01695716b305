"""Which networks are read, and which property of them."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from nws_jax import errors, published, space
from nws_jax.meta.data import splits

LEAST = 5  # networks of each class
LEVELS = 20  # a number that takes more of them is regressed
GAP, EPOCH, SAME = 'generalization_gap', 'epoch', 'same_setting'
_OUTCOMES = ('test_accuracy', GAP)
_PAIRS = 1_000_000  # of networks, compared at most
# Columns on how a zoo is kept and split, which weights cannot show.
_KEPT = ('id', 'unit', 'setting', 'replicate', 'seed', 'split', 'fold',
         'status', 'seconds')


@dataclasses.dataclass(frozen=True)
class Target:
  """A property to read: its value for each network.

  `values_M` are indices into `classes`; or the numbers to regress, for
  learning_rate their natural logarithms; or, with `bins`, the numbers to cut
  into as many quantiles, which are the classes.
  """
  name: str
  classes: tuple[Any, ...]  # empty where it is regressed
  values_M: np.ndarray
  bins: int = 0
  role: str = ''  # of the property; see `space.Property`

  @property
  def outputs(self) -> int:
    return len(self.classes) or 1

  @property
  def fixes_shapes(self) -> bool:
    """Whether the layout of the weights reveals it."""
    return self.role == space.SHAPE

  def natural(self, values: Any) -> Any:
    """Values to regress -> values as in members.csv."""
    return np.exp(values) if self.name == 'learning_rate' else values

  def cut(self, sides: splits.Sides) -> np.ndarray:
    """The quantiles of each split's training networks: [F, bins - 1]."""
    shares = np.arange(1, self.bins) / self.bins
    return np.stack([np.quantile(self.values_M[rows[:n]], shares)
                     for rows, n in zip(sides.train_FxN, sides.trains_F)])

  def label(self, sides: splits.Sides, values_M: np.ndarray | None = None
            ) -> np.ndarray:
    """What each split has to learn, [F, M]: of `values_M` in place of its own.

    Quantiles are those of the training networks, so they differ a little
    between splits.
    """
    values_M = self.values_M if values_M is None else values_M
    folds = len(sides.trains_F)
    if not self.bins:
      return np.broadcast_to(values_M, (folds, len(values_M)))
    cuts = dataclasses.replace(self, values_M=values_M).cut(sides)
    return np.stack([np.searchsorted(c, values_M, side='right') for c in cuts])


def list_possible(members: pd.DataFrame,
                  properties: space.Properties = published.ALL) -> list[str]:
  """Everything that a target can be in this zoo."""
  return ([p.name for p in properties] + list(_OUTCOMES)
          + [EPOCH, SAME] + [c for c in members.columns if c not in (
              *(p.name for p in properties), *_OUTCOMES, *_KEPT)])


def check_name(members: pd.DataFrame, name: str,
               properties: space.Properties = published.ALL) -> None:
  """Raises `Wrong` for a name that is no target of this zoo."""
  if name not in list_possible(members, properties):
    raise errors.Wrong(f'--target={name} is not possible; allowed: '
                       f'{", ".join(list_possible(members, properties))}.')


def derive(members: pd.DataFrame) -> pd.DataFrame:
  """The members with columns that are computed from others."""
  if 'train_accuracy' in members:
    members = members.assign(**{
        GAP: members['train_accuracy'] - members['test_accuracy']})
  return members


def find_varying(members: pd.DataFrame,
                 properties: space.Properties = published.ALL) -> list[str]:
  """Names of the usual targets that have more than one value."""
  rows = members.to_dict('records')
  return space.varying(properties, rows) + [
      c for c in _OUTCOMES if c in members and members[c].nunique() > 1]


def is_regressed(members: pd.DataFrame, name: str,
                 properties: space.Properties = published.ALL) -> bool:
  """Whether it is a number of many values."""
  for p in properties:
    if p.name == name:
      return p.continuous
  if name == EPOCH:
    return True
  kind = members[name].dtype.kind
  return kind == 'f' or kind in 'iu' and members[name].nunique() > LEVELS


def choose(members: pd.DataFrame, name: str, bins: int = 0,
           properties: space.Properties = published.ALL) -> Target:
  """The `Target` of these networks.

  Raises:
    errors.Wrong: it does not vary (names what does), a class has fewer than
      five settings, or it has classes and is to be cut into bins.
  """
  check_name(members, name, properties)
  if name not in members or members[name].nunique() < 2:
    raise errors.Wrong(
        f'--target={name} cannot be read: all {len(members)} networks have '
        'the same. What varies: '
        f'{", ".join(find_varying(members, properties)) or "nothing"}.')
  known = {p.name: p for p in properties}.get(name)
  role = known.role if known else ''
  if is_regressed(members, name, properties):
    return dataclasses.replace(
        _choose_number(members, name, bins), role=role)
  if bins:
    raise errors.Wrong(f'--bins={bins} cuts numbers of many values, but {name} '
                       'has classes already. Leave it out.')
  values = members[name].tolist()
  classes = _order(known.words if known else (), set(values))
  values_M = np.array([classes.index(v) for v in values])
  for k, value in enumerate(classes):
    # Replicates are held out together: a class needs settings, not networks.
    count = members['setting'][values_M == k].nunique()
    if count < LEAST:
      raise errors.Wrong(
          f'--target={name} cannot be read: only networks of {count} settings '
          f'have {value}, at least {LEAST} of each class are needed. Train a '
          'larger zoo, or one without it.')
  return Target(name, classes, values_M, role=role)


def warn(target: Target, sides: splits.Sides) -> list[str]:
  """Sentences on classes that a split tests but does not train on."""
  untrained: dict[int, int] = {}
  tests = len(sides.trains_F)
  for labels_M, train_N, trains, test_N, n in zip(
      target.label(sides) if target.classes else (), sides.train_FxN,
      sides.trains_F, sides.test_FxN, sides.tests_F):
    for k in np.setdiff1d(labels_M[test_N[:n]], labels_M[train_N[:trains]]):
      untrained[k] = untrained.get(k, 0) + 1
  return [f'{target.name} {target.classes[k]} is tested in {count} of {tests} '
          'splits whose models never saw it, and cannot be read there: its '
          'networks are of too few settings.'
          for k, count in sorted(untrained.items())]


def _choose_number(members: pd.DataFrame, name: str, bins: int) -> Target:
  values_M = members[name].to_numpy(float)
  if not np.isfinite(values_M).all():
    raise errors.Wrong(f'--target={name} cannot be read: it is missing for '
                       f'{np.sum(~np.isfinite(values_M))} networks.')
  if name == 'learning_rate':
    values_M = np.log(values_M)
  if bins and len(values_M) < bins * LEAST:
    raise errors.Wrong(
        f'--bins={bins} of {len(values_M)} networks: a class would have fewer '
        f'than {LEAST}. Give at most {len(values_M) // LEAST}.')
  return Target(name, tuple(f'{n + 1} of {bins}' for n in range(bins)),
                values_M, bins)


def select(members: pd.DataFrame, name: str, *, diverged: bool,
           min_accuracy: float, balance: bool,
           properties: space.Properties = published.ALL
           ) -> tuple[pd.DataFrame, dict[str, int]]:
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

  def keep(rows: np.ndarray, reason: str) -> pd.DataFrame:
    left_out[reason] = int(len(members) - rows.sum())
    return members[rows]

  if not diverged:
    members = keep((members['status'] != 'diverged').to_numpy(), 'diverged')
  if min_accuracy > 0:
    members = keep((members['test_accuracy'] >= min_accuracy).to_numpy(),
                   'min_accuracy')
  if name in members and members[name].isna().any():
    members = keep(members[name].notna().to_numpy(), f'no {name}')
  if balance and name in members and not is_regressed(
      members, name, properties):
    members = members.sort_values('id')
    place = members.groupby(name).cumcount().to_numpy()
    members = keep(place < members[name].value_counts().min(), 'balance')
  return members, left_out


def spread_epochs(members: pd.DataFrame, epochs: dict[int, tuple[int, ...]]
                  ) -> pd.DataFrame:
  """A row a snapshot, in the order (network, epoch): column `epoch`.

  Args:
    members: DataFrame, a row a network.
    epochs: id -> its epochs, as many of each.
  """
  span = len(next(iter(epochs.values())))
  return members.loc[members.index.repeat(span)].assign(
      epoch=[e for id in members['id'] for e in epochs[id]])


def pair(members: pd.DataFrame, seed: int,
         properties: space.Properties = published.ALL
         ) -> tuple[pd.DataFrame, np.ndarray]:
  """Pairs of networks: of one setting, and as many of different ones.

  Two settings with the same value of every property count as one. Both networks
  of a pair are on the same side of the split, or in the same fold.

  Returns:
    (a row a pair, that of its first network with `other`, the id of the
    second, and `same_setting`; rows of both in `members` [pairs, 2]).

  Raises:
    errors.Wrong: no setting has two networks on one side, or all are of one; or
      there are too many pairs.
  """
  rng = np.random.default_rng([seed, 2])
  alike = members.groupby([p.name for p in properties if p.name in members],
                          sort=False, dropna=False)
  setting_M, sizes_S = alike.ngroup().to_numpy(), alike.size().to_numpy()
  most = np.sum(sizes_S * (sizes_S - 1))
  if most > _PAIRS:
    raise errors.Wrong(
        f'--target={SAME} would compare up to {most:,} pairs of these '
        f'networks, at most {_PAIRS:,} are possible. Read a zoo of fewer '
        'replicates.')
  side_M = members[splits.by(len(members))].to_numpy()
  rows, same = [], []
  for setting, side in dict.fromkeys(zip(setting_M, side_M)):
    of_it = np.flatnonzero((setting_M == setting) & (side_M == side))
    others = np.flatnonzero((side_M == side) & (setting_M != setting))
    if len(others) == 0:
      continue
    for n, a in enumerate(of_it):
      for b in of_it[n + 1:]:
        rows += [(a, b), (a, rng.choice(others))]
        same += [True, False]
  if not rows:
    raise errors.Wrong(
        f'--target={SAME} needs settings of several networks, but each has '
        'one here. Train a zoo with --config.replicates=2 or more.')
  pairs_Mx2 = np.array(rows)
  ids = members['id'].to_numpy()
  return members.iloc[pairs_Mx2[:, 0]].assign(
      other=ids[pairs_Mx2[:, 1]], same_setting=same), pairs_Mx2


def _order(known: tuple[Any, ...], values: set[Any]) -> tuple[Any, ...]:
  """Values in the order of the table of properties, then others, ascending."""
  if not all(isinstance(v, (str, bool)) for v in values):
    known = ()
  return tuple(sorted(values, key=lambda v: (
      known.index(v) if v in known else len(known), v)))
