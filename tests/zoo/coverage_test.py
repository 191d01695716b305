"""Against pandas and scipy, which count and measure by routes of their own."""

import io
import itertools

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from scipy.stats import contingency

from nws_jax import published, space
from nws_jax.zoo import coverage

CHOICES = {p.name: p.words for p in published.ALL} | {
    'learning_rate': (0.001, 0.004), 'width_fc': (64,), 'dropout': (0.2, 0.7)}


def draw(seed, count, choices=CHOICES, sampling='independent'):
  rows = space.sample(published.ALL, seed, range(count), choices, sampling)
  for n, row in enumerate(rows):
    row['split'] = space.side(seed, n)[0]
    row |= {'id': n, 'setting': n,
            'architecture': published.architecture(row).name}
  return rows


def test_every_level_is_counted_in_every_split():
  rows = draw(3, 500)
  frame, table = pd.DataFrame(rows), pd.DataFrame(coverage.table(rows))
  assert list(table.columns) == list(coverage.COLUMNS)
  assert list(table.property.unique()) == [p.name for p in published.ALL]
  for name, part in table.groupby('property'):
    assert part.networks.sum() == 500
    assert (part.train + part.valid + part.test == part.networks).all()
    if name in ('learning_rate', 'dropout'):
      assert part.networks.tolist() == [125] * 4
      continue
    counts = pd.crosstab(frame[name].astype(str), frame.split)
    for row in part.itertuples():
      assert [row.train, row.valid, row.test] == counts.loc[
          row.level, ['train', 'valid', 'test']].tolist()
  assert table.level[table.property == 'dataset'].tolist() == list(space.SETS)
  assert table.level[table.property == 'batch_size'].tolist() == [
      '32', '64', '128', '256']


def test_quartiles_are_named_by_what_is_in_them():
  rows = draw(0, 8)
  values = sorted(row['dropout'] for row in rows)
  levels = [r['level'] for r in coverage.table(rows)
            if r['property'] == 'dropout']
  assert levels == [f'{a:.4g} to {b:.4g}'
                    for a, b in zip(values[::2], values[1::2])]


@hypothesis.given(st.integers(2, 4), st.integers(2, 5), st.integers(0, 10 ** 6))
def test_the_measure_is_chi_squared_by_its_definition(a, b, seed):
  rng = np.random.default_rng(seed)
  a_M = np.r_[np.arange(a), rng.integers(0, a, 60)]
  b_M = np.r_[np.arange(b), rng.integers(0, b, 60)]
  b_M = np.r_[b_M, a_M[:5] % b]
  a_M = np.r_[a_M, a_M[:5]][:len(b_M)]
  b_M = b_M[:len(a_M)]
  counts = pd.crosstab(a_M, b_M).to_numpy()
  expected = np.outer(counts.sum(1), counts.sum(0)) / len(a_M)
  chi2 = ((counts - expected) ** 2 / expected).sum()
  np.testing.assert_allclose(
      coverage.measure(a_M, b_M),
      np.sqrt(chi2 / len(a_M) / (min(a, b) - 1)), atol=1e-12)


@pytest.mark.parametrize('sampling', space.SAMPLINGS)
def test_the_worst_pair_is_found(sampling):
  rows = draw(2, 300, sampling=sampling)
  frame = pd.DataFrame(rows)[[p.name for p in published.ALL]]
  for name in ('learning_rate', 'dropout'):
    frame[name] = pd.qcut(frame[name], 4, labels=False)
  columns = [c for c in frame if frame[c].nunique() > 1]
  assert len(columns) == 12
  found = {pair: contingency.association(
      pd.crosstab(*(frame[c] for c in pair)), method='cramer')
           for pair in itertools.combinations(columns, 2)}
  first, second, most = coverage.find_confounded(rows)
  assert (first, second) == max(found, key=found.get)
  np.testing.assert_allclose(most, max(found.values()))


def test_a_property_that_tells_another_is_named():
  rows = draw(1, 200)
  for row in rows:
    row['batch_size'] = 32 if row['optimizer'] == 'adam' else 64
  first, second, most = coverage.find_confounded(rows)
  assert {first, second} == {'batch_size', 'optimizer'}
  assert most == pytest.approx(1)
  assert coverage.text(rows).endswith(
      'at most 1.000 (batch_size and optimizer)')


def test_the_text_is_short_and_says_what_varies():
  lines = coverage.text(draw(0, 1500)).splitlines()
  assert lines[0] == ('networks        1,500  settings: 1,500  '
                      'architectures: 81')
  assert max(map(len, lines)) < 80 and len(lines) < 30
  assert all(line.isprintable() and '\xa0' not in line for line in lines)
  said = ' '.join(' '.join(lines).split())
  for p in published.ALL:
    assert p.name in said
  assert 'fixed batch_norm True width_fc 64 weight_decay 0.0 Cramér' in said
  for name in space.ACTIVATIONS:
    assert f'{name}: ' in said


@pytest.mark.parametrize('count, choices', [
    (1, CHOICES), (2, CHOICES), (3, {n: c[:1] for n, c in CHOICES.items()}),
    (3, {n: c[:2 if n == 'dropout' else 1] for n, c in CHOICES.items()})])
def test_tiny_populations_are_described(count, choices):
  rows = draw(0, count, choices)
  assert coverage.text(rows).startswith(f'networks        {count}  ')
  if len(space.varying(published.ALL, rows)) < 2:
    assert coverage.text(rows).endswith('no pair')


def test_the_file_is_the_table():
  rows = draw(0, 50)
  frame = pd.read_csv(io.StringIO(coverage.to_csv(rows)), dtype={'level': str})
  pd.testing.assert_frame_equal(
      frame, pd.DataFrame(coverage.table(rows)), check_dtype=False)
