import importlib.util
import json
import os

import pytest

from nws_jax import errors, published
from nws_jax.zoo import recipe

CONFIG = os.path.join(os.path.dirname(__file__), '..', '..', 'configs',
                      'zoo.py')


def get_config(preset='default', **changes):
  spec = importlib.util.spec_from_file_location('zoo_config', CONFIG)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = module.get_config(preset)
  config.update(changes)
  return config


def test_smoke_has_five_networks_of_every_class_in_each_split():
  r = recipe.from_config(get_config('smoke'))
  rows = recipe.rows(r)
  for name in ('batch_size', 'optimizer'):
    for fold in range(5):
      for level in dict(r.choices)[name]:
        assert sum(row['fold'] == fold and row[name] == level
                   for row in rows) >= 5, (name, level, fold)


def test_a_row_does_not_depend_on_how_many_there_are():
  few = recipe.rows(recipe.from_config(get_config(networks=5)))
  many = recipe.rows(recipe.from_config(get_config(networks=50)))
  assert many[:5] == few and many[5] not in few


def test_replicates_share_their_setting_and_side():
  rows = recipe.rows(recipe.from_config(get_config(replicates=3)))
  names = ['setting', 'split', 'fold'] + [p.name for p in published.ALL]
  for first, other in zip(rows[::3], rows[2::3]):
    assert [first[n] for n in names] == [other[n] for n in names]
    assert (first['replicate'], other['replicate']) == (0, 2)


@pytest.mark.parametrize('changes, said', [
    ({'datasets': ('imagenet',)}, 'imagenet'),
    ({'learning_rate': (0.0,)}, 'learning_rate'),
    ({'learning_rate': (float('nan'),)}, 'learning_rate'),
    ({'networks': 0}, 'networks=0'),
    ({'epochs': -1}, 'epochs=-1'),
    ({'lr_decay': 0.0}, 'lr_decay'),
    ({'eval_bn': 'none'}, 'running, batch'),
    ({'precision': 'bf16'}, 'bfloat16'),
    ({'networks_per_program': '-3'}, 'auto'),
    ({'dataset_source': 'web'}, 'embedded, tfds'),
    ({'datasets': ()}, 'dataset is empty'),
    ({'datasets': ('mnist,mnist',)}, 'twice'),
    ({'datasets': ('mnist', 'cifar10', 'stl10')}, 'cifar10, stl10 cannot be had'
     '.*which has fashion_mnist, mnist, digits.*--config.datasets=mnist, or'),
    ({'dataset_source': 'tfds'}, 'digits cannot be had.*has mnist, cifar10, '
     'svhn.*--config.datasets=fashion_mnist,mnist, or'),
    ({'weight_decay': (-1.0,)}, 'weight_decay=-1.0'),
    ({'dropout': (0.5, 1.0)}, 'dropout=1.0.*below 1'),
    ({'dropout': (0.5, 0.1)}, 'low,high'),
    ({'batch_size': ('many',)}, "batch_size='many'.*whole numbers"),
    ({'keep': 'most'}, "keep='most'.*all, or a whole number from 2"),
    ({'keep': '1'}, "keep='1'.*from 2"),
    ({'keep': '2.5'}, "keep='2.5'"),
    ({'disk_gb': -1.0}, 'disk_gb=-1.0.*from 0'),
    ({'disk_gb': float('nan')}, 'disk_gb=nan'),
    ({'convolution': 'fft'}, "convolution='fft'.*auto, banded, toom_cook"),
])
def test_impossible_configs_are_named(changes, said):
  with pytest.raises(errors.Wrong, match=said):
    recipe.from_config(get_config(**changes))


ODD = (None, (), {}, 'abc', '', 1.5, -1, float('nan'), b'x', object(), (None,),
       ((1,),), ({},), 10**30, '1' * 5000, '\udcff', [{}])


@pytest.mark.parametrize('key', get_config())
def test_whatever_stands_in_a_key_is_taken_or_refused_in_words(key):
  for value in ODD:
    config = get_config()
    with config.ignore_type():
      config[key] = value
    try:
      recipe.from_config(config)
    except errors.Wrong:
      pass


def test_keys_that_are_missing_or_unknown_are_named():
  with pytest.raises(errors.Wrong, match='has network: .* configs/zoo.py'):
    recipe.from_config(get_config(network=1))
  config = get_config()
  del config['seed'], config['datasets']
  with pytest.raises(errors.Wrong, match='lacks seed, datasets: '):
    recipe.from_config(config)


@pytest.mark.parametrize('keep, kept', [('all', 0), ('2', 2), ('20', 20)])
def test_how_many_snapshots_are_kept_is_a_number(keep, kept):
  assert recipe.from_config(get_config(keep=keep)).keep == kept


@pytest.mark.parametrize('changes', [
    {'keep': '20'}, {'disk_gb': 9.0}, {'compile_ahead': False},
    {'merge': False}, {'networks_per_program': '7'}])
def test_how_a_population_is_run_changes_no_row(changes):
  assert recipe.rows(recipe.from_config(get_config(**changes))) == (
      recipe.rows(recipe.from_config(get_config())))


def test_unknown_preset_names_those_there_are():
  with pytest.raises(errors.Wrong, match='smoke'):
    get_config('smok')


def test_words_from_the_command_line():
  """ml_collections reads `--config.optimizer=adam,momentum` as one word."""
  r = recipe.from_config(get_config(optimizer=('adam,momentum',)))
  assert dict(r.choices)['optimizer'] == ('adam', 'momentum')


def test_a_recipe_is_read_back_from_its_record():
  for preset in ('default', 'smoke', 'fixed', 'main'):
    r = recipe.from_config(get_config(preset, replicates=2, disk_gb=1.5))
    record = json.loads(json.dumps(r.record()))
    assert recipe.from_record({**record, 'revision': 'x'}) == r


@pytest.mark.parametrize('change, said', [
    ({'seed': None}, 'seed'), ({'choices': {}}, 'dataset'),
    ({'choices': 3}, 'not subscriptable'),
    ({'optimizer': ['adam', 'sgd']}, 'sgd')])
def test_a_record_that_is_no_recipe_is_damaged(change, said):
  record = json.loads(json.dumps(recipe.from_config(get_config()).record()))
  if 'optimizer' in change:
    record['choices'] |= change
  else:
    record |= change
  if record['seed'] is None:
    del record['seed']
  with pytest.raises(errors.Damaged, match=f'config.json.*{said}'):
    recipe.from_record(record)
