import itertools
import pathlib

import numpy as np
import pandas as pd

from nws_jax.pictures import (
    ablation,
    heatmap,
    measures,
    readings,
    records,
    theme,
)


def _result(target, value, low, high, chance, confusion=(), regression=False):
  data = {'kind': 'regression' if regression else 'classification',
          'classes': ['False', 'True'], 'confusion': confusion}
  return records.Result(
      target=target, classifier='cnn', folder=pathlib.Path('x'), overrides={},
      digest='d', data=data, main=measures.Measure(value, low, high, chance))


def test_the_forest_shows_values_intervals_and_what_is_above_chance():
  found = [_result('optimizer', 0.8, 0.7, 0.9, 1 / 3),
           _result('augmentation', 0.55, 0.45, 0.65, 0.5),
           _result('learning_rate', -2, -5, 0.1, 0, regression=True)]
  axes = theme.figure(5, 3).subplots()
  readings.draw_forest(axes, found)
  labels = [t.get_text() for t in axes.get_yticklabels()]
  assert labels == ['learning rate (R²)', 'augmentation', 'optimizer']
  points = {round(line.get_ydata()[0]): line for line in axes.lines
            if len(line.get_xdata()) == 1}
  intervals = {round(line.get_ydata()[0]): tuple(line.get_xdata())
               for line in axes.lines if len(set(line.get_ydata())) == 1
               and len(line.get_xdata()) == 2}
  assert points[2].get_xdata()[0] == 0.8 and intervals[2] == (0.7, 0.9)
  assert points[1].get_xdata()[0] == 0.55 and intervals[1] == (0.45, 0.65)
  assert points[2].get_markerfacecolor() != 'white'
  assert points[1].get_markerfacecolor() == 'white'
  assert axes.get_xlim()[0] > -1  # a bad regression takes no place
  chances = [line.get_xdata()[0] for line in axes.lines
             if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
  assert sorted(chances) == [0, 1 / 3, 0.5]


def test_confusions_print_every_count():
  drawn = readings.draw_confusions([
      _result('augmentation', 0.7, 0.6, 0.8, 0.5, [[31, 9], [12, 28]])])
  axes = drawn.axes[0]
  assert [t.get_text() for t in axes.texts] == ['31', '9', '12', '28']
  np.testing.assert_allclose(
      axes.images[0].get_array(), [[31 / 40, 9 / 40], [12 / 40, 28 / 40]])
  assert [t.get_text() for t in axes.get_xticklabels()] == ['off', 'on']


def test_names_from_files_are_not_read_as_formulas():
  found = [_result('$\\frac$', 0.7, 0.6, 0.8, 0.5, [[1, 0], [0, 1]])]
  with theme.style():
    for drawn in (readings.draw_confusions(found), readings.draw_all(found)):
      assert theme.to_png(drawn)


def test_scatter_holds_every_prediction():
  predictions = pd.DataFrame({'true': [1., 2, 3], 'predicted': [2., 1, 5]})
  drawn = readings.draw_scatter(
      _result('learning_rate', 0, 0, 0, 0, regression=True), predictions)
  np.testing.assert_array_equal(
      drawn.axes[0].collections[0].get_offsets(), predictions)


def test_lines_of_an_ablation_follow_the_epochs_whatever_the_order_of_rows():
  cells = pd.DataFrame([
      {'layer': layer, 'epoch': e, 'value': base + e / 10,
       'low': base + e / 10 - 0.1, 'high': base + e / 10 + 0.1, 'chance': 0.25}
      for layer, base in (('fc1', 0.5), ('conv1_1', 0.3)) for e in (0, 2, 1)])
  drawn = ablation.draw_lines(cells, ('layer', 'epoch'))
  fc1, conv, chance = drawn.axes[0].lines
  assert (fc1.get_label(), conv.get_label()) == ('fc1', 'conv1_1')
  np.testing.assert_allclose(fc1.get_xydata(), [[0, 0.5], [1, 0.6], [2, 0.7]])
  np.testing.assert_allclose(conv.get_ydata(), [0.3, 0.4, 0.5])
  np.testing.assert_allclose(chance.get_ydata(), 0.25)


def test_an_ablation_over_names_keeps_their_order():
  cells = pd.DataFrame({
      'layer': ['fc1', 'conv1_1'], 'value': [0.4, -0.1], 'low': [0.3, -0.4],
      'high': [0.5, 0.2], 'chance': 0.0})
  axes = ablation.draw_lines(cells, ('layer',)).axes[0]
  assert [t.get_text() for t in axes.get_xticklabels()] == ['fc1', 'conv1_1']
  np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.4, -0.1])
  assert axes.get_ylabel() == 'R²' and axes.get_ylim()[0] == -0.3


def test_a_grid_of_any_axes_has_a_picture():
  def cells(*axes):
    rows = list(itertools.product(*(range(n) for _, n in axes)))
    return pd.DataFrame([
        {**dict(zip([a for a, _ in axes], map(float, row))), 'window': 8,
         'value': 0.5, 'low': 0.4, 'high': 0.6, 'chance': 0.25}
        for row in rows])
  for axes, is_map in (
      ([('window', 3)], False), ([('layer', 2), ('position', 100)], False),
      ([('epoch', 3), ('train_epoch', 3)], True),
      ([('layer', 2), ('tensor', 2), ('epoch', 3)], True)):
    names = [a for a, _ in axes]
    assert ablation.fits_map(cells(*axes), names) == is_map
    assert ablation.to_png(cells(*axes), names, 'x').startswith(b'\x89PNG')


def test_a_map_has_a_row_for_each_other_axes_levels():
  cells = pd.DataFrame({
      'layer': list('aabb'), 'tensor': list('kbkb'), 'epoch': 0,
      'value': [0.2, 0.4, 0.6, 0.8], 'low': 0.1, 'chance': 0.05})
  axes = theme.figure(4, 4).subplots()
  heatmap.draw(cells, axes, ['layer', 'tensor', 'epoch'])
  assert [t.get_text() for t in axes.get_yticklabels()] == [
      'a, k', 'a, b', 'b, k', 'b, b']
  assert [t.get_text() for t in axes.texts] == ['20', '40', '60', '80']
