import json
import os

import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.pictures import results


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


def test_the_newest_of_a_target_and_classifier_comes_first(tmp_path):
  _write(tmp_path, 'a', _result(chance=0.1), age=5)
  _write(tmp_path, 'b', _result(chance=0.2), age=1)
  _write(tmp_path, 'c', _result(classifier='forest'), age=9)
  found = results.read_results(tmp_path)
  kept, older = results.keep_first(
      found, lambda r: (r.target, r.classifier))
  assert [(r.classifier, r.main.chance) for r in kept] == [
      ('cnn', 0.2), ('forest', 0.5)]
  assert [r.folder.name for r in older] == ['a']


def test_tables_hold_what_the_files_hold(tmp_path):
  regression = {
      'target': 'learning_rate', 'kind': 'regression', 'classifier': 'cnn',
      'r2': {'value': 0.3, 'interval': [-0.1, 0.5]},
      'kendall_tau': {'value': 0.4, 'interval': [0.3, 0.5]},
      'zoo': {'digest': 'd'}}
  _write(tmp_path, 'a', _result())
  _write(tmp_path, 'b', regression)
  found = results.sort_by_gain(results.read_results(tmp_path))
  assert [r.target for r in found] == ['learning_rate', 'optimizer']
  row, = results.tabulate(found, False).to_dict('records')
  assert row == {
      'property': 'optimizer', 'classifier': 'cnn', 'accuracy': 0.7,
      'low': 0.6, 'high': 0.8, 'chance': 0.5, 'above_chance': True,
      'networks': 40, 'per_window': 0.6}
  row, = results.tabulate(found, True).to_dict('records')
  assert row == {
      'property': 'learning_rate', 'classifier': 'cnn', 'r2': 0.3, 'low': -0.1,
      'high': 0.5, 'chance': 0, 'above_chance': False, 'kendall_tau': 0.4}
  row, = results.tabulate_controls(found, False).to_dict('records')
  assert (row['control'], row['value'], row['low'], row['high']) == (
      'shuffled_labels', 0.52, 0.4, 0.63)
  table = results.tabulate_confusions(found)
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
