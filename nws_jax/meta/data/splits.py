"""Which networks models are trained, validated and tested on."""

from typing import NamedTuple, Sequence

import numpy as np
import pandas as pd

from nws_jax import errors

FOLDS = 5
LARGE = 1000  # networks from which one fixed split replaces the folds


class Sides(NamedTuple):
  """Rows of the networks on each side of F splits, padded by repetition.

  Of the rows of a side the first ones count: `trains_F` and so on many.
  """
  train_FxN: np.ndarray
  trains_F: np.ndarray
  valid_FxN: np.ndarray
  valids_F: np.ndarray
  test_FxN: np.ndarray
  tests_F: np.ndarray


def restrict(sides: Sides, kept_M: np.ndarray) -> Sides:
  """`Sides` of the networks that are kept; `Wrong` if a side has none."""
  parts = zip(sides[::2], sides[1::2])
  train_F, valid_F, test_F = (
      [rows[:n][kept_M[rows[:n]]] for rows, n in zip(rows_FxN, n_F)]
      for rows_FxN, n_F in parts)
  if min(len(rows) for rows in (*train_F, *valid_F, *test_F)) == 0:
    raise errors.Wrong(f'{int(kept_M.sum())} networks are too few to split.')
  return join(train_F, valid_F, test_F)


def join(train_F: Sequence[np.ndarray], valid_F: Sequence[np.ndarray],
         test_F: Sequence[np.ndarray]) -> Sides:
  """`Sides` of F lists of rows each."""
  return Sides(*(part for side in (train_F, valid_F, test_F)
                 for part in _pad(side)))


def by(networks: int) -> str:
  """The column of the sides of so many networks: split or fold."""
  return 'split' if networks >= LARGE else 'fold'


def split(members: pd.DataFrame, networks: int | None = None) -> Sides:
  """`Sides` by network: 5-fold cross-validation, or the split of a large zoo.

  Fold k is tested, fold k + 1 validated, the rest trained on. All replicates
  of a setting share a side, and so do all snapshots of a network.

  Args:
    members: DataFrame with `split` and `fold`, in the order of the rows.
    networks: how many they are of, if not one each.

  Raises:
    errors.Wrong: a side is empty.
  """
  column = by(networks or len(members))
  at = members[column].to_numpy()
  if column == 'split':
    sides = [[np.flatnonzero(at == s)] for s in ('train', 'valid', 'test')]
  else:
    k = range(FOLDS)
    sides = [[np.flatnonzero((at != i) & (at != (i + 1) % FOLDS)) for i in k],
             [np.flatnonzero(at == (i + 1) % FOLDS) for i in k],
             [np.flatnonzero(at == i) for i in k]]
  if min(len(rows) for side in sides for rows in side) == 0:
    raise errors.Wrong(
        f'{len(members)} networks are too few to split: a side of the split '
        'has none. Train a zoo of at least 20 networks, or leave out fewer.')
  return join(*sides)


def _pad(rows_F: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  longest = max(map(len, rows_F))
  return (np.stack([np.resize(rows, longest) for rows in rows_F]),
          np.array([len(rows) for rows in rows_F]))
