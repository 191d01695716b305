import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nws_jax import published, space
from nws_jax.zoo import ledger, plan, slots, train

ARCH = published.Architecture(1, 3, 1, 1, 8)
EPOCHS = 6


@pytest.fixture(scope='module')
def rows():
  choices = {p.name: p.choices[:1] for p in published.ALL}
  return [{'id': id, 'architecture': ARCH.name, **row, **ARCH.__dict__}
          for id, row in enumerate(space.sample(
              published.ALL, 3, range(12), choices))]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.permutations(range(12)),
       st.lists(st.tuples(st.integers(0, EPOCHS), st.sampled_from(
           ('stopped', 'diverged'))), min_size=12, max_size=12))
def test_every_network_begins_once_in_the_order_of_its_unit(
    rows, tmp_path_factory, width, ids, ends):
  """ends[id]: after which epoch it ends, and how."""
  unit = plan.Unit('a-000', (ARCH,), 64, width, tuple(ids))
  book = ledger.Ledger(str(tmp_path_factory.getbasetemp() / 'none'), unit, rows,
                       EPOCHS, 0)
  turned, begun, rounds = slots.begin(width, unit.ids), [], 0
  epoch_M = np.full(width, -1)
  while (turned.ids_M >= 0).any():
    begun += turned.ids_M[turned.fresh_M].tolist()
    epoch_M = np.where(turned.fresh_M, 0, epoch_M + 1)
    last_M, how_M = zip(*(ends[id] for id in turned.ids_M))
    over_M = (epoch_M >= last_M) & (epoch_M < EPOCHS)
    state = train.State(
        None, None, None, jnp.asarray(epoch_M), *(
            jnp.where(over_M & (np.array(how_M) == how), epoch_M, -1)
            for how in ('diverged', 'stopped')), None)
    turned = book.take(rounds, turned.ids_M, state, None)
    rounds += 1
  assert begun == list(ids)
  needed = sum(end + 1 for end, _ in ends)
  assert needed / width <= rounds <= needed
