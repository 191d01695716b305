import jax
import numpy as np
import pytest

from nws_jax import errors
from nws_jax.meta.classifiers import cnn, interface, table
from nws_jax.meta.data import cores, descriptions
from nws_jax.meta.training import fit, lanes, many


def _ask(labels_WxM, rate=1e-2):
  """(models, what they share, tasks, keys, plan): the label is the value."""
  models, networks = labels_WxM.shape
  bank = descriptions.Bank(*[np.eye(3, dtype=np.float32)[
      labels_WxM[0]][:, None, None]] * 2)
  rows = np.tile(np.arange(networks, dtype=np.int32), (models, 1))
  number = np.full(models, networks, np.int32)
  tasks = interface.Task(
      labels_WxM, 0 * number, rows, number, rows, number, rows,
      np.ones((models, networks), np.float32))
  plan = fit.Plan(40, 10, 10, 16, rate, 1)
  mapped = many.map_fit(fit.make_fit(
      table.CLASSIFIERS['fast'].make_model(3), interface.view_bank(), plan))
  return mapped, bank, tasks, jax.random.split(jax.random.key(0), models), plan


def _run(asked, workers, monkeypatch, progress=lambda rounds, going: None):
  mapped, bank, tasks, keys, plan = asked
  monkeypatch.setattr(cores, 'count', lambda: workers)
  return lanes.run(mapped, bank, fit.Job(tasks, [tasks], keys, 3, 1, 2), plan,
                   None, progress)


def test_cores_share_the_models_and_change_none(monkeypatch):
  labels_WxM = np.random.default_rng(0).integers(0, 3, (5, 12), np.int32)
  told, asked = [], [_ask(labels_WxM) for _ in range(2)]
  one, three = (_run(a, n, monkeypatch, lambda *at: told.append(at))
                for a, n in zip(asked, (1, 3)))
  for mapped, *_ in asked:  # one program, though a core has a model less
    assert [f._cache_size() for f in mapped] == [1, 1, 1]
  assert one[0][0].shape == (5, 12, 1, 1, 3)
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(three)):
    np.testing.assert_allclose(a, b, atol=1e-4)
  assert len(jax.tree.leaves(one[1])[0]) == 2
  assert np.abs(one[0][0][0] - one[0][0][1]).max() > 1e-2
  assert told[-1][1] == 0  # none is left
  assert max(going for _, going in told) == 5 == told[0][1]


def test_models_one_after_another_are_those_together(monkeypatch):
  labels_WxM = np.random.default_rng(0).integers(0, 3, (3, 12), np.int32)
  together = _ask(labels_WxM)
  functions = fit.make_fit(
      table.CLASSIFIERS['fast'].make_model(3), interface.view_bank(),
      together[-1])
  alone = (many.map_fit(functions, together=False), *together[1:])
  said = [_run(asked, 1, monkeypatch)[0][0] for asked in (together, alone)]
  np.testing.assert_allclose(*said, atol=1e-4)
  assert np.abs(said[0][0] - said[0][1]).max() > 1e-2


def test_what_fails_on_one_core_fails(monkeypatch):
  labels_WxM = np.zeros((4, 12), np.int32)
  with pytest.raises(errors.Damaged, match='diverged'):
    _run(_ask(labels_WxM, rate=np.inf), 2, monkeypatch)


def test_cores_and_lanes_hold_what_memory_holds(monkeypatch):
  mapped, bank, tasks, keys, plan = _ask(np.zeros((6, 12), np.int32))
  monkeypatch.setattr(cores, 'count', lambda: 2)
  job = fit.Job(tasks, [tasks], keys, 3, 1, 0)

  def plan_lanes(memory, shape=None):
    monkeypatch.setattr(lanes, 'MEMORY', memory)
    return lanes._divide(mapped, bank, job, plan, shape)

  assert plan_lanes(1) == (1, 1, 5)
  workers, at_once, at_hand = plan_lanes(1 << 30)
  assert (workers, at_once) == (2, 3) and at_hand % 3 == 0
  # What sees weights: each core one model, if there is room for its windows.
  assert plan_lanes(1 << 30, cnn.Shape(5000, 1))[:2] == (2, 1)
  assert plan_lanes(1 << 28, cnn.Shape(5000, 1))[:2] == (2, 1)
  assert plan_lanes(1 << 24, cnn.Shape(5000, 1))[:2] == (1, 1)


def test_what_looks_at_one_place_shares_it_whatever_its_size(
    plant, settle, monkeypatch):
  from nws_jax.meta import request as requests
  from nws_jax.meta import running
  from nws_jax.meta.training import measure
  request = requests.make(plant(), 'optimizer', settle())
  place = running.make_place(request, running.load(request))
  trials = [running.make_trial(request)._replace(place=n % 2, seed=n)
            for n in range(6)]
  for memory, groups in ((1 << 30, 1), (1, 2)):
    monkeypatch.setattr(lanes, 'MEMORY', memory)
    found = list(measure._group([place, place], sorted(
        trials, key=lambda t: t.place), table.CLASSIFIERS['fast']))
    assert len(found) == groups and sum(len(g.numbers) for g in found) == 6


def test_a_place_says_how_its_bank_will_be_filled(plant, settle):
  from nws_jax.meta import request as requests
  from nws_jax.meta import running
  request = requests.make(plant(), 'optimizer', settle(window=50))
  place = running.make_place(request, running.load(request))
  bank = descriptions.fill(place, descriptions.FEATURES, jax.random.key(0))
  even, parts, size = descriptions.measure_size(place, descriptions.FEATURES)
  assert bank.even_MxExSxF.shape[2] == even == place.num_even
  assert bank.even_MxExSxF.shape[3] % parts == 0
  assert sum(x.nbytes for x in bank) == size
