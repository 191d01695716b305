import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nws_jax.meta.classifiers import table, transformer
from nws_jax.meta.data import windows

tokenise = jax.jit(transformer.tokenise, static_argnums=2)


@settings(deadline=None, max_examples=6)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=4))
def test_tokens_hold_every_value_once_and_cross_no_border(sizes):
  part_L = np.repeat(np.arange(len(sizes)), sizes)
  window_L = np.arange(1, len(part_L) + 1, dtype=np.float32)
  most = transformer.count(len(part_L), len(sizes))
  got = tokenise(window_L, part_L, most)
  values, mask = np.asarray(got.values_TxC), np.asarray(got.mask_TxC)
  np.testing.assert_array_equal(values[mask], window_L)
  assert not values[~mask].any()
  chunks = [window_L[a:a + transformer.CHUNK][:size - a + first] for first, size
            in zip(np.cumsum([0] + sizes[:-1]), sizes)
            for a in range(first, first + size, transformer.CHUNK)]
  assert mask.any(1).sum() == len(chunks) <= most
  for n, chunk in enumerate(chunks):
    own = values[n][mask[n]]
    assert len(set(part_L[own.astype(int) - 1])) == 1
    assert got.part_T[n] == part_L[int(own[0]) - 1]
    assert own[0] == chunk[0]


def _tokens(windows_BxL, tokens):
  part_L = jnp.arange(windows_BxL.shape[1]) // 300
  return jax.vmap(lambda w: tokenise(w, part_L, tokens))(windows_BxL)


def test_padding_and_neighbours_change_nothing():
  windows_BxL = jax.random.normal(jax.random.key(0), (4, 700))
  tokens = transformer.count(700, 3)
  pair = table.CLASSIFIERS['transformer'].make_model(
      2, transformer.Shape(700, 1, 3, ()))
  own = _tokens(windows_BxL, tokens)
  variables = jax.jit(pair.init)(jax.random.key(1), own)
  apply = jax.jit(lambda x: pair.apply(variables, x, None)[0])
  said = apply(own)
  np.testing.assert_allclose(
      apply(_tokens(windows_BxL, tokens + 5)), said, atol=1e-5)
  np.testing.assert_allclose(
      apply(jax.tree.map(lambda x: x[1:2], own))[0], said[1], atol=1e-5)
  assert np.ptp(np.asarray(said), axis=0).min() > 1e-3
  # It knows where a chunk is, and of which tensor.
  for name in ('part_T', 'place_T'):
    moved = own._replace(**{name: 1 - getattr(own, name) % 2})
    assert np.abs(apply(moved) - said).max() > 1e-4


def test_the_view_cuts_the_windows_it_names():
  weights = jnp.arange(2 * 900.).reshape(2, 1, 900)
  source = windows.Source(
      weights, jnp.asarray(np.repeat([0, 1, 2], 300))[None],
      jnp.zeros(2, jnp.int32))
  shared = source, jnp.array([0, 0]), jnp.array([900, 900])
  view = transformer.make_view(transformer.Shape(600, 4, 3, (0, 1, 2)))
  got = jax.jit(view.grid)(shared, 1, 0)
  for n, start in enumerate((0, 100, 200, 300)):
    mask = np.asarray(got.mask_TxC[n])
    np.testing.assert_array_equal(
        np.asarray(got.values_TxC[n])[mask],
        900 + np.arange(start, start + 600))
    np.testing.assert_allclose(got.place_T[n][0], start / 900, atol=1e-6)
    parts = np.asarray(got.part_T[n])[mask.any(1)]
    assert set(parts) == set(range(start // 300, (start + 599) // 300 + 1))
  drawn = jax.jit(view.pick)(shared, jax.random.key(0), jnp.zeros(50, int),
                             jnp.zeros(50, int))
  assert len(set(np.asarray(drawn.place_T[:, 0]).tolist())) > 20
