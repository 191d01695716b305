import numpy as np

from nws_jax.pictures import population


def test_accuracy_by_value_equals_a_count_by_hand(members):
  table = population.summarize_accuracy(members)
  assert len(table) == 1 + sum(
      members[n].nunique() for n in population.find_chosen(members))
  shares = set()
  for row in table.to_dict('records'):
    mine = [m for m in members.to_dict('records')
            if row['property'] == 'all' or m[row['property']] == row['value']]
    reached = [m['test_accuracy'] for m in mine
               if np.isfinite(m['test_accuracy'])]
    assert row['networks'] == len(mine)
    assert row['best'] == max(reached)
    np.testing.assert_allclose(
        [row['lower_quartile'], row['median'], row['upper_quartile']],
        np.quantile(reached, (0.25, 0.5, 0.75)))
    low = sum(a < 0.1186 for a in reached) / len(mine)
    np.testing.assert_allclose(row['at_chance'], low)
    shares.add(low)
  assert len(shares) > 3  # the values differ


def test_coverage_counts_every_network_once_a_property(members):
  table = population.summarize_coverage(members)
  assert (table[['train', 'valid', 'test']].sum(axis=1) == table.networks).all()
  assert (table[['finished', 'stopped', 'diverged']].sum(axis=1)
          == table.networks).all()
  assert (table.groupby('property').networks.sum() == len(members)).all()
  assert table.diverged.iloc[0] == 4


def test_what_varies(members):
  varying = population.find_varying(members)
  assert 'dataset' in varying and 'learning_rate' in varying
  assert 'batch_size' not in varying and 'batch_norm' not in varying
  assert 'learning_rate' not in population.find_chosen(members)


def test_cross_table_equals_medians_by_hand(members):
  table = population.cross(members, 'dataset', 'initialization')
  for row in table.to_dict('records'):
    for value in [c for c in table.columns if c != 'dataset']:
      part = [m['test_accuracy'] for m in members.to_dict('records')
              if row['dataset'] in ('all', m['dataset'])
              and value in ('all', m['initialization'])
              and np.isfinite(m['test_accuracy'])]
      np.testing.assert_allclose(row[value], np.median(part))


def test_curves_equal_quartiles_by_hand_and_leave_out_who_has_ended(
    members, metrics):
  curves = population.trace_curves(members, metrics, 'initialization')
  for row in curves.to_dict('records'):
    ids = members.id[(members.dataset == row['dataset'])
                     & (members.initialization == row['initialization'])]
    part = metrics.test_accuracy[
        metrics.id.isin(ids) & (metrics.epoch == row['epoch'])]
    assert row['networks'] == len(part)
    np.testing.assert_allclose(
        [row['lower_quartile'], row['median'], row['upper_quartile']],
        np.quantile(part, (0.25, 0.5, 0.75)))
  by_epoch = population.trace_curves(members, metrics).groupby('epoch').networks
  assert by_epoch.sum().tolist() == [40, 40, 36, 36]
