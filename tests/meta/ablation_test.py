import io

import numpy as np
import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.meta import price, running, summary
from nws_jax.meta import request as requests
from nws_jax.meta.answers import ablation
from nws_jax.meta.answers import cells as columns
from nws_jax.meta.data import grid
from nws_jax.meta.figures import significance
from nws_jax.store import tables


def _run(zoo, settings, axes=('layer', 'epoch'), name='optimizer'):
  request = requests.make(zoo, name, settings, axes)
  return ablation.run(request, running.load(request), lambda *at: None)


def test_planted_cells_are_found_and_no_others(plant, settle):
  cells = pd.DataFrame(_run(plant(effect=2.0), settle()))
  assert list(cells.columns) == [
      'layer', 'epoch', *columns.FIGURES, *columns.COMMON]
  assert len(cells) == 3 * 3 and (cells['networks'] == 60).all()
  planted = (cells['layer'] == 'fc1') & (cells['epoch'] >= 1)
  assert (cells['value'][planted] > 0.9).all()
  assert cells['above_chance'][planted].all()
  assert cells['value'][~planted].max() < 0.6
  assert cells['above_chance'][~planted].sum() <= 1
  read = pd.read_csv(io.StringIO(tables.format_rows(cells.to_dict('records'))))
  pd.testing.assert_frame_equal(read, cells)


def test_a_window_is_the_smaller_of_its_length_and_the_layer(plant, settle):
  cells = _run(plant(epochs=1, since=0, effect=2.0),
               settle(window=50), ('layer',))
  assert [c['window'] for c in cells] == [48, 50, 40]
  assert cells[1]['value'] > 0.8
  # ... and once more, all at one length.
  assert {c['common_window'] for c in cells} == {40}
  assert cells[1]['common_value'] > 0.8 and cells[1]['common_p_holm'] < 0.01
  assert cells[0]['common_p_holm'] > 0.05


def test_epochs_can_be_restricted(plant, settle):
  request = requests.make(
      plant(), 'optimizer', settle(epochs='1:2'), ('epoch',))
  times = ablation.list_times(request)
  assert [t.names for t in times] == [({'epoch': 1},), ({'epoch': 2},)]
  assert [t.first for t in times] == [0, 1] and ablation.span(request) == 1


@pytest.mark.soak
def test_a_regressed_grid(plant, settle):
  cells = _run(plant(effect=2.0), settle(), ('layer',), 'learning_rate')
  by_layer = {c['layer']: c for c in cells}
  assert by_layer['fc1']['above_chance'] and not (
      by_layer['conv1_1']['above_chance'])
  assert {c['chance'] for c in cells} == {0}


def test_tensors_that_lie_apart_are_closed_up(plant, settle):
  zoo = plant(epochs=1, since=0)
  request = requests.make(zoo, 'optimizer', settle(), ('tensor',))
  kernel, bias = ablation.list_where(request)[:2]
  assert (kernel.window, bias.window) == (130, 30)
  source = running.load(request)
  place = grid.make(source, request.parts, bias,
                    running.make_place(request, source))
  np.testing.assert_array_equal(
      place.source.weights_MxExP[:, 0],
      zoo.weights_MxExP[:, 0][:, np.r_[40:48, 108:120, 150:160]])
  assert (place.region.low_M == 0).all() and (place.region.high_M == 30).all()
  made, _ = ablation._make_places(request, source, [kernel, bias])
  assert [(t.layer, t.start, t.stop) for t in made.spec.tensors[0]] == [
      ('conv1_1', 0, 40), ('fc1', 40, 100), ('output', 100, 130)]


def test_parts_and_tensors_cross(plant, settle):
  request = requests.make(plant(), 'optimizer', settle(), ('part', 'tensor'))
  where = [w for w in ablation.list_where(request) if not w.common]
  assert [(*w.names.values(), w.window) for w in where] == [
      ('convolution', 'kernel', 40), ('convolution', 'bias', 8),
      ('fully connected', 'kernel', 90), ('fully connected', 'bias', 22)]
  assert where[2].parts == (('fc1', 'kernel'), ('output', 'kernel'))


def test_the_part_of_a_layer_is_that_of_its_table_not_of_its_name(
    plant, settle):
  zoo = plant()
  zoo.layers.loc[zoo.layers['layer'] == 'fc1', 'part'] = 'convolution'
  where = [w for w in ablation.list_where(requests.make(
      zoo, 'optimizer', settle(), ('part',))) if not w.common]
  assert [w.names['part'] for w in where] == ['convolution', 'fully connected']
  assert {layer for layer, _ in where[0].parts} == {'conv1_1', 'fc1'}


def test_one_epoch_is_read_by_what_learned_from_another(plant, settle):
  zoo = plant(epochs=3, since=1, effect=2.0)
  zoo.weights_MxExP[:, 2] *= -1  # the classes lie the other way round
  cells = _run(zoo, settle(), ('train_epoch', 'epoch'))
  value = {(c['train_epoch'], c['epoch']): c['value'] for c in cells}
  assert len(value) == 9
  assert value[1, 1] > 0.9 and value[2, 2] > 0.9
  assert value[1, 2] < 0.5 and value[0, 1] < 0.7 and value[1, 0] < 0.6
  alone = _run(zoo, settle(epochs='1:2'), ('train_epoch',))
  assert [c['train_epoch'] for c in alone] == [1, 2]  # tested on the last


def test_positions_make_a_curve(plant, settle):
  cells = _run(plant(epochs=1, since=0, effect=2.0), settle(), ('position',))
  assert [c['position'] for c in cells] == list(range(100))
  assert {c['window'] for c in cells} == {32}
  low, high = (np.mean([c['value'] for c in cells[some]]) for some in (
      slice(0, 12), slice(40, 65)))  # starts 0 to 14: conv1_1; fc1 alone
  assert low < 0.5 and high > 0.9


def test_more_windows_decide_better(plant, settle):
  cells = _run(plant(epochs=1, since=0, effect=0.8), settle(
      windows_per_network=12), ('pooled',))
  assert [c['pooled'] for c in cells] == [1, 2, 4, 8, 12]
  assert cells[-1]['value'] > cells[0]['value'] + 0.1


def test_windows_double_up_to_the_whole(plant, settle):
  request = requests.make(plant(), 'optimizer', settle(), ('window', 'layer'))
  assert [(w.names['layer'], w.window) for w in ablation.list_where(request)
          ] == [('conv1_1', 32), ('conv1_1', 48), ('fc1', 32), ('fc1', 64),
                ('fc1', 72), ('output', 32), ('output', 40)]


def test_cells_are_compared_with_the_best(plant, settle):
  cells = _run(plant(epochs=1, since=0, effect=2.0), settle(), ('layer',))
  assert cells[1]['p_best'] == 1 and cells[0]['p_best'] < 0.001
  assert [c['p_holm'] for c in cells] == pytest.approx(
      significance.holm([c['p'] for c in cells]))


def test_axes_are_checked():
  assert ablation.parse_axes('epoch, layer') == ('epoch', 'layer')
  with pytest.raises(errors.Wrong, match="'depth'.*layer, tensor"):
    ablation.parse_axes('layer,depth')
  with pytest.raises(errors.Wrong, match='twice'):
    ablation.parse_axes('layer,layer')
  with pytest.raises(errors.Wrong, match='one window'):
    ablation.parse_axes('pooled,position')


@pytest.mark.parametrize('axes, changed, words', [
    (('layer',), {'window': 100}, 'window of 100 weights; the longest has 72'),
    (('hold_out',), {}, '--hold_out=dataset'),
    (('epoch',), {'epochs': '7'}, 'epochs=7')])
def test_grids_that_cannot_be_are_refused(plant, settle, axes, changed, words):
  with pytest.raises(errors.Wrong, match=words):
    _run(plant(), settle(**changed), axes)


def test_a_cell_too_short_for_the_cnn_is_refused(plant, settle):
  with pytest.raises(errors.Wrong, match='fast'):
    _run(plant(), settle(classifier='cnn', window=12), ('layer',))


def test_the_text_and_the_price(plant, settle):
  zoo = plant()
  cells = [dict(layer=layer, epoch=e, value=0.5 + 0.1 * e, chance=1 / 3,
                p_holm=0.5 - 0.49 * e) for layer in 'ab' for e in range(2)]
  lines = summary.format_grid(['layer', 'epoch'], cells).splitlines()
  assert lines[0].split() == ['epoch', '0', '1']
  assert lines[2].split() == ['b', '0.50', '0.60*']
  slow, fast = (price.tell(requests.make(
      zoo, 'optimizer', settle(classifier=name, steps=100_000)), 1e10)
      for name in ('cnn', 'fast'))
  assert 'days' in slow and '5 models' in slow and ' min' in fast


def test_layers_that_not_all_networks_have_are_left_out(plant, settle):
  zoo = plant()
  other = zoo.layers[zoo.layers['layer'] != 'fc1'].assign(architecture='b')
  zoo.layers = pd.concat([zoo.layers, other])
  zoo.members['architecture'] = np.where(np.arange(60) % 2, 'a', 'b')
  request = requests.make(zoo, 'optimizer', settle(), ('layer',))
  assert [w.names['layer'] for w in ablation.list_where(request)] == 2 * [
      'conv1_1', 'output']
