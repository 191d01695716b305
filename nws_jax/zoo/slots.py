"""Which network is in which of the M slots of a program, in each round.

When a network is finished, the next network of its unit takes its slot. So a
unit may have more networks than its program has slots, and no network waits for
the slowest. A slot with the id -1 is empty.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Slots(NamedTuple):
  """The networks in the slots during a round."""
  ids_M: np.ndarray  # -1: empty
  fresh_M: np.ndarray  # bool: whether the network begins in this round


def begin(width: int, queue: Iterable[int]) -> Slots:
  """Fills the slots of a unit's first round.

  Args:
    width: M, the number of slots.
    queue: the unit's networks, in their order.
  """
  nobody = np.full(width, -1)
  return turn(nobody, np.ones(width, bool), queue)


def turn(ids_M: np.ndarray, finished_M: np.ndarray, queue: Iterable[int]
         ) -> Slots:
  """Fills the slots of the next round.

  Args:
    ids_M: the networks in the slots during the last round.
    finished_M: bool, whether the network in each slot is finished; ignored
      for empty slots.
    queue: networks that have not begun yet, in their order.
  """
  free = np.flatnonzero(finished_M | (ids_M < 0))
  ids_M, fresh_M = np.array(ids_M), np.zeros(len(ids_M), bool)
  ids_M[free] = -1
  for slot, id in zip(free, queue):
    ids_M[slot], fresh_M[slot] = id, True
  return Slots(ids_M, fresh_M)
