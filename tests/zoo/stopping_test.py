"""Early stopping against the published counters, written as a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nws_jax.zoo import stopping


def published(accuracies, patience):
  """Recipe, section 10: the evaluation (from 1) that stops, or None."""
  drops = flat = below = 0
  smooth = accuracies[0]
  for t, v in enumerate(accuracies[1:], 2):
    before = accuracies[t - 2]
    smooth = np.float32(smooth + v) / np.float32(2)
    if v < before:
      drops += 1
    elif v > before:
      drops = 0
    flat = flat + 1 if v == before else 0
    below += v < smooth
    if t >= 20 and (drops >= patience or flat >= 30 or below >= 30):
      return t
  return None


@jax.jit
def ours(accuracies, patience):
  def step(watch, v):
    return stopping.update(watch, v, patience)
  return jax.lax.scan(step, stopping.init(), accuracies)[1]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=70, max_size=70),
       st.integers(1, 9))
def test_stops_where_the_published_rules_stop(levels, patience):
  accuracies = np.array(levels, np.float32) / 8
  stops = np.flatnonzero(ours(jnp.asarray(accuracies), patience))
  want = published(accuracies, patience)
  assert (int(stops[0]) + 1 if len(stops) else None) == want


def test_each_rule_by_hand():
  falling = np.linspace(1, 0, 70, dtype=np.float32)
  level = np.full(70, 0.5, np.float32)
  rising = falling[::-1].copy()
  first = [np.flatnonzero(ours(jnp.asarray(x), 5)) for x in (
      falling, level, rising)]
  assert first[0][0] == 19  # five drops at once, but 20 evaluations at least
  assert first[1][0] == 30  # 30 evaluations without a change, from t = 2 on
  assert not len(first[2])
  assert not np.asarray(ours(jnp.asarray(falling), 0)).any()
