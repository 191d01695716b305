import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nws_jax.meta.data import features


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 3), min_size=30, max_size=30),
       st.integers(0, 99))
def test_parts_are_described_as_numpy_would(parts, seed):
  part_L = np.sort(parts)
  window_L = np.random.default_rng(seed).normal(size=30).astype(np.float32)
  ordered_L = features.sort(jnp.asarray(window_L), jnp.asarray(part_L))
  np.testing.assert_array_equal(
      features.sort_on_host(window_L, part_L), ordered_L)
  got = np.asarray(features.describe(
      jnp.asarray(window_L), jnp.asarray(part_L), 4)).reshape(4, -1)
  for part in range(4):
    x = window_L[part_L == part]
    if not len(x):
      assert np.isnan(got[part]).all()
      continue
    np.testing.assert_allclose(got[part, 0], x.mean(), atol=1e-5)
    if len(x) > 1:
      np.testing.assert_allclose(got[part, 1], np.log(x.std()), atol=1e-3)
      z = (x - x.mean()) / x.std()
      np.testing.assert_allclose(got[part, 3], np.log((z**4).mean()), atol=1e-3)
      np.testing.assert_allclose(got[part, 5], (z**3).mean(), atol=1e-3)
    np.testing.assert_allclose(
        got[part, 2], np.log(np.abs(x).mean()), atol=1e-4)
    np.testing.assert_allclose(
        got[part, 4], np.log(np.abs(x)).mean(), atol=1e-4)
    np.testing.assert_allclose(
        got[part, 6:], np.quantile(x, (0, .1, .25, .5, .75, .9, 1)), atol=1e-5)
