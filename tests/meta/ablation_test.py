import io

import numpy as np
import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.meta import ablation, price, summary
from nws_jax.meta import request as requests


def _run(zoo, settings, axes=('layer', 'epoch'), name='optimizer'):
  request = requests.make(zoo, name, settings, axes)
  return ablation.run(request, requests.load(request), lambda *at: None)


def test_planted_cells_are_found_and_no_others(plant, settle):
  cells = pd.DataFrame(_run(plant(effect=2.0), settle()))
  assert list(cells.columns) == [
      'layer', 'epoch', *ablation.FIGURES, *ablation.COMMON]
  assert len(cells) == 3 * 3 and (cells['networks'] == 60).all()
  planted = (cells['layer'] == 'fc1') & (cells['epoch'] >= 1)
  assert (cells['value'][planted] > 0.9).all()
  assert cells['above_chance'][planted].all()
  assert cells['value'][~planted].max() < 0.6
  assert cells['above_chance'][~planted].sum() <= 1
  read = pd.read_csv(io.StringIO(ablation.write(cells.to_dict('records'))))
  pd.testing.assert_frame_equal(read, cells)


def test_a_window_is_the_smaller_of_its_length_and_the_layer(plant, settle):
  cells = _run(plant(epochs=1, since=0, effect=2.0),
               settle(window=50), ('layer',))
  assert [c['window'] for c in cells] == [48, 50, 40]
  assert cells[1]['value'] > 0.8


def test_epochs_can_be_restricted(plant, settle):
  request = requests.make(
      plant(), 'optimizer', settle(epochs='1:2'), ('epoch',))
  times = ablation.list_times(request)
  assert [t.names for t in times] == [({'epoch': 1},), ({'epoch': 2},)]
  assert [t.first for t in times] == [0, 1] and ablation.span(request) == 1


def test_a_regressed_grid(plant, settle):
  cells = _run(plant(effect=2.0), settle(), ('layer',), 'learning_rate')
  by_layer = {c['layer']: c for c in cells}
  assert by_layer['fc1']['above_chance'] and not (
      by_layer['conv1_1']['above_chance'])
  assert {c['chance'] for c in cells} == {0}


def test_axes_are_checked():
  assert ablation.parse_axes('epoch, layer') == ('epoch', 'layer')
  with pytest.raises(errors.Wrong, match="'depth'.*layer, epoch"):
    ablation.parse_axes('layer,depth')
  with pytest.raises(errors.Wrong, match='twice'):
    ablation.parse_axes('layer,layer')


def test_a_cell_too_short_for_the_cnn_is_refused(plant, settle):
  with pytest.raises(errors.Wrong, match='fast'):
    _run(plant(), settle(classifier='cnn', window=12), ('layer',))


def test_the_text_and_the_price(plant, settle):
  zoo = plant()
  cells = [dict(layer=layer, epoch=e, value=0.5 + 0.1 * e, chance=1 / 3,
                above_chance=e > 0) for layer in 'ab' for e in range(2)]
  lines = summary.tell_ablation(['layer', 'epoch'], cells).splitlines()
  assert lines[0].split() == ['epoch', '0', '1']
  assert lines[2].split() == ['b', '0.50', '0.60*']
  slow, fast = (price.tell(requests.make(
      zoo, 'optimizer', settle(classifier=name, steps=100_000)), 1e10)
      for name in ('cnn', 'fast'))
  assert 'days' in slow and '5 models' in slow and 'minutes' in fast


def test_layers_that_not_all_networks_have_are_left_out(plant, settle):
  zoo = plant()
  other = zoo.layers[zoo.layers['layer'] != 'fc1'].assign(architecture='b')
  zoo.layers = pd.concat([zoo.layers, other])
  zoo.members['architecture'] = np.where(np.arange(60) % 2, 'a', 'b')
  request = requests.make(zoo, 'optimizer', settle(), ('layer',))
  assert [w.names['layer'] for w in ablation.list_where(request)] == 2 * [
      'conv1_1', 'output']
