"""Which network is in which slot of a program, round after round.

A program has M slots, -1 is an empty one. When a network is finished, the next
one of its unit takes its slot; so that a unit may hold more networks than its
program has slots, and none of them waits for the slowest.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Slots(NamedTuple):
  ids_M: np.ndarray
  fresh_M: np.ndarray  # begins in this round


def begin(width: int, queue: Sequence[int]) -> Slots:
  """The slots of a unit's first round, whose networks are `queue`."""
  nobody = np.full(width, -1)
  return turn(nobody, np.ones(width, bool), queue)


def turn(ids_M: np.ndarray, finished_M: np.ndarray, queue: Sequence[int]
         ) -> Slots:
  """The slots of the next round.

  Args:
    ids_M: those of the last one.
    finished_M: whether the network in a slot is finished; of no account where
      the slot is empty.
    queue: networks that have not begun, in their order.
  """
  free = np.flatnonzero(finished_M | (ids_M < 0))
  ids_M, fresh_M = np.array(ids_M), np.zeros(len(ids_M), bool)
  ids_M[free] = -1
  for slot, id in zip(free, queue):
    ids_M[slot], fresh_M[slot] = id, True
  return Slots(ids_M, fresh_M)
