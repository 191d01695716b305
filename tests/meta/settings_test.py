import runpy

import pytest

from nws_jax import errors, options
from nws_jax.meta import settings
from nws_jax.meta.classifiers import table
from nws_jax.pictures import ranking


def make(**changes):
  config = runpy.run_path(options.packaged('meta'))['get_config']()
  return settings.from_config({**config, **changes})


@pytest.mark.parametrize('key, value', [
    ('seed', 'abc'), ('seed', 1.5), ('seed', True), ('seed', None),
    ('epochs', 0), ('classifier', None), ('learning_rate', '1'),
    ('diverged', 'no'), ('balance', 1), ('exclude', ('mean',)),
    ('controls', [])])
def test_a_value_of_another_kind_is_refused(key, value):
  with pytest.raises(errors.Wrong, match=f'^{key}=.*allowed: '):
    make(**{key: value})


ODD = (None, (), {}, 'abc', '', 1.5, -1, float('nan'), b'x', object(), (None,),
       10**30, '1' * 5000, '\udcff')


@pytest.mark.parametrize('key', runpy.run_path(
    options.packaged('meta'))['get_config']())
def test_whatever_stands_in_a_key_is_taken_or_refused_in_words(key):
  for value in ODD:
    try:
      make(**{key: value})
    except errors.Wrong:
      pass


def test_keys_that_are_missing_or_unknown_are_named():
  with pytest.raises(errors.Wrong, match='has windos: .* configs/meta.py'):
    make(windos=1)
  config = dict(runpy.run_path(options.packaged('meta'))['get_config']())
  del config['seed']
  with pytest.raises(errors.Wrong, match='lacks seed: .* configs/meta.py'):
    settings.from_config(config)


def test_the_report_lists_classifiers_in_the_order_of_the_table():
  assert ranking.CLASSIFIERS == tuple(table.CLASSIFIERS)
