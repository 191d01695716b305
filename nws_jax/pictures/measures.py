"""A score with its 95 % interval and chance, and the scale that it is on."""

from typing import Callable, NamedTuple

import pandas as pd
from matplotlib import axis as mpl_axis

from nws_jax.pictures import theme


class Measure(NamedTuple):
  """A score, the bounds of its 95 % interval, and what guessing reaches."""
  value: float
  low: float
  high: float
  chance: float

  @property
  def gain(self) -> float:
    return self.value - self.chance

  @property
  def above(self) -> bool:
    return is_above(self.low, self.chance)


def is_above(low: float, chance: float) -> bool:
  """Whether a score is above chance: its whole 95 % interval must be."""
  return low > chance


class Scale(NamedTuple):
  """What scores of one kind are, and how they are written."""
  column: str  # in tables
  title: str
  unit: str  # of `in_cell`
  in_table: Callable[[float], str]
  in_cell: Callable[[float], str]  # of a heat map: short
  in_axis: Callable[[mpl_axis.Axis], None]


ACCURACY = Scale('accuracy', 'accuracy per network', 'accuracy in %',
                 theme.percent, lambda x: f'{100 * x:.0f}', theme.percent_axis)
R2 = Scale('r2', 'R²', 'R²', '{:.3f}'.format, '{:.2f}'.format,
           lambda axis: None)
SCALES = (ACCURACY, R2)


def find_scale(cells: pd.DataFrame) -> Scale:
  """The scale of a grid's cells: chance is 0 on that of R² alone."""
  return ACCURACY if cells.chance.max() > 0 else R2
