import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax import space
from nws_jax.store import vectors
from nws_jax.zoo import images, population, train

ARCH = space.Architecture(3, 3, 1, 2, 8)
NAMES = ('digits', 'mnist')


@functools.lru_cache(maxsize=None)
def make_data():
  """The first 150 training and 60 test images of two real sets."""
  sets = [images.load(n) for n in NAMES]
  return train.pack([images.ImageSet(s.train_images[:150], s.train_labels[:150],
                                     s.test_images[:60], s.test_labels[:60])
                     for s in sets], 40)


def make_networks(m=4, dtype=np.float32):
  """Networks that differ in everything that varies inside a program."""
  n = np.arange(m, dtype=np.int32)
  return train.Network(
      id=n + 10, dataset=n % 2, learning_rate=(0.001 * (n + 1)).astype(dtype),
      augmentation=n % 3 == 1, optimizer=n % 3, activation=(n + 1) % 4,
      initialization=(n + 1) % 4, active=np.ones(m, bool))


@functools.lru_cache(maxsize=None)
def build(form='map', dtype='float32', devices=2):
  static = train.Static(ARCH, 16, 0.96, 'running', 25, 0, dtype)
  return population.build(
      static, make_data(), 7, form, jax.devices()[:devices])


def run(program, networks, epochs=1):
  placed = program.place(networks)
  state = program.init(placed)
  for epoch in range(1, epochs + 1):
    state, metrics = program.epoch(placed, state, epoch)
  return jax.device_get((state, metrics))


def pick(tree, index):
  return jax.tree.map(lambda x: x[index], tree)


def assert_same_bits(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_networks_of_a_population_differ_and_learn():
  program, networks = build(), make_networks()
  state, first = run(program, networks)
  _, third = run(program, networks, 3)
  for a in range(4):
    for b in range(a):
      assert np.abs(state.vector_P[a] - state.vector_P[b]).max() > 1e-3
  assert (third.train_loss < first.train_loss)[2:].all()  # Glorot ones
  assert len(set(first.valid_loss.tolist())) == 4
  steps = make_data().a_class_S * 10 // 16
  assert steps[0] != steps[1]
  assert state.step.tolist() == steps[networks.dataset].tolist()
  assert (state.diverged == -1).all()


def test_any_slot_and_any_neighbours_give_the_same_bits():
  program, networks = build(), make_networks()
  want = run(program, networks, 2)
  for order in ([2, 0, 3, 1], [1, 1, 1, 1]):
    assert_same_bits(
        run(program, pick(networks, np.array(order)), 2),
        pick(want, np.array(order)))


def test_a_neighbour_that_diverges_or_an_empty_slot_changes_no_bit():
  program, networks = build(), make_networks()
  want = run(program, networks, 2)
  hot = np.array(networks.learning_rate)
  hot[1] = 1e38
  state, metrics = run(program, networks._replace(learning_rate=hot), 2)
  others = np.array([0, 2, 3])
  assert_same_bits(pick((state, metrics), others), pick(want, others))
  assert state.diverged[1] == 1 and state.step[1] < want[0].step[1]
  assert np.isfinite(state.vector_P[1]).all()
  assert np.isnan(metrics.train_loss[1])  # frozen: the second epoch did nothing
  empty = networks._replace(active=np.array([True, False, True, True]))
  state, metrics = run(program, empty, 2)
  assert_same_bits(pick((state, metrics), others), pick(want, others))
  assert state.step[1] == 0


@pytest.mark.parametrize('form, devices, m', [('map', 1, 1), ('vmap', 2, 4)])
def test_another_width_or_form_agrees_in_float64(form, devices, m):
  with jax.enable_x64(True):
    networks = make_networks(4, np.float64)
    want, _ = run(build('map', 'float64'), networks)
    for first in range(0, 4 // m * m, m):
      some = np.arange(first, first + m)
      got, _ = run(build(form, 'float64', devices), pick(networks, some))
      for a, b in zip(got.vector_P, want.vector_P[some]):
        assert a.dtype == np.float64
        for s in vectors.spans(ARCH):
          x, y = a[s.start:s.stop], b[s.start:s.stop]
          assert np.linalg.norm(x - y) <= 1e-4 * np.linalg.norm(y) + 1e-12, s


def test_one_step_agrees_in_float32():
  """From equal weights: alone, mapped by vmap and by map."""
  networks = make_networks()
  data = make_data()
  one = data._replace(a_class_S=np.full(2, 2, np.int32))  # 20 images: one step
  static = train.Static(ARCH, 16, 0.96, 'running', 25, 0, 'float32')
  results = []
  for form, devices in (('map', 2), ('vmap', 2)):
    program = population.build(static, one, 7, form, jax.devices()[:devices])
    results.append(run(program, networks))
  (a, loss_a), (b, loss_b) = results
  assert a.step.tolist() == [1, 1, 1, 1]
  np.testing.assert_allclose(loss_a.train_loss, loss_b.train_loss, rtol=1e-4)
  for x, y in zip(a.slots.m_P, b.slots.m_P):
    for s in vectors.spans(ARCH):
      p, q = x[s.start:s.stop], y[s.start:s.stop]
      assert np.linalg.norm(p - q) <= 1e-4 * np.linalg.norm(q) + 1e-9, s


def test_an_epoch_is_balanced_and_apart_from_validation():
  data, key = make_data(), jax.random.key(7)
  longest = 150
  networks = make_networks()
  seen = []
  for m in range(4):
    network = pick(networks, m)
    index, is_train = train._split(key, network, data, longest)
    own = np.arange(longest) < data.count_S[network.dataset]
    valid = set(np.asarray(index)[~np.asarray(is_train)].tolist())
    assert len(valid) == data.valid_S[network.dataset]
    a_class = int(data.a_class_S[network.dataset])
    for epoch in (1, 2):
      order = np.asarray(train._epoch_order(key, network, data, epoch, longest))
      used = order[:10 * a_class]
      assert len(set(used.tolist())) == len(used)
      assert not valid & set(used.tolist())
      counts = np.bincount(data.labels_N[used], minlength=10)
      assert (counts == a_class).all()
      start = data.start_S[network.dataset]
      assert (used >= start).all() and (used < start + own.sum()).all()
      seen.append(tuple(used.tolist()))
    assert sorted(np.asarray(index)[own].tolist()) == list(
        range(start, start + own.sum()))
  assert len(set(seen)) == len(seen)


def test_draws_do_not_depend_on_the_other_sets():
  """The longest set fixes an array's size, and must not change a draw."""
  data, key = make_data(), jax.random.key(7)
  network = pick(make_networks(), 0)
  short = train._epoch_order(key, network, data, 1, 150)
  long = train._epoch_order(key, network, data, 1, 190)
  used = 10 * int(data.a_class_S[0])
  np.testing.assert_array_equal(short[:used], long[:used])


def test_evaluation_looks_at_every_image_once():
  data = make_data()
  networks = make_networks(2)
  program = build()
  placed = program.place(networks)
  state = program.init(placed)
  for full, counts in ((False, data.test_part_S), (True, data.test_count_S)):
    state, metrics = program.measure(placed, state, full)
    metrics = jax.device_get(metrics)
    for m in range(2):
      right = metrics.test_accuracy[m] * counts[m]
      assert abs(right - round(float(right))) < 1e-3
  from nws_jax.zoo import cnn
  s = int(networks.dataset[1])
  start, count = data.test_start_S[s], data.test_count_S[s]
  logits = cnn.predict(
      ARCH, space.ACTIVATIONS[int(networks.activation[1])],
      jnp.asarray(np.asarray(state.vector_P)[1]),
      data.test_images_NxHxWxC[start:start + count])
  labels = data.test_labels_N[start:start + count]
  loss = -jax.nn.log_softmax(logits)[jnp.arange(count), labels].mean()
  np.testing.assert_allclose(metrics.test_loss[1], loss, rtol=1e-5)
  assert metrics.test_accuracy[1] == (logits.argmax(-1) == labels).mean()
