import numpy as np
import pandas as pd

from nws_jax.pictures import population, spread, theme


def test_histogram_holds_every_measured_network_once(members):
  axes = spread.draw_histogram(members).axes[0]
  bars = [p for c in axes.containers for p in c.patches]
  assert sum(b.get_height() for b in bars) == members.test_accuracy.count()


def test_strips_show_each_network_at_its_value_and_the_tables_medians(members):
  axes = theme.figure(4, 3).subplots()
  spread.draw_strips(axes, members, 'initialization')
  values = theme.levels('initialization', members.initialization)
  dots = axes.collections[0].get_offsets()
  shown = sorted((values[int(np.round(x))], y) for x, y in dots)
  measured = members.dropna(subset='test_accuracy')
  assert shown == sorted(zip(measured.initialization, measured.test_accuracy))
  table = population.summarize_accuracy(members)
  medians = table['median'][table.property == 'initialization']
  drawn = [line.get_ydata()[0] for line in axes.lines
           if line.get_linewidth() == 2]
  np.testing.assert_allclose(drawn, medians)


def test_values_stand_in_the_order_of_the_table_and_numbers_in_theirs():
  assert theme.levels('batch_size', [64, 8, 32, 64]) == [8, 32, 64]
  assert theme.levels('dataset', ['digits', 'new', 'mnist']) == [
      'mnist', 'digits', 'new']
  assert theme.levels('augmentation', [True, False]) == [False, True]


def test_every_varying_property_has_its_panel(members):
  panels = spread.draw_properties(members).axes
  titles = [a.get_title(loc='left') or a.get_title() for a in panels]
  assert [t for t in titles if t] == [
      n.replace('_', ' ') for n in population.find_varying(members)]


def test_large_populations_are_thinned_for_the_dots_alone(members, monkeypatch):
  monkeypatch.setattr(spread, 'DOTS', 10)
  axes = theme.figure(4, 3).subplots()
  spread.draw_rates(axes, members, 'learning_rate')
  dots = axes.collections[0].get_offsets()
  assert len(dots) == 10
  pairs = set(zip(members.learning_rate, members.test_accuracy))
  assert {tuple(d) for d in dots} <= pairs


def test_curves_pass_through_the_medians(members, metrics):
  drawn = spread.draw_curves(members, metrics, ['initialization'])
  table = population.trace_curves(members, metrics, 'initialization')
  expected = {tuple(part['median'].round(9)) for _, part in table.groupby(
      ['dataset', 'initialization'])}
  lines = {tuple(np.round(line.get_ydata(), 9)) for axes in drawn.axes[2:]
           for line in axes.lines if len(line.get_ydata()) == 4}
  assert lines == expected and len(lines) == 8


def test_one_network_alone_can_be_drawn(members, metrics):
  one = members[members.id == 0]
  assert population.find_varying(one) == []
  for drawn in (spread.draw_histogram(one),
                spread.draw_curves(one, metrics[metrics.id == 0], [])):
    assert theme.to_png(drawn) == theme.to_png(drawn)
  assert isinstance(population.summarize_coverage(one), pd.DataFrame)


def test_networks_that_all_diverged_can_be_drawn(members, metrics):
  lost = members.assign(test_accuracy=np.nan, status='diverged')
  gone = metrics.assign(test_accuracy=np.nan)
  for drawn in (spread.draw_histogram(lost), spread.draw_properties(lost),
                spread.draw_curves(lost, gone, ['optimizer'])):
    assert theme.to_png(drawn)
  assert population.summarize_accuracy(lost)['median'].isna().all()
