import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nws_jax.zoo import slots


@given(st.integers(1, 7), st.lists(st.integers(1, 6), min_size=1, max_size=30))
def test_every_network_has_a_slot_for_all_its_rounds(width, lives):
  """lives[id] rounds are what a network needs."""
  queue = list(range(len(lives)))
  turned, had = slots.begin(width, queue), np.zeros(len(lives), int)
  rounds, start = 0, []
  while (turned.ids_M >= 0).any():
    ids = turned.ids_M[turned.ids_M >= 0]
    assert len(set(ids)) == len(ids)
    begun = turned.ids_M[turned.fresh_M].tolist()
    assert (had[begun] == 0).all()
    start += begun
    had[ids] += 1
    busy = len(ids)
    # No slot is empty while a network waits.
    assert busy == width or len(start) == len(lives)
    finished = [i < 0 or had[i] == lives[i] for i in turned.ids_M]
    turned = slots.turn(turned.ids_M, np.array(finished),
                        [i for i in queue if i not in start])
    rounds += 1
  assert had.tolist() == lives and start == queue
  assert rounds <= sum(lives)


def test_an_unfinished_network_keeps_its_slot():
  turned = slots.turn(np.array([4, 2, -1, 7]),
                      np.array([False, True, False, False]), [8, 9, 10])
  assert turned.ids_M.tolist() == [4, 8, 9, 7]
  assert turned.fresh_M.tolist() == [False, True, True, False]
