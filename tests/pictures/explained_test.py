"""Explanations in the report: the pictures show what the files hold."""

import json

import numpy as np
import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.pictures import (
  calibration,
  explanations,
  landscape,
  measures,
  records,
  tables,
  theme,
  transfer,
  why,
)
from nws_jax.pictures.page import blocks, render
from nws_jax.pictures.sections import (
  calibration as calibration_section,
)
from nws_jax.pictures.sections import (
  controls,
  weight_map,
)
from nws_jax.pictures.sections import (
  explanations as explanations_section,
)

_EVIL = '<img src=x onerror=alert(1)>'
_LAYERS = pd.DataFrame([
    {'architecture': 'a', 'layer': 'conv1_1', 'start': 0, 'stop': 40},
    {'architecture': 'a', 'layer': 'fc1', 'start': 40, 'stop': 100}])


@pytest.fixture
def made(tmp_path, members):
  """Writes an explanation: its folder."""
  rng, folder = np.random.default_rng(0), tmp_path / 'optimizer' / 'a'
  folder.mkdir(parents=True)
  (folder / 'explanation.json').write_text(json.dumps({
      'target': 'optimizer', 'kind': 'classification', 'classifier': _EVIL,
      'classes': ['adam', _EVIL], 'zoo': {'digest': 'd'},
      'attribution': {
          'of': _EVIL, 'networks': 9, 'before': -1.1, 'after': -0.5,
          'baseline': 'x', 'line': 'y', 'residual': {'share': 0.01}},
      'prototypes': {'typical': {'adam': {'id': 3, 'sure': 0.9},
                                 _EVIL: {'id': 4, 'sure': 0.8}}},
      'map': {'explained_variance': [0.4, 0.2], 'columns': 12}}))

  def write(name, rows):
    pd.DataFrame(rows).to_csv(folder / f'{name}.csv', index=False)

  def number():
    value = rng.normal()
    return {'value': value, 'low': value - 1, 'high': value + 0.5}
  layers = ('conv1_1', 'fc1')
  write('attribution', [
      {'class': c, 'layer': layer, 'tensor': t, **number()}
      for c in ('all', 'adam', _EVIL) for layer in ('all', *layers)
      for t in ('all', 'kernel', 'bias') if layer != 'all' or t == 'all'])
  write('attribution_position',
        [{'position': n, **number()} for n in range(100)])
  write('prototypes', [
      {'class': c, 'layer': layer, 'tensor': 'kernel', 'level': q, **number()}
      for c in ('adam', _EVIL) for layer in layers for q in (0, .25, .5, 1)])
  write('filters', [
      {'class': c, 'id': 3, 'filter': f, 'channel': ch, 'row': y, 'column': x,
       'weight': rng.normal()} for c in ('adam', _EVIL) for f in range(2)
      for ch in range(3) for y in range(3) for x in range(3)])
  write('map', [{'id': i, 'epoch': e, 'x': rng.normal(), 'y': rng.normal()}
                for i in members.id for e in range(3)])
  return folder


def _build(made, members):
  found = explanations.read(made.parents[1])
  members = members.assign(
      optimizer=members.optimizer.where(members.id > 5, _EVIL))
  return found[0], members, render.build('t', 's', [
      explanations_section.describe(found, 'd', _LAYERS, 'c'),
      weight_map.describe(found, 'd', members, 'c')])


def test_what_is_drawn_is_what_was_written(made, members):
  e, members, files = _build(made, members)
  name = blocks.slug('optimizer', _EVIL)
  for of in ('attribution', 'attribution_position', 'prototypes', 'filters'):
    assert files[f'{of}_{name}.csv'] == (made / f'{of}.csv').read_bytes()
  rows = e.attribution[(e.attribution['class'] == 'all')]
  bars, cells = why.draw_attribution(e, e.attribution).axes
  assert [p.get_width() for p in bars.patches] == rows[
      (rows.tensor == 'all') & (rows.layer != 'all')].value.tolist()
  assert [t.get_text() for t in cells.texts] == [
      f'{v:.3f}' for v in rows[rows.tensor != 'all'].value]
  axes, = why.draw_positions(
      e, e.attribution_position, _LAYERS).axes
  np.testing.assert_array_equal(
      axes.lines[0].get_ydata(), e.attribution_position.value)
  panel = why.draw_prototypes(e, e.prototypes).axes[0]
  layer, tensor = why.choose_tensors(e, e.prototypes)[0]
  most = rows[rows.tensor != 'all'].sort_values('value').iloc[-1]
  assert (layer, tensor) == (most.layer, most.tensor)
  if tensor == 'kernel':
    of = e.prototypes[(e.prototypes['class'] == 'adam')
                      & (e.prototypes.layer == layer)]
    np.testing.assert_array_equal(
        panel.lines[0].get_xdata(), of.value[of.level.between(.01, .99)])
  images = [a.images[0] for a in why.draw_filters(e, e.filters).axes
            if a.images]
  assert len(images) == 4
  mine = e.filters[(e.filters['class'] == 'adam') & (e.filters['filter'] == 1)]
  np.testing.assert_allclose(images[1].get_array(), mine.groupby(
      ['row', 'column']).weight.sum().to_numpy().reshape(3, 3))


def test_the_map_has_every_snapshot_and_every_property(made, members):
  e, members, files = _build(made, members)
  points = landscape.join(e.map, members)
  names = landscape.list_properties(members)
  assert {'optimizer', 'dataset', 'test_accuracy', 'epoch'} <= set(names)
  for name in names:
    assert f'map_{name}.png' in files
    drawn = landscape.draw(points, name, (0.4, 0.2))
    assert '40 % of the variance' in drawn.axes[0].get_xlabel()
    trace = landscape.trace(points, name)
    assert files[f'map_{name}.csv'] == trace.to_csv(index=False).encode()
  written = files['map_points.csv'].decode().splitlines()
  assert len(written) == 1 + len(e.map)
  adam = points[(points.optimizer == 'adam') & (points.epoch == 2)]
  row = landscape.trace(points, 'optimizer').query(
      'group == "adam" and epoch == 2').iloc[0]
  assert row.x == pytest.approx(adam.x.mean())
  assert row.networks == len(adam)
  # The big mark of a class is where its way ends.
  ends = [c for c in landscape.draw(points, 'optimizer', None).axes[1].lines
          if c.get_label() == 'adam']
  assert ends[0].get_xdata()[-1] == pytest.approx(row.x)


def test_names_from_files_are_text(made, members):
  text = _build(made, members)[2]['index.html'].decode()
  assert _EVIL not in text and '&lt;img src=x onerror' in text
  assert 'onerror' not in ''.join(
      part.partition('>')[0] for part in text.split('<img')[1:]
      if 'alt=' not in part)


@pytest.mark.parametrize('name, text, said', [
    ('explanation.json', '{', 'line 1'),
    ('explanation.json', '{}', 'prototypes'),
    ('attribution.csv', 'class,layer\n', 'value'),
    ('map.csv', 'id\n', 'epoch')])
def test_damaged_explanations_are_named(made, name, text, said):
  (made / name).write_text(text)
  with pytest.raises(errors.Damaged, match=said):
    explanations.read(made.parents[1])


def _result(**changed):
  return records.Result(
      target='optimizer', classifier='fast', folder=None, overrides={},
      digest='d', main=measures.Measure(0.7, 0.6, 0.8, 0.5), data={
          'kind': 'classification', 'classes': ['a', 'b'], 'chance': 0.5,
          'warnings': [_EVIL], 'controls_left_out': {'shuffled': _EVIL},
          'controls': {
              'majority': {'accuracy': .4, 'interval': [.3, .5]},
              'epoch_0': {'accuracy': .5, 'interval': [.4, .6], 'chance': .45,
                          'difference_p': .01}},
          'calibration': {
              'error': .04, 'if_true': [.03, .06], 'loss': .5,
              'temperatures': [1.5, 2.5],
              'curve': [{'networks': 9, 'probability': .8, 'accuracy': .7,
                         'interval': [.5, .9]}],
              'uncalibrated': {'error': .1, 'curve': [
                  {'networks': 9, 'probability': .9, 'accuracy': .7}]}},
          **changed})


def test_controls_warn_and_calibration_is_drawn_as_it_is():
  files = render.build('t', 's', [
      controls.describe([_result()], 'c'),
      calibration_section.describe([_result()])])
  text = files['index.html'].decode()
  assert text.count('class="warn"') == 1 and _EVIL not in text
  table = files['controls_accuracy.csv'].decode().splitlines()
  assert 'optimizer,fast,epoch_0,0.5,0.4,0.6,0.45,0.01' in table
  table = files['calibration_table.csv'].decode().splitlines()
  assert table[1].startswith('optimizer,fast,0.04,0.03,0.1,2.0,0.5,0.69')
  axes = calibration.draw([_result()]).axes[0]
  curve = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
  assert curve['raw'] == [[.9, .7]]
  assert curve['with temperature'] == [[.8, .7]]
  assert calibration_section.describe([]) is None
  bare = render.build('t', 's', [controls.describe([], 'c')])
  assert '--controls' in bare['index.html'].decode()


def test_held_out_levels_stand_beside_seen_ones():
  cells = pd.DataFrame([
      {'hold_out': level, 'value': v, 'low': v - .1, 'high': v + .1,
       'chance': .3, 'seen_value': v + .2, 'seen_low': v + .1,
       'seen_high': v + .3} for level, v in (('mnist', .5), ('digits', .4))])
  with theme.style():
    axes, = transfer.draw_held_out(cells).axes
  dots = [c.get_offsets()[:, 0].tolist() for c in axes.collections
          if len(c.get_offsets()) == 2 and c.get_label()[0] != '_']
  assert dots == [[.5, .4], pytest.approx([.7, .6])]
  assert [t.get_text() for t in axes.get_yticklabels()] == ['digits', 'mnist']


def test_a_ladder_has_its_rungs_in_order():
  found = [records.Result(
      target=t, classifier=c, folder=None, overrides={}, digest='d',
      main=measures.Measure(v, v - .1, v + .1, .3),
      data={'kind': 'classification'})
           for t, v in (('optimizer', .5), ('dataset', .9))
           for c in ('fast', 'majority', 'other', 'svm')]
  table = tables.tabulate_ladder(found, measures.ACCURACY)
  assert list(dict.fromkeys(table.classifier)) == [
      'majority', 'svm', 'fast', 'other']
  assert list(dict.fromkeys(table.property)) == ['dataset', 'optimizer']
