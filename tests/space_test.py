import collections
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nws_jax import errors, space

PUBLISHED = {p.name: p.choices for p in space.PROPERTIES}
SEEDS, IDS = st.integers(0, 2 ** 31 - 1), st.integers(0, 10 ** 6)
SAMPLINGS = st.sampled_from(space.SAMPLINGS)


@given(SEEDS, IDS, SAMPLINGS)
def test_a_draw_lies_in_its_choices(seed, setting, sampling):
  row = space.sample(seed, setting, PUBLISHED, sampling)
  assert list(row) == [p.name for p in space.PROPERTIES]
  assert 0.0002 <= row['learning_rate'] <= 0.005
  for p in space.PROPERTIES:
    assert p.continuous or row[p.name] in p.choices


@given(SEEDS, IDS, st.sampled_from(space.PROPERTIES), SAMPLINGS)
def test_restricting_one_property_changes_no_other(seed, setting, p, sampling):
  value = PUBLISHED[p.name][-1]
  free = space.sample(seed, setting, PUBLISHED, sampling)
  bound = space.sample(
      seed, setting, {**PUBLISHED, p.name: (value,)}, sampling)
  assert bound[p.name] == value
  assert {**free, p.name: value} == bound


def test_levels_are_equally_likely():
  rows = [space.sample(1, n, PUBLISHED) for n in range(3000)]
  for p in space.PROPERTIES:
    if not p.continuous:
      counts = collections.Counter(r[p.name] for r in rows)
      expected = 3000 / len(p.choices)
      for c in p.choices:  # five standard deviations
        assert abs(counts[c] - expected) < 5 * expected ** 0.5, p.name


@given(SEEDS, st.integers(0, 1000))
def test_balanced_levels_are_equally_often(seed, block):
  rows = [space.sample(seed, 12 * block + n, PUBLISHED, 'balanced')
          for n in range(12)]
  for p in space.PROPERTIES:
    if not p.continuous and 12 % len(p.choices) == 0:
      counts = collections.Counter(r[p.name] for r in rows)
      assert set(counts.values()) == {12 // len(p.choices)}, p.name
  low, high = PUBLISHED['learning_rate']
  bins = collections.Counter(
      int((space.sample(seed, 16 * block + n, PUBLISHED, 'balanced')
           ['learning_rate'] - low) / (high - low) * 16) for n in range(16))
  assert bins == {n: 1 for n in range(16)}


@pytest.mark.parametrize('sampling', space.SAMPLINGS)
def test_no_two_properties_are_confounded(sampling):
  """Cramer's V of every pair, as small as chance makes it."""
  n = 1200
  rows = pd.DataFrame(
      [space.sample(5, i, PUBLISHED, sampling) for i in range(n)])
  rows['learning_rate'] = pd.qcut(rows['learning_rate'], 4, labels=False)
  rows['fold'] = [space.side(5, i)[1] for i in range(n)]
  columns = [c for c in rows if rows[c].nunique() > 1]
  assert len(columns) == 13
  for a, b in itertools.combinations(columns, 2):
    table = pd.crosstab(rows[a], rows[b]).to_numpy()
    chi2 = stats.chi2_contingency(table, correction=False).statistic
    degrees = (table.shape[0] - 1) * (table.shape[1] - 1)
    # One in a million by chance for each of the 78 pairs.
    assert chi2 < stats.chi2.ppf(1 - 1e-6, degrees), (a, b)
    v = np.sqrt(chi2 / n / (min(table.shape) - 1))
    assert v < 0.2, (a, b)


@given(SEEDS, st.integers(0, 1000))
def test_sides_are_even_in_every_block(seed, block):
  sides = [space.side(seed, 10 * block + n) for n in range(10)]
  assert collections.Counter(s for s, _ in sides) == {
      'train': 7, 'valid': 1, 'test': 2}
  assert set(collections.Counter(f for _, f in sides).values()) == {2}


@pytest.mark.parametrize('name, values, said', [
    ('dataset', ('imagenet',), 'fashion_mnist'),
    ('learning_rate', (0.0,), 'above 0'),
    ('learning_rate', (float('nan'),), 'above 0'),
    ('learning_rate', (0.01, 0.001), 'low,high'),
    ('optimizer', ('sgd',), 'momentum'),
    ('batch_size', (0,), 'whole numbers from 2'),
    ('batch_size', (32.5,), 'whole numbers'),
    ('batch_size', (32, 32), 'twice'),
    ('filter_size', (4,), 'odd'),
    ('depth_conv', (6,), 'from 3 to 5'),
    ('augmentation', ('on',), 'True, False'),
    ('width_fc', (), 'empty'),
])
def test_impossible_values_are_named(name, values, said):
  with pytest.raises(errors.Wrong, match=name) as e:
    space.check(name, values)
  assert said in str(e.value)


def test_published_choices_are_possible():
  for name, values in PUBLISHED.items():
    space.check(name, values)
  assert len({space.architecture(space.sample(0, n, PUBLISHED)).name
              for n in range(4000)}) == 243
