import numpy as np
import pandas as pd
import pytest

from nws_jax.meta.data import features
from nws_jax.meta.explain import landscape
from tests.meta import planted


def test_a_map_of_turned_data_is_the_same_map():
  rng = np.random.default_rng(0)
  rows_NxC = rng.normal(size=(40, 6)) * np.array([5, 3, 1, 1, 1, 1.])[None]
  turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
  places_Nx2, explained = landscape.project(rows_NxC)
  turned_Nx2, again = landscape.project(rows_NxC @ turn + 7)
  np.testing.assert_allclose(turned_Nx2, places_Nx2, atol=1e-8)
  np.testing.assert_allclose(again, explained)
  spread_C = np.linalg.svd(rows_NxC - rows_NxC.mean(0, keepdims=True),
                           compute_uv=False)**2
  np.testing.assert_allclose(explained, spread_C[:2] / spread_C.sum())
  np.testing.assert_allclose((places_Nx2**2).sum(0), spread_C[:2])


def test_columns_come_to_one_scale_and_nothing_is_far_off():
  rows = np.array([[0, 1., np.nan, 1e9], [2, 1, 3, 1], [4, 1, 5, 2],
                   [6, 1, 7, 3]])
  scaled = landscape.standardise(rows)
  assert scaled.shape == (4, 3)  # one column does not vary
  assert np.abs(scaled).max() == 5 and scaled[0, 1] == 0
  np.testing.assert_allclose(np.median(scaled[:, 0]), 0, atol=1e-7)
  np.testing.assert_allclose(scaled, landscape.standardise(3 * rows - 2),
                             rtol=1e-6)


class _Mixed(planted.PlantedZoo):
  """Two architectures: odd networks lack the last layer, and stop early."""

  def __init__(self):
    super().__init__(networks=20)
    small = self.layers[self.layers['layer'] != 'output']
    self.layers = pd.concat([self.layers, small.assign(architecture='b')])
    odd = self.members['id'] % 2 == 1
    self.members.loc[odd, 'architecture'] = 'b'
    self.members.loc[odd, 'num_weights'] = small['stop'].max()

  def epochs(self, id):
    return (0, 1) if id % 2 else (0, 1, 2)

  def vectors(self, ids, epochs, start=0, stop=None):
    assert len({i % 2 for i in ids}) == 1  # vectors of one length
    stop = int(self.members['num_weights'].iloc[ids[0]])
    return super().vectors(ids, epochs, 0, stop)


@pytest.mark.parametrize('memory', [1, 1 << 20])
def test_every_snapshot_of_every_architecture_is_described(
    memory, monkeypatch):
  monkeypatch.setattr(landscape, '_MEMORY', memory)
  zoo, read = _Mixed(), []
  rows_NxC, ids_N, epochs_N = landscape.describe(
      zoo, zoo.members, lambda done, of: read.append((done, of)))
  assert read[-1] == (20, 20) and len(read) == (20 if memory == 1 else 2)
  assert list(zip(ids_N, epochs_N)) == [
      (i, e) for i in range(20) for e in zoo.epochs(i)]
  parts = [(x, t) for x, tensors in planted.LAYERS for t, _ in tensors]
  for at in (0, 4, 49):
    m, e = ids_N[at], epochs_N[at]
    for layer, tensor in parts:
      row = zoo.layers[(zoo.layers['layer'] == layer)
                       & (zoo.layers['tensor'] == tensor)].iloc[0]
      c = parts.index((layer, tensor)) * features.PER_PART
      if m % 2 and layer == 'output':
        assert np.isnan(rows_NxC[at, c])
        continue
      values = zoo.weights_MxExP[m, e, row['start']:row['stop']]
      assert rows_NxC[at, c] == pytest.approx(values.mean(), abs=1e-6)
      assert rows_NxC[at, c + 9] == pytest.approx(np.median(values), abs=1e-6)


def test_ways_end_where_the_last_epoch_lies_and_means_are_of_their_class():
  zoo = _Mixed()
  found = landscape.make(zoo, zoo.members)
  assert found.places_Nx2.shape == (50, 2) and sum(found.explained) < 1
  rows = pd.DataFrame(landscape.trace(
      found, planted.CLASSES, dict(zip(range(20), zoo.labels_M))))
  names = np.array(planted.CLASSES)[zoo.labels_M][found.ids_N]
  for of, way in rows.groupby('class'):
    last = way.iloc[-1]
    mine = found.places_Nx2[(names == of) & (found.epochs_N == last['epoch'])]
    np.testing.assert_allclose(last[['x', 'y']].astype(float), mine.mean(0))
    assert last['networks'] == len(mine) > 1
  last_Nx2, _ = landscape.project(landscape.standardise(
      landscape.describe(zoo, zoo.members)[0]))
  np.testing.assert_allclose(
      found.places_Nx2[found.ids_N == 0][-1], last_Nx2[2])
