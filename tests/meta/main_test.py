import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from nws_jax.meta.classifiers import table
from nws_jax.store import sealed

# How ml_collections loads a config file is its own business.
pytestmark = pytest.mark.filterwarnings('ignore:.*load_module')


def test_a_result_is_written_and_found_again(call, tmp_path):
  code, out, err = call('--target=optimizer')
  assert code == 0 and 'per network' in out and 'models' in err
  folder, = (tmp_path / 'optimizer').iterdir()
  assert {p.name for p in folder.iterdir()} == {
      'result.json', 'predictions.csv', 'model'}
  record = sealed.read(folder / 'result.json')
  assert {'target', 'kind', 'classifier', 'classes', 'chance', 'per_network',
          'per_window', 'balanced_accuracy', 'confusion', 'controls',
          'networks', 'windows', 'zoo', 'config', 'seconds', 'versions',
          'epochs', 'vote_accuracy', 'controls_left_out', 'warnings',
          'calibration', 'answers'} == set(record)
  code, again, _ = call('--target=optimizer')
  assert code == 0 and 'exists; --force' in again
  assert again.split('\n', 2)[2] == out
  code, forced, _ = call('--target=optimizer', '--force')
  after = sealed.read(folder / 'result.json')
  record.pop('seconds'), after.pop('seconds')
  assert code == 0 and after == record  # the same seed, the same result


def test_a_ladder_is_one_table_of_results_that_are_kept(
    call, tmp_path, monkeypatch):
  monkeypatch.setattr(table, 'CLASSIFIERS', {
      name: table.CLASSIFIERS[name] for name in (
          'majority', 'logistic', 'cnn', 'equivariant')})
  code, out, err = call('--target=optimizer', '--ladder')
  assert code == 0 and 'rungs to run' in err
  path, = (tmp_path / 'optimizer').glob('*/ladder.csv')
  rows = pd.read_csv(path)
  assert list(rows['classifier']) == ['majority', 'logistic']
  assert rows['value'][1] > rows['value'][0]
  record = json.loads((path.parent / 'ladder.json').read_text())
  assert set(record['left_out']) == {'cnn', 'equivariant'}
  assert 'cnn is left out: too slow' in out
  assert '--classifier=cnn --config.steps=50' in out
  for row in rows.to_dict('records'):
    told = json.loads((
        tmp_path / 'optimizer' / row['digest'] / 'result.json').read_text())
    assert told['classifier'] == row['classifier']
    assert told['per_network']['accuracy'] == row['value']
    line, = (x.split() for x in out.splitlines()
             if x.startswith(row['classifier'] + ' '))
    assert line[1] == f'{row["value"]:.3f}'
  code, again, err = call('--target=optimizer', '--ladder')
  assert code == 0 and again == out and '0 of 2 rungs' in err
  code, _, err = call('--target=optimizer', '--ladder', '--classifier=fast')
  assert code == 2 and 'leave out' in err


def test_an_ablation_is_written(call, tmp_path):
  code, out, _ = call('--target=optimizer', '--ablate=layer,epoch')
  assert code == 0 and 'fc1' in out
  folder, = (tmp_path / 'optimizer').iterdir()
  assert {p.name for p in folder.iterdir()} == {
      'ablation.csv', 'ablation.json', 'ablation.png'}
  assert len(pd.read_csv(folder / 'ablation.csv')) == 9
  record = json.loads((folder / 'ablation.json').read_text())
  assert record['axes'] == ['layer', 'epoch']
  assert (folder / 'ablation.png').read_bytes().startswith(b'\x89PNG')


def test_an_explanation_is_added_to_a_result(call, tmp_path):
  assert call('--target=optimizer')[0] == 0
  folder, = (tmp_path / 'optimizer').iterdir()
  before = (folder / 'result.json').read_bytes()
  code, out, _ = call('--target=optimizer', '--explain')
  assert code == 0 and 'result.json exists' in out
  assert 'fc1' in out and 'map of 180 snapshots' in out
  assert (folder / 'result.json').read_bytes() == before
  record = json.loads((folder / 'explanation.json').read_text())
  rows = pd.read_csv(folder / 'attribution.csv').set_index(
      ['class', 'layer', 'tensor'])['value']
  about, layers = record['attribution'], ('conv1_1', 'fc1', 'output')
  total = rows['all', 'all', 'all']
  assert total == pytest.approx(about['after'] - about['before'], rel=0.02)
  assert total == pytest.approx(sum(rows['all', x, 'all'] for x in layers))
  assert total == pytest.approx(
      pd.read_csv(folder / 'attribution_position.csv')['value'].sum())
  assert rows['all', 'fc1', 'all'] > 0.8 * total  # where it is planted
  told = pd.read_csv(folder / 'predictions.csv').set_index('id')
  for name, of in record['prototypes']['typical'].items():
    mine = told[told['true'] == name]
    assert of == {'id': mine[f'p_{name}'].idxmax(),
                  'sure': mine[f'p_{name}'].max()}
  places = pd.read_csv(folder / 'map.csv')
  paths = pd.read_csv(folder / 'paths.csv')
  mine = places[places['id'].isin(told[told['true'] == 'adam'].index)
                & (places['epoch'] == 2)]
  at = paths[(paths['class'] == 'adam') & (paths['epoch'] == 2)].iloc[0]
  assert at['x'] == pytest.approx(mine['x'].mean())
  code, again, _ = call('--target=optimizer', '--explain')
  assert code == 0 and 'explanation.json exists' in again


def test_what_is_explained_without_gradients_or_by_snapshot(call, tmp_path):
  code, out, _ = call('--target=epoch', '--explain', '--classifier=majority')
  assert code == 0 and 'attribution is left out: majority' in out
  folder, = (tmp_path / 'epoch').iterdir()
  assert {p.name for p in folder.iterdir()} == {
      'result.json', 'predictions.csv', 'model', 'explanation.json',
      'prototypes.csv', 'map.csv'}
  assert set(pd.read_csv(folder / 'prototypes.csv')['class']) == {
      'lowest third', 'middle third', 'highest third'}


@pytest.mark.parametrize('arguments, words', [
    (('--target=optimizer', '--explain', '--ladder'), 'leave out --ladder'),
    (('--target=optimizer', '--explain', '--nosave'), '--nosave'),
    (('--target=optimizer', '--explain', '--exclude=bias'), '--exclude'),
    ((), '--target is missing'),
    (('--target=colour',), 'allowed: dataset'),
    (('--target=dataset',), 'What varies: learning_rate'),
    (('--target=optimizer', '--ablate=depth'), 'allowed: layer, tensor'),
    (('--target=optimizer', '--ablate='), 'allowed: layer, tensor'),
    (('--target=optimizer', '--ladder', '--ablate='), 'leave out'),
    (('--target=learning_rate', '--balance'), '--bins=3'),
    (('--target=fold',), 'allowed: dataset'),
    (('--target=optimizer', '--config.bootstrap=2147483647'), '100000'),
    (('--target=optimizer', '--config.members=1000001'), '1000'),
    (('--target=optimizer', '--classifier=tree'), 'auto, majority, logistic'),
    (('--target=optimizer', '--config.window=1000'), 'does not fit'),
    (('--target=optimizer', '--ablate=layer', '--window=100'),
     'no place holds a window of 100'),
    (('--target=optimizer', '--config.epochs=9'), 'epochs=9 is not possible'),
    (('--target=optimizer', '--config.min_accuracy=0.88'), 'settings have'),
    (('--target=optimizer', '--bins=3'), 'classes already'),
    (('--target=optimizer', '--exclude=colour'), 'kernel, bias'),
    (('--target=optimizer', '--hold_out=colour'), 'augmentation'),
    (('--target=optimizer', '--hold_out=augmentation'),
     '--hold_out=augmentation has no level'),
    (('--target=optimizer', '--config.controls=x'), 'epoch_0'),
    (('--target=same_setting',), 'replicates=2'),
    (('--target=optimizer', '--config.colour=1'), 'colour'),
    (('--target=optimizer', '--config=configs/meta.py:none'), 'published'),
])
def test_what_is_wrong_costs_one_message_and_code_2(
    call, tmp_path, arguments, words):
  code, out, err = call(*arguments)
  assert code == 2 and words in err and 'Traceback' not in err
  assert not out and not list(tmp_path.iterdir())


def test_help_is_quick_and_teaches():
  begin = sum(os.times()[2:4])
  out = subprocess.run([sys.executable, '-m', 'nws_jax.meta', '--help'],
                       capture_output=True, text=True, check=True).stdout
  assert sum(os.times()[2:4]) - begin < 2
  assert '--ablate=layer,epoch' in out and '--workdir' in out
