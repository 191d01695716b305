"""Where windows lie: in a region of every network's vector."""

from typing import Any, NamedTuple

import numpy as np

from nws_jax.meta.data import layouts, windows

STRETCHES = 16  # parts of a window whose layout must not be known


class Region(NamedTuple):
  """Which values of each network windows may hold: low to high - 1."""
  low_M: np.ndarray
  high_M: np.ndarray


class WindowSpec(NamedTuple):
  """Which windows of a region are read."""
  length: int  # of a window
  even: int  # evenly spaced windows that decide together, at most
  drawn: int  # windows of a snapshot that descriptions are trained on, at most
  layout: bool  # whether a classifier may know the tensors
  tensors: layouts.Layouts = ()


class Frame(NamedTuple):
  """The parts that a description has a place for; see `find_frame`."""
  number_P: np.ndarray  # int32, the number of each part that occurs
  parts: int  # how many occur
  longest: int  # values of the longest region


class Place(NamedTuple):
  """Windows of every network, in a region of its vector."""
  source: windows.Source
  region: Region
  spec: WindowSpec
  pairs_Mx2: np.ndarray | None = None  # rows of `source` that are compared
  seed: int = 0  # of the windows drawn for training
  frame: Frame | None = None  # of the networks that models were trained on

  @property
  def num_even(self) -> int:
    """Windows of a snapshot that decide together."""
    return self.count_windows(self.spec.even)

  def count_windows(self, most: int) -> int:
    """`most`, or as many different windows as there are."""
    return min(most, self.get_frame().longest - self.spec.length + 1)

  def get_frame(self) -> Frame:
    """The given `Frame`, or the one of these networks themselves."""
    if self.frame is not None:
      return self.frame
    region = self.region
    return find_frame(np.asarray(self.source.parts_AxP), set(zip(
        region.low_M.tolist(), region.high_M.tolist(),
        np.asarray(self.source.layout_M).tolist())))


class Numbers(NamedTuple):
  """A few numbers of each network instead of windows."""
  numbers_MxF: np.ndarray

  @property
  def num_even(self) -> int:
    return 1


AnyPlace = Place | Numbers


def find_frame(parts_AxP: np.ndarray, bounds: Any) -> Frame:
  """The `Frame` of regions; parts that lie in none of them have no number.

  Args:
    parts_AxP: the tensor of each value, by layout.
    bounds: (low, high, layout) of each different region.
  """
  found: set[int] = set()
  for low, high, a in bounds:
    found.update(np.unique(parts_AxP[a, low:high]).tolist())
  number_P = np.zeros(parts_AxP.max() + 1, np.int32)
  number_P[sorted(found)] = np.arange(len(found))
  return Frame(number_P, len(found),
               int(max(high - low for low, high, _ in bounds)))
