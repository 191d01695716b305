import copy
import json
import os

import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.pictures import measures, ranking, results, tables


def _result(**changes):
  return {
      'target': 'optimizer', 'kind': 'classification', 'classifier': 'cnn',
      'classes': ['adam', 'rmsprop'], 'chance': 0.5,
      'per_network': {'accuracy': 0.7, 'interval': [0.6, 0.8], 'networks': 40},
      'per_window': {'accuracy': 0.6, 'interval': [0.5, 0.7], 'networks': 40},
      'confusion': [[15, 5], [7, 13]],
      'controls': {'shuffled_labels': {
          'accuracy': 0.52, 'interval': [0.4, 0.63], 'networks': 40}},
      'zoo': {'path': 'runs/zoo', 'digest': 'd'}, 'config': {}, **changes}


def _write(folder, name, data, age=0):
  path = folder / data['target'] / name / 'result.json'
  path.parent.mkdir(parents=True)
  path.write_text(json.dumps(data))
  os.utime(path, (1e9 - age, 1e9 - age))
  return path


def test_no_folder_is_no_result(tmp_path):
  assert results.read_results(tmp_path / 'none') == []
  assert results.read_ablations(tmp_path / 'none') == []


_USUAL = {'epochs': 'last', 'steps': 600, 'controls': 'default'}


def _first(folder, readings):
  """The folder of what counts, of {name: (age, changes)}."""
  for name, (age, changed) in readings.items():
    digest = changed.pop('digest', 'd')
    data = {k: changed.pop(k) for k in ('answers', 'classifier', 'networks')
            if k in changed}
    config = {**_USUAL, **changed}
    _write(folder, name, _result(
        config=config, zoo={'digest': digest}, **data), age)
  found = ranking.order(results.read_results(folder, _USUAL), 'd')
  return found[0].folder.name


@pytest.mark.parametrize('others', [
    [{'epochs': '0'}], [{'steps': 10}], [{'digest': 'other', 'answers': 9}],
    [{'classifier': 'svm'}], [{'epochs': '0', 'answers': 9}],
    [{'networks': {'read': 10}}], [{'answers': 1}],
    [{'epochs': '0', 'steps': 10}, {'steps': 10, 'classifier': 'fast'}]])
@pytest.mark.parametrize('age', (-100, 100))
def test_the_default_reading_counts_whatever_was_made_when(
    tmp_path, others, age):
  readings = {f'{"az"[age > 0]}{n}': (age, dict(o))
              for n, o in enumerate(others)}
  assert _first(tmp_path, {**readings, 'm': (0, {
      'answers': 2, 'networks': {'read': 40}})}) == 'm'


@pytest.mark.parametrize('counts, other', [
    ({'epochs': '0'}, {'epochs': '0', 'steps': 10}),  # nearer
    ({'steps': 10}, {'steps': 10, 'classifier': 'svm'}),
    ({'steps': 10, 'answers': 3}, {'epochs': '0', 'answers': 2}),
    ({'steps': 10, 'networks': {'read': 30}},
     {'epochs': '0', 'networks': {'read': 20}}),
    ({'epochs': '0'}, {'steps': 10}),  # by the words
    ({'controls': 'none'}, {'steps': 10}),
    ({'cnn_steps': 0}, {'balance': True})])  # a setting of older versions
@pytest.mark.parametrize('age', (-100, 100))
def test_without_a_default_reading_the_nearest_counts(
    tmp_path, counts, other, age):
  assert _first(tmp_path, {
      'ba'[age > 0]: (0, dict(counts)), 'm': (age, dict(other))}) != 'm'


def test_the_others_are_told_with_what_sets_them_apart(tmp_path):
  _write(tmp_path, 'a', _result(config={**_USUAL, 'controls': 'all'}))
  _write(tmp_path, 'b', _result(
      config={**_USUAL, 'epochs': '0', 'members': 7}, zoo={'digest': 'e'}))
  first, other = ranking.order(results.read_results(tmp_path, _USUAL), 'd')
  assert first.settings == 'default'  # controls change no number
  row, = tables.tabulate_others([other], 'd').to_dict('records')
  assert row['settings'] == 'epochs=0, members=7' and row['folder'] == 'b'
  assert (row['value'], row['chance']) == (0.7, 0.5) and 'another' in row['zoo']
  assert 'settings' not in tables.tabulate([first], measures.ACCURACY)


def test_tables_hold_what_the_files_hold(tmp_path):
  regression = {
      'target': 'learning_rate', 'kind': 'regression', 'classifier': 'cnn',
      'r2': {'value': 0.3, 'interval': [-0.1, 0.5]},
      'kendall_tau': {'value': 0.4, 'interval': [0.3, 0.5]},
      'zoo': {'digest': 'd'}}
  _write(tmp_path, 'a', _result())
  _write(tmp_path, 'b', regression)
  found = ranking.sort_by_gain(results.read_results(tmp_path))
  assert [r.target for r in found] == ['learning_rate', 'optimizer']
  row, = tables.tabulate(found, measures.ACCURACY).to_dict('records')
  assert row == {
      'property': 'optimizer', 'classifier': 'cnn', 'accuracy': 0.7,
      'low': 0.6, 'high': 0.8, 'chance': 0.5, 'above_chance': True,
      'networks': 40, 'per_window': 0.6}
  row, = tables.tabulate(found, measures.R2).to_dict('records')
  assert row == {
      'property': 'learning_rate', 'classifier': 'cnn', 'r2': 0.3, 'low': -0.1,
      'high': 0.5, 'chance': 0, 'above_chance': False, 'kendall_tau': 0.4}
  row, = tables.tabulate_controls(found, measures.ACCURACY).to_dict('records')
  assert (row['control'], row['value'], row['low'], row['high']) == (
      'shuffled_labels', 0.52, 0.4, 0.63)
  table = tables.tabulate_confusions(found)
  assert table.networks.tolist() == [15, 5, 7, 13]
  assert table.predicted.tolist() == ['adam', 'rmsprop'] * 2


@pytest.mark.parametrize('text, said', [
    ('{', 'line 1'),
    ('[]', 'object'),
    (json.dumps(_result(classifier='\ud800')), 'surrogates'),
    (json.dumps({'kind': 'classification'}), 'per_network'),
    (json.dumps(_result(confusion=[[1]])), 'confusion'),
    (json.dumps(_result(per_network=3)), 'result.json'),
    (json.dumps(_result(zoo={})), 'digest'),
    (json.dumps(_result(controls=[1])), 'list'),
    (json.dumps(_result(per_window='x')), 'float'),
    (json.dumps(_result(confusion=[[1, 'x'], [2, 3]])), 'int'),
    (json.dumps(_result(chance='many')), 'many'),
    (json.dumps(_result(calibration={'error': 0.1})), 'if_true'),
    (json.dumps(_result(config=None)), 'items'),
    (json.dumps(_result(config=[1])), 'items'),
    (json.dumps(_result(networks=3)), 'get'),
    (json.dumps(_result(answers='2')), 'str'),
    (json.dumps(_result(warnings=[1])), 'int'),
    (json.dumps(_result(controls_left_out=[1])), 'list'),
])
def test_a_damaged_result_is_named(tmp_path, text, said):
  path = _write(tmp_path, 'a', _result())
  path.write_text(text)
  with pytest.raises(errors.Damaged, match=said) as e:
    results.read_results(tmp_path)
  assert str(path) in str(e.value)


def test_ablations_know_their_axes_and_damaged_ones_are_named(tmp_path):
  folder = tmp_path / 'optimizer' / 'a'
  folder.mkdir(parents=True)
  cells = pd.DataFrame([
      {'layer': layer, 'epoch': e, 'window': 100, 'value': 0.5, 'low': 0.4,
       'high': 0.6, 'chance': 0.3} for layer in ('conv1_1', 'fc1')
      for e in (0, 1)])
  cells.to_csv(folder / 'ablation.csv', index=False)
  about = {'target': 'optimizer', 'classifier': 'cnn',
           'axes': ['layer', 'epoch'], 'zoo': {'digest': 'd'}}
  (folder / 'ablation.json').write_text(json.dumps(about))
  found, = results.read_ablations(tmp_path)
  assert found.axes == ('layer', 'epoch')
  pd.testing.assert_frame_equal(found.cells, cells)
  (folder / 'ablation.csv').write_text('layer,epoch\n')
  with pytest.raises(errors.Damaged, match='ablation.csv.*value'):
    results.read_ablations(tmp_path)


def _paths(data, at=()):
  """Where something stands in a record: tuples of keys and places."""
  items = data.items() if isinstance(data, dict) else (
      enumerate(data) if isinstance(data, list) else ())
  for key, value in items:
    yield (*at, key)
    yield from _paths(value, (*at, key))


@pytest.mark.parametrize('kind', ('result', 'ablation'))
@pytest.mark.parametrize('put', (None, 'x', [], {}, 3, 'gone'), ids=str)
def test_a_record_without_digests_is_read_or_named(tmp_path, kind, put):
  """Of older versions: whatever of it is missing, or something else."""
  data = _result(calibration={
      'error': .04, 'if_true': [.03, .06], 'loss': .5, 'temperatures': [1.5],
      'curve': [{'networks': 9, 'probability': .8, 'accuracy': .7}],
      'uncalibrated': {'error': .1, 'curve': []}}, warnings=['w'],
      controls_left_out={'shuffled': 'why'}, networks={'read': 3})
  path = _write(tmp_path, 'a', data)
  read = results.read_results
  if kind == 'ablation':
    path, read = path.with_name('ablation.json'), results.read_ablations
    data = {k: data[k] for k in ('target', 'classifier', 'config', 'zoo',
                                 'networks')} | {'axes': ['layer']}
    path.with_suffix('.csv').write_text(
        'layer,value,low,high,chance\nfc1,1,1,1,0\n')
  read_well = 0
  for *parents, last in _paths(data):
    changed = copy.deepcopy(data)
    part = changed
    for key in parents:
      part = part[key]
    if put == 'gone':
      del part[last]
    else:
      part[last] = put
    path.write_text(json.dumps(changed))
    try:
      found = ranking.order(read(tmp_path, _USUAL), 'd')
      assert len(found) == 1
      read_well += 1
      assert all(r.settings and r.title for r in found)
    except errors.Damaged as e:
      assert f'{path} is damaged' in str(e) and '--force' in str(e)
  assert read_well
