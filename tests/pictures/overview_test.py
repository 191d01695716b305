import math
import pathlib

import pandas as pd
import pytest

from nws_jax.pictures import measures, overview, ranking, records
from nws_jax.pictures.sections import overview as overview_section


def _result(target, value, controls=None, **overrides):
  return records.Result(
      target=target, classifier='fast', folder=pathlib.Path('x'),
      overrides=overrides, digest='d',
      main=measures.Measure(value, value - 0.1, value + 0.1, 0.25),
      data={'kind': 'classification', 'controls': controls or {}})


def _grid(target, cells, **overrides):
  return records.Ablation(
      target=target, classifier='fast', folder=pathlib.Path('x'),
      overrides=overrides, digest='d', data={}, axes=('layer', 'epoch'),
      cells=cells)


def _cells(p, value):
  """Two layers and four epochs; fc1 tells `value`, from p < 0.05 on."""
  return pd.DataFrame([
      {'layer': layer, 'epoch': e, 'value': value if layer == 'fc1' else 0.3,
       'low': 0.2, 'high': 0.7, 'p_holm': p[e] if layer == 'fc1' else 1.0,
       'common_value': 0.4 if layer == 'fc1' else 0.5, 'common_low': 0.1,
       'common_high': 0.8, 'common_p_holm': 0.0}
      for layer in ('conv1_1', 'fc1') for e in range(4)])


def test_the_reading_with_the_default_settings_counts():
  controls = {'majority': {'accuracy': 0.2},
              'epoch_0': {'accuracy': 0.26, 'difference_p': 0.01},
              'weight_norm': {'value': 0.4, 'difference_p': 0.2},
              'shuffled': {'accuracy': 0.2, 'p_value': 0.05}}
  table = overview.tabulate(ranking.order([
      _result('optimizer', 0.9, epochs='0', controls=controls),
      _result('dataset', 0.5), _result('optimizer', 0.7),
      _result('optimizer', 0.8, controls=controls)], 'd'), [])
  assert 'settings' not in table
  assert table.property.tolist() == ['optimizer', 'dataset']  # by gain
  row = table.iloc[0]
  assert (row['read'], row.low, row.chance, row.epoch_0, row.weight_norm,
          row.shuffled_p) == (0.8, pytest.approx(0.7), 0.25, 0.26, 0.4, 0.05)
  assert math.isnan(table.iloc[1].epoch_0)
  assert not {'no_statistics', 'majority', 'shuffled'} & set(table)
  assert not len(overview.tabulate([], []))
  table = overview.tabulate([_result('optimizer', 0.9, epochs='0'),
                             _result('dataset', 0.5)], [])
  assert table.settings.tolist() == ['epochs=0', 'default']
  assert '| epochs=0 |' in overview.to_markdown(table)


@pytest.mark.parametrize('p, first', [
    ((1, 0.01, 0.01, 0.01), '1'), ((0.01,) * 4, '0'), ((1, 1, 1, 1), 'never'),
    ((0.01, 1, 0.01, 0.01), '2'), ((0.01, 0.01, 0.01, 1), 'never')])
def test_where_is_told_twice_and_when_lasts(p, first):
  table = overview.tabulate(
      [_result('optimizer', 0.9)], [
          _grid('optimizer', _cells(p, 0.6)),
          _grid('optimizer', _cells((1,) * 4, 0.1), seed=1)])
  row, = table.to_dict('records')
  assert (row['layer'], row['tells'], row['from_epoch']) == ('fc1', 0.6, first)
  assert (row['common_layer'], row['common_tells']) == ('conv1_1', 0.5)


def test_markdown_has_every_row_and_as_many_cells_in_each():
  table = overview.tabulate(
      [_result('optimizer', 0.9), _result('dataset', 0.5)],
      [_grid('optimizer', _cells((1, 0, 0, 0), 0.6))])
  lines = overview.to_markdown(table).splitlines()
  assert len(lines) == 4 and len({line.count('|') for line in lines}) == 1
  assert '0.900 (0.800 – 1.000)' in lines[2]
  assert '0.600 (0.200 – 0.700)' in lines[2] and 'nan' not in lines[3]
  assert overview_section.describe([], []) is None


def test_the_page_has_where_and_when_in_a_table_of_their_own():
  found = [_result('optimizer', 0.9), _result('dataset', 0.5)]
  much, where = overview_section.describe(
      found, [_grid('dataset', _cells((1, 0, 0, 0), 0.6))]).blocks
  assert much.frame.property.tolist() == ['optimizer', 'dataset']
  assert where.frame.property.tolist() == ['dataset']
  assert {'layer', 'from_epoch'} <= set(where.frame) and (
      'layer' not in much.frame)
  alone, = overview_section.describe(found, []).blocks
  assert 'read' in alone.frame
