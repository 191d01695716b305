import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nws_jax import errors
from nws_jax.meta.classifiers import cnn
from nws_jax.meta.data import descriptions, splits, windows


def _source(weights_MxExP, parts_P=None):
  parts = np.zeros(weights_MxExP.shape[-1]) if parts_P is None else parts_P
  return windows.Source(
      jnp.asarray(weights_MxExP), jnp.asarray(parts, jnp.int32)[None],
      jnp.zeros(len(weights_MxExP), jnp.int32))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 3), st.integers(0, 2), st.integers(0, 20))
def test_a_window_is_the_slice_it_names(m, e, start):
  weights = np.arange(4 * 3 * 27, dtype=np.float32).reshape(4, 3, 27)
  got = jax.jit(windows.window, static_argnums=4)(
      jnp.asarray(weights), m, e, start, 7)
  np.testing.assert_array_equal(got, weights[m, e, start:start + 7])


def test_starts_are_uniform_with_both_ends():
  low = jnp.array([0, 10] * 3000, jnp.int32)
  high = jnp.array([9, 25] * 3000, jnp.int32)  # lengths 9 and 15 of vectors
  starts = np.asarray(windows.draw_starts(jax.random.key(0), low, high, 6))
  for offset, places in ((0, 4), (10, 10)):
    counts = np.bincount(starts[bool(offset)::2] - offset, minlength=places)
    assert len(counts) == places  # 0 ... P - L, both included
    expected = 3000 / places
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_spaced_starts_have_both_ends():
  np.testing.assert_array_equal(
      windows.space_starts(3, 103, 20, 5), [3, 23, 43, 63, 83])
  np.testing.assert_array_equal(windows.space_starts(3, 23, 20, 1), [3])


def test_each_use_cuts_another_window_within_its_own_vector():
  # Network m's values are 1000 m + position; the shorter one is padded by -1.
  weights = 1000 * np.arange(2.)[:, None] + np.arange(50)
  weights[0, 20:] = -1
  shared = (_source(weights[:, None].astype(np.float32)),
            jnp.array([0, 0]), jnp.array([20, 50]))
  view = cnn.make_view(cnn.Shape(8, 4))
  m_B = jnp.array([0, 1] * 200)
  got = np.asarray(jax.jit(view.pick)(
      shared, jax.random.key(0), m_B, jnp.zeros_like(m_B)))
  np.testing.assert_array_equal(np.diff(got), 1)  # consecutive
  np.testing.assert_array_equal(got[:, 0] // 1000, m_B)
  assert set(got[::2, 0]) == set(range(13))
  assert set(got[1::2, 0] - 1000) == set(range(43))
  np.testing.assert_array_equal(
      view.grid(shared, 1, 0)[:, 0], [1000, 1014, 1028, 1042])


def test_no_network_is_on_two_sides(plant):
  members = plant(networks=47).members
  members['setting'] = members['setting'] // 2
  members['fold'] = members['setting'] % 5
  sides = splits.split(members)
  tested = []
  for f in range(5):
    train, valid, test = (
        set(rows[f, :n[f]]) for rows, n in (sides[:2], sides[2:4], sides[4:]))
    assert not (train & valid or train & test or valid & test)
    assert train | valid | test == set(range(47))
    settings_of = [set(members['setting'].iloc[list(side)])
                   for side in (train, valid, test)]
    assert not set.intersection(*settings_of[:2])
    assert not settings_of[2] & (settings_of[0] | settings_of[1])
    tested += test
  assert sorted(tested) == list(range(47))


def test_a_large_zoo_uses_its_split(plant):
  members = plant(networks=1000).members
  sides = splits.split(members)
  assert sides.trains_F.tolist() == [(members['split'] == 'train').sum()]
  np.testing.assert_array_equal(
      sides.test_FxN[0], np.flatnonzero(members['split'] == 'test'))


def test_an_empty_side_is_refused(plant):
  with pytest.raises(errors.Wrong, match='too few to split'):
    splits.split(plant(networks=3).members)


@pytest.mark.parametrize('chunk', [1, 300, 1 << 22])
@pytest.mark.parametrize('number_P', [np.arange(3), np.zeros(0, int)])
def test_sorted_by_the_host_or_on_the_device(monkeypatch, chunk, number_P):
  rng = np.random.default_rng(0)
  weights = rng.normal(size=(5, 2, 40)).astype(np.float32)
  source = _source(weights, np.repeat([0, 1, 2], [15, 5, 20]))
  starts = rng.integers(0, 30, (5, 2, 4))
  found = []
  for backend in ('gpu', 'cpu'):
    monkeypatch.setattr(descriptions, '_CHUNK', chunk)
    monkeypatch.setattr(jax, 'default_backend', lambda b=backend: b)
    found.append(descriptions.Describer(
        source, number_P, 10, 3, descriptions.FEATURES)(starts))
  np.testing.assert_allclose(*found, rtol=1e-6)
  assert found[0].shape[:3] == (5, 2, 4)


def test_descriptions_are_of_the_windows_they_name():
  rng = np.random.default_rng(0)
  weights = rng.normal(size=(3, 2, 40)).astype(np.float32)
  parts = np.repeat([0, 1, 2], [15, 5, 20])
  starts = jnp.asarray(rng.integers(0, 30, (3, 2, 4)))
  got = descriptions.Describer(
      _source(weights, parts), np.arange(3), 10, 3,
      descriptions.FEATURES)(starts)
  means = np.asarray(got).reshape(3, 2, 4, 3, -1)[..., 0]
  for m, e, s in np.ndindex(3, 2, 4):
    at = np.arange(starts[m, e, s], starts[m, e, s] + 10)
    for part in range(3):
      values = weights[m, e, at[parts[at] == part]]
      want = values.mean() if len(values) else np.nan
      np.testing.assert_allclose(means[m, e, s, part], want, atol=1e-6)
