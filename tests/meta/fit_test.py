import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.meta.classifiers import interface, table
from nws_jax.meta.data import descriptions, regions, splits, windows
from nws_jax.meta.training import cross_validation, fit, many, measure


def _shared(classes, spread=0.3):
  """Windows of 20 values whose mean is the class, one network each row."""
  classes = np.asarray(classes)
  noise = np.random.default_rng(0).normal(size=(len(classes), 1, 20)) * spread
  weights = jnp.asarray(classes[:, None, None] + noise, jnp.float32)
  source = windows.Source(weights, jnp.zeros((1, 20), jnp.int32),
                          jnp.zeros(len(classes), jnp.int32))
  region = regions.Region(np.zeros(len(classes), np.int32),
                          np.full(len(classes), 20, np.int32))
  return source, region


def _place(source, region, length=20, even=4, drawn=4):
  return regions.Place(
      source, region, regions.WindowSpec(length, even, drawn, True))


def _decide(values_RxM, outputs, *, steps=200, name='fast', seed=0,
            classes=None, rate=1e-3, length=20, folds=5,
            members=1):
  values_RxM = np.asarray(values_RxM)
  fold_M = np.arange(values_RxM.shape[1]) % 5
  source, region = _shared(values_RxM[0] if classes is None else classes)
  sides = splits.Sides(*(x[:folds] for x in splits.split(
      pd.DataFrame({'fold': fold_M}))))
  outcomes = measure.decide(
      [_place(source, region, length)],
      [cross_validation.Trial(0, np.broadcast_to(v, (folds, len(v))), sides, 1)
       for v in values_RxM],
      measure.Rules(
          table.CLASSIFIERS[name],
          lambda span: fit.Plan(steps, 20, 5, 32, rate, span), outputs,
          members),
      jax.random.key(seed), lambda *at: None)
  return [o.tested[0] for o in outcomes]


def _make_tasks(labels, sides, members):
  trial = cross_validation.Trial(0, np.broadcast_to(labels, (5, 60)), sides, 1)
  return cross_validation.make_tasks(cross_validation.Group(
      [trial], table.CLASSIFIERS['fast'], 3, [], {0: 0}, members, False))[0]


def test_losses_of_known_cases():
  logits = jnp.log(jnp.array([[0.2, 0.8], [0.5, 0.5]]))
  np.testing.assert_allclose(
      interface.measure_loss(logits, jnp.array([1, 0])), -np.log([0.8, 0.5]),
      atol=1e-6)
  # Paired: a [B, 1] against [B] would give [B, B].
  np.testing.assert_allclose(
      interface.measure_loss(jnp.array([[1.], [2.]]), jnp.array([3., 5.])),
      [4, 9])


def test_weights_give_every_side_the_shares_of_all():
  labels_M = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 1, 0])
  sides = np.array([0, 1, 4, 6]), np.array([2, 5, 7, 8, 10])
  weights_M = fit.weigh(labels_M, sides, np.arange(11))
  for rows in sides:
    np.testing.assert_allclose(
        np.bincount(labels_M[rows], weights_M[rows]) / len(rows),
        np.array([4, 3, 4]) / 11, atol=1e-6)
  assert weights_M[11] == 1  # on neither side
  assert len(np.unique(weights_M[sides[0]])) > 1


def test_it_learns_what_is_there():
  labels = np.random.default_rng(0).integers(0, 3, 60)
  decisions, = _decide([labels], 3)
  np.testing.assert_array_equal(decisions.rows_T, np.arange(60))
  np.testing.assert_array_equal(decisions.folds_T, np.arange(60) % 5)
  right = decisions.outputs_TxSxO.mean(1).argmax(-1) == labels
  assert right.mean() > 0.9
  np.testing.assert_allclose(
      np.exp(decisions.outputs_TxSxO).sum(-1), 1, atol=1e-5)


def test_it_regresses_in_the_targets_own_unit():
  target = np.random.default_rng(0).uniform(100, 110, 60)
  decisions, = _decide([target], 1, steps=600)
  error = decisions.outputs_TxSxO.mean(1)[:, 0] - target
  assert np.mean(error**2) < 0.2 * target.var()


def test_shuffled_labels_give_chance():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 3, 60)
  runs = np.stack([labels] + [rng.permutation(labels) for _ in range(5)])
  decisions = _decide(runs, 3)
  right = [np.mean(d.outputs_TxSxO.mean(1).argmax(-1) == run)
           for d, run in zip(decisions, runs)]
  assert right[0] > 0.9
  assert abs(np.mean(right[1:]) - 1 / 3) < 0.1  # 300 decisions
  assert len({d.outputs_TxSxO.tobytes() for d in decisions}) == 6


def test_the_same_seed_is_the_same_and_another_is_another():
  labels = np.arange(60) % 3
  one, again, other = (
      _decide([labels], 3, steps=40, seed=s)[0].outputs_TxSxO
      for s in (0, 0, 1))
  np.testing.assert_array_equal(one, again)
  assert np.abs(one - other).max() > 0


def test_members_are_averaged():
  labels = np.arange(60) % 3
  # Models are numbered (run, member, fold): two members of one run start as
  # two runs of one member with the same labels do.
  both, = _decide([labels], 3, steps=40, members=2)
  one, other = _decide([labels, labels], 3, steps=40)
  assert np.abs(one.outputs_TxSxO - other.outputs_TxSxO).max() > 0.01
  np.testing.assert_allclose(
      both.outputs_TxSxO, (one.outputs_TxSxO + other.outputs_TxSxO) / 2,
      atol=1e-5)


def test_a_mapped_model_is_the_model_alone():
  labels = np.arange(60) % 3
  source, region = _shared(labels)
  sides = splits.split(pd.DataFrame({'fold': np.arange(60) % 5}))
  bank = descriptions.fill(
      _place(source, region), descriptions.FEATURES, jax.random.key(0))
  plan = fit.Plan(40, 20, 5, 32, 1e-3, 1)
  programs = many.map_fit(fit.make_fit(
      table.CLASSIFIERS['fast'].make_model(3), interface.view_bank(), plan))
  tasks = _make_tasks(labels, sides, members=1)
  keys = jax.random.split(jax.random.key(0), 5)

  def run(models):
    some = many.take(tasks, models)
    return np.asarray(programs.predict(bank, some, many.train(
        programs, bank, some, keys[np.array(models)], plan)))

  together = run([0, 1, 2, 3, 4])
  alone = np.concatenate([run([f]) for f in (0, 3)])
  np.testing.assert_allclose(alone, together[[0, 3]], atol=1e-4)
  assert np.abs(together[0] - together[1]).max() > 1e-2


def test_it_stops_early_and_keeps_the_best():
  labels = np.arange(60) % 3
  source, region = _shared(labels)
  sides = splits.split(pd.DataFrame({'fold': np.arange(60) % 5}))
  bank = descriptions.fill(
      _place(source, region, 20, 1, 1), descriptions.FEATURES,
      jax.random.key(0))
  plan = fit.Plan(1000, 5, 2, 16, 0.3, 1)  # a rate that soon makes it worse
  start, advance, _ = fit.make_fit(
      table.CLASSIFIERS['fast'].make_model(3), interface.view_bank(), plan)
  tasks = _make_tasks(labels, sides, members=1)
  task, key = many.take(tasks, 0), jax.random.key(0)
  state, states = start(bank, task, key), []
  step = jax.jit(advance)
  for _ in range(60):
    state = step(bank, task, key, state)
    states.append(state)
    if state.waited >= plan.patience:
      break
  assert state.waited == plan.patience
  best = states[-1 - plan.patience]
  for kept, there in zip(jax.tree.leaves(state.best),
                         jax.tree.leaves(best.variables)):
    np.testing.assert_array_equal(kept, there)
  after = step(bank, task, key, state)
  assert all(np.array_equal(a, b) for a, b in zip(
      jax.tree.leaves(after), jax.tree.leaves(state)))  # frozen


@pytest.mark.soak
def test_the_cnn_learns_from_windows():
  labels = np.arange(40) % 2
  decisions, = _decide([labels], 2, name='cnn', steps=60, length=16,
                       classes=6 * labels, folds=1)
  assert decisions.outputs_TxSxO.shape == (8, 4, 2)  # starts 0 to 4
  right = decisions.outputs_TxSxO.mean(1).argmax(-1) == (
      labels[decisions.rows_T])
  assert right.mean() > 0.8


def test_a_diverged_classifier_is_an_error():
  with pytest.raises(errors.Damaged, match='learning_rate'):
    _decide([np.arange(20.)], 1, rate=1e30, steps=40)


@pytest.mark.parametrize('patience', [
    pytest.param(1, marks=pytest.mark.soak), 1000])
def test_models_in_a_few_lanes_are_those_in_many(patience):
  labels = np.arange(60) % 3
  source, region = _shared(labels, spread=3.0)
  sides = splits.split(pd.DataFrame({'fold': np.arange(60) % 5}))
  bank = descriptions.fill(
      _place(source, region), descriptions.FEATURES, jax.random.key(0))
  plan = fit.Plan(50, 10, patience, 16, 1e-3, 1)
  mapped = many.map_fit(fit.make_fit(
      table.CLASSIFIERS['fast'].make_model(3), interface.view_bank(), plan))
  tasks = _make_tasks(labels, sides, members=2)
  keys = jax.random.split(jax.random.key(0), 10)
  all_, few = (many.train(mapped, bank, tasks, keys, plan, lanes=lanes)
               for lanes in (None, 3))
  for a, b in zip(jax.tree.leaves(all_), jax.tree.leaves(few)):
    assert len(a) == 10
    np.testing.assert_allclose(a, b, atol=1e-4)
