import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.zoo import summary


def _members(*statuses):
  return pd.DataFrame({
      'dataset': 'digits', 'initialization': 'normal', 'status': statuses,
      'test_accuracy': [0.1, 0.5, 0.9][:len(statuses)]})


def test_a_line_a_set_counts_who_diverged_and_who_is_at_chance():
  lines = summary.text(_members('diverged', 'finished', 'stopped')).split('\n')
  assert lines[1].split() == [
      'digits', '3', '1', '33%', '0.500', '0.300', '-', '0.700']


def test_a_zoo_of_none_that_stayed_finite_is_a_failure():
  summary.check(_members('diverged', 'finished'))
  with pytest.raises(errors.Damaged, match='all 2 networks .*learning_rate'):
    summary.check(_members('diverged', 'diverged'))
