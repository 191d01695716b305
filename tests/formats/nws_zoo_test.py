import tracemalloc

import numpy as np
import pytest

import nws_jax
from nws_jax import layout
from nws_jax.formats import nws_read, nws_zoo
from nws_jax.store import folder, whole


@pytest.fixture
def runs(publish, tmp_path):
  publish(tmp_path / 'nws', ('train',) * 20 + ('test',) * 10)
  return nws_read.list_runs(str(tmp_path / 'nws'))


@pytest.mark.parametrize('stack_bytes', (1, 10_000, 10**9))
def test_units_hold_every_network_once_and_no_more_bytes(runs, stack_bytes):
  units = nws_zoo.plan(runs, stack_bytes)
  assert sorted(i for u in units for i in u.ids) == list(range(30))
  assert len({u.name for u in units}) == len(units)
  for unit in units:
    assert {nws_read.find_layout(runs[i]) for i in unit.ids} == {unit.layout}
    size = 4 * unit.layout.num_weights * len(unit.ids)
    assert size <= stack_bytes or len(unit.ids) == 1
  assert len(units) == {1: 30, 10_000: 13, 10**9: 2}[stack_bytes]


def test_twins_stay_on_one_side(runs):
  runs = [r._replace(row={**r.row, 'learning_rate': 0.001 * (n // 2 % 5 + 1),
                          'dataset': 'mnist', 'activation': 'relu',
                          'initialization': 'normal', 'optimizer': 'adam',
                          'augmentation': True})
          for n, r in enumerate(runs)]
  sides = nws_zoo.list_sides(runs)
  by_setting = {}
  for (setting, replicate, split, fold), run in zip(sides, runs):
    by_setting.setdefault(setting, []).append(
        (replicate, split, fold, run.side, tuple(run.row.values())))
  assert len(by_setting) < len(runs)
  for mine in by_setting.values():
    assert [m[0] for m in mine] == list(range(len(mine)))
    assert len({m[1:] for m in mine}) == 1
  for (_, _, split, fold), run in zip(sides, runs):
    assert (split == 'test') == (run.side == 'test') and 0 <= fold < 5


def test_one_in_eight_becomes_validation_where_none_is(runs):
  many = [runs[n % 20]._replace(row={**runs[0].row, 'learning_rate': 1 + n})
          for n in range(400)]
  splits = [s.split for s in nws_zoo.list_sides(many)]
  assert splits.count('valid') == 50 and splits.count('train') == 350
  named = [r._replace(side='valid' if n < 3 else r.side)
           for n, r in enumerate(many)]
  assert [s.split for s in nws_zoo.list_sides(named)] == [r.side for r in named]


def test_memory_is_bounded_by_the_stack(publish, tmp_path):
  """A stack, what Orbax writes of it, one file: not all vectors at once."""
  networks = publish(
      tmp_path / 'nws', ('train',) * 100, evaluations=2, shapes={
          (3, 3, 2, 4, 64): (1688, 19572), (3, 3, 2, 5, 64): (2455, 24692)})
  total = sum(n['weights'].nbytes for n in networks)
  runs, zoo = nws_read.list_runs(str(tmp_path / 'nws')), str(tmp_path / 'zoo')
  units, sides = nws_zoo.plan(runs, 500_000), nws_zoo.list_sides(runs)
  steps, peaks = [], []
  del networks[1:]
  nws_zoo.write_unit(zoo, units[0], runs, sides, lambda: steps.append(1))
  tracemalloc.start()
  for unit in units[1:]:
    tracemalloc.reset_peak()
    nws_zoo.write_unit(zoo, unit, runs, sides, lambda: steps.append(1))
    peaks.append(tracemalloc.get_traced_memory()[1])
  tracemalloc.stop()
  assert len(steps) == 200 and len(units) > 15
  assert max(peaks) < 5 * 500_000 < total / 7


def test_what_is_damaged_later_is_not_committed(runs, tmp_path):
  zoo = str(tmp_path / 'zoo')
  units, sides = nws_zoo.plan(runs), nws_zoo.list_sides(runs)
  path = tmp_path / 'nws' / 'runs' / '0001' / 'weights' / '003.bin'
  path.write_bytes(path.read_bytes()[:-8])
  with pytest.raises(nws_jax.errors.Damaged, match='0001/weights/003.bin'):
    nws_zoo.write_unit(zoo, units[0], runs, sides, lambda: None)
  assert folder.units(zoo) == []


def write(path, runs):
  for unit in nws_zoo.plan(runs, 8000):
    nws_zoo.write_unit(str(path), unit, runs, nws_zoo.list_sides(runs),
                       lambda: None)
  (path / 'config.json').write_text('{"converted_from": {}}')
  whole.rebuild(str(path))
  return nws_jax.open_zoo(path)


def test_every_vector_is_at_its_place(runs, tmp_path):
  zoo = write(tmp_path / 'zoo', runs[:6])
  assert zoo.members['unit'].nunique() == 4 and zoo.verify() == 24
  for id, run in enumerate(runs[:6]):
    assert zoo.members['learning_rate'][id] == run.row['learning_rate']
    for epoch in range(4):
      np.testing.assert_array_equal(
          zoo.vector(id, epoch), nws_read.read_vector(run, epoch + 1))


def test_vectors_alone(runs, tmp_path):
  runs = [r._replace(num_conv=r.num_conv - n) for n, r in enumerate(runs[:2])]
  zoo = write(tmp_path / 'zoo', runs)
  assert zoo.verify() == 8
  for id, (conv, size) in enumerate(((48, 780), (151, 856))):
    np.testing.assert_array_equal(
        zoo.vector(id, 2), nws_read.read_vector(runs[id], 3))
    assert zoo.members['num_weights'][id] == size
    np.testing.assert_array_equal(
        zoo.vectors([id], [1], conv - 5, conv + 7)[0, 0],
        nws_read.read_vector(runs[id], 2)[conv - 5:conv + 7])
  kernel = zoo.variables(0, 2)['params']['conv1_1']['kernel']
  assert kernel.shape == (1, 1, 3, 1)
  assert zoo.layout(1) == layout.flat(151, 856)
  assert zoo.architecture(1) is None
  layers = zoo.layers[zoo.layers['architecture'] == 'flat-151-856']
  assert layers[['layer', 'start', 'stop']].values.tolist() == [
      ['conv', 0, 151], ['fc', 151, 856]]
  for read in (lambda: zoo.variables(1, 2),
               lambda: zoo.apply(1, 2, np.zeros((1, 32, 32, 3), np.uint8))):
    with pytest.raises(nws_jax.errors.Wrong, match='network 1 is not known'):
      read()
