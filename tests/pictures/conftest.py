"""A made population: what its networks reach depends on their settings."""

import numpy as np
import pandas as pd
import pytest

from nws_jax import published, space


@pytest.fixture
def members():
  rng = np.random.default_rng(1)
  choices = {p.name: p.choices for p in published.ALL}
  choices.update(dataset=('mnist', 'digits'), batch_size=(64,))
  rows = []
  for i, row in enumerate(space.sample(published.ALL, 3, range(40), choices)):
    split, fold = space.side(3, i)
    rows.append({
        'id': i, 'setting': i, 'split': split, 'fold': fold, **row,
        'status': 'diverged' if i % 9 == 8 else 'finished',
        'architecture': published.architecture(row).name,
        'num_weights': 1000 + i,
        'test_accuracy': np.nan if i % 9 == 8 else rng.uniform(0.05, 0.95)})
  return pd.DataFrame(rows)


@pytest.fixture
def metrics(members):
  rng = np.random.default_rng(2)
  return pd.DataFrame([
      {'id': i, 'epoch': e, 'snapshot': e, 'test_accuracy': rng.uniform(0.1, 1)}
      for i, status in zip(members.id, members.status)
      for e in range(2 if status == 'diverged' else 4)])
