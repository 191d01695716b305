import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax import published, space
from nws_jax.zoo import (
  dataset,
  draws,
  images,
  optimizers,
  population,
  stopping,
  train,
)
from nws_jax.zoo.families import cnn as families_cnn
from nws_jax.zoo.families import interface
from nws_jax.zoo.families.cnn import conv, module, shapes
from nws_jax.zoo.families.cnn import network as cnn

ARCH = published.Architecture(3, 3, 1, 2, 8)
NAMES = ('digits', 'mnist')


@functools.lru_cache(maxsize=None)
def make_data():
  """The first 150 training and 60 test images of two real sets."""
  sets = [images.load(n) for n in NAMES]
  return dataset.pack([
      images.ImageSet(s.train_images[:150], s.train_labels[:150],
                      s.test_images[:60], s.test_labels[:60])
      for s in sets], 40)


def make_networks(m=4, dtype=np.float32):
  """Networks that differ in everything that varies inside a program."""
  n = np.arange(m, dtype=np.int32)
  return train.Network(
      id=n + 10, dataset=n % 2, learning_rate=(0.001 * (n + 1)).astype(dtype),
      weight_decay=(0.1 * (n % 2)).astype(dtype),
      augmentation=n % 3 == 1, optimizer=n % 3,
      active=np.ones(m, bool), own=families_cnn.Settings(
          (n + 1) % 4, (0.5 - 0.1 * n).astype(dtype), (n + 1) % 4))


def make_static(arch=ARCH, dtype='float32', **changes):
  return train.Static(arch, 16, 0.96, 'running', False, 25, 0,
                      space.ACTIVATIONS[:4], dtype, conv.Form())._replace(
                          **changes)


def make_task(n, data=None, **changes):
  """The task of network n, as a population of seed 7 makes it."""
  return train.Task(make_static(**changes), 150, jax.random.key(7),
                    pick(make_networks(), n), data or make_data())


@functools.lru_cache(maxsize=None)
def set_stage(form='map', devices=2, a_class=None):
  data = make_data()
  if a_class:
    data = data._replace(a_class_S=np.full(2, a_class, np.int32))
  return population.set_stage(data, 7, form, jax.devices()[:devices])


def build(static, form='map', devices=2, a_class=None, m=4):
  static = static._replace(form=conv.FORMS[form])
  return _build(static, form, devices, a_class, m)  # one key for one program


@functools.lru_cache(maxsize=None)
def _build(static, form, devices, a_class, m):
  networks = make_networks(m, np.dtype(static.dtype))
  if isinstance(static.arch, interface.Envelope):
    networks = merge(networks, static.arch)
  return population.build(static, set_stage(form, devices, a_class), networks)


def run(networks, epochs=1, arch=ARCH, form='map', devices=2, a_class=None,
        **changes):
  """(state, metrics) of networks after epochs, as NumPy."""
  stage = set_stage(form, devices, a_class)
  static = make_static(arch, networks.learning_rate.dtype.name, **changes)
  program = build(static, form, devices, a_class, len(networks.id))
  placed, state = stage.place((networks, program.blank()))
  state = program.reset(placed, state, stage.place(networks.active))
  for _ in range(epochs + 1):
    state, metrics = program.epoch(placed, state)
  return jax.device_get((state, metrics))


def pick(tree, index):
  return jax.tree.map(lambda x: x[index], tree)


def assert_same_bits(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_networks_of_a_population_differ_and_learn():
  networks = make_networks()
  state, first = run(networks)
  _, third = run(networks, 3)
  for a in range(4):
    for b in range(a):
      assert np.abs(state.vector_P[a] - state.vector_P[b]).max() > 1e-3
  assert (third.train_loss < first.train_loss)[2:].all()  # Glorot ones
  assert len(set(first.valid_loss.tolist())) == 4
  steps = make_data().a_class_S * 10 // 16
  assert steps[0] != steps[1]
  assert state.step.tolist() == steps[networks.dataset].tolist()
  assert state.epoch.tolist() == [1] * 4
  assert (state.diverged == -1).all()


def test_any_slot_and_any_neighbours_give_the_same_bits():
  networks = make_networks()
  want = run(networks, 2)
  for order in ([2, 0, 3, 1], [1, 1, 1, 1]):
    assert_same_bits(
        run(pick(networks, np.array(order)), 2), pick(want, np.array(order)))


def test_a_neighbour_that_diverges_or_an_empty_slot_changes_no_bit():
  networks = make_networks()
  want = run(networks, 2)
  hot = np.array(networks.learning_rate)
  hot[1] = 1e38
  state, metrics = run(networks._replace(learning_rate=hot), 2)
  others = np.array([0, 2, 3])
  assert_same_bits(pick((state, metrics), others), pick(want, others))
  assert state.diverged[1] == 1 and state.step[1] < want[0].step[1]
  assert np.isfinite(state.vector_P[1]).all()
  assert np.isnan(metrics.train_loss[1])  # frozen: the second epoch did nothing
  empty = networks._replace(active=np.array([True, False, True, True]))
  state, metrics = run(empty, 2)
  assert_same_bits(pick((state, metrics), others), pick(want, others))
  assert state.step[1] == 0


def test_a_network_that_begins_later_has_the_same_bits():
  networks, stage = make_networks(), set_stage()
  want = run(networks, 1)
  program = build(make_static())
  placed, state = stage.place((networks, program.blank()))
  for fresh in ([True, False, True, False], [False, True, False, False]):
    state = program.reset(placed, state, stage.place(np.array(fresh)))
    state, metrics = program.epoch(placed, state)
  assert state.epoch.tolist()[:3] == [1, 0, 1]
  early = np.array([0, 2])
  assert_same_bits(pick(jax.device_get((state, metrics)), early),
                   pick(want, early))


# Parts of one program; they differ in everything that it can hold.
SHAPES = (published.Architecture(5, 3, 3, 1, 16),
          published.Architecture(1, 3, 1, 3, 32),
          published.Architecture(3, 3, 4, 2, 8))


def merge(networks, envelope):
  """The networks as parts of an envelope of `SHAPES`."""
  sizes = shapes.Sizes(*map(np.stack, zip(*(
      shapes.sizes(SHAPES[n % len(SHAPES)], envelope)
      for n in range(len(networks.id))))))
  return networks._replace(own=networks.own._replace(sizes=sizes))


def assert_close(a, b, arch, limit):
  for s in shapes.layout(arch).spans:
    x, y = a[s.start:s.stop], b[s.start:s.stop]
    if s.layer.startswith('conv') and s.tensor == 'mean':  # knows the bias
      bias = next(t for t in shapes.layout(arch).spans
                  if t[:2] == (s.layer, 'bias'))
      x, y = (v - w[bias.start:bias.stop] for v, w in ((x, a), (y, b)))
    assert np.linalg.norm(x - y) <= limit * np.linalg.norm(y) + 1e-9, s


@pytest.mark.parametrize('form, devices, m', [
    pytest.param('map', 1, 1, marks=pytest.mark.soak), ('vmap', 2, 4)])
def test_another_width_or_form_agrees_in_float64(form, devices, m):
  with jax.enable_x64(True):
    networks = make_networks(4, np.float64)
    want, _ = run(networks)
    for first in range(0, 4 // m * m, m):
      some = np.arange(first, first + m)
      got, _ = run(pick(networks, some), 1, ARCH, form, devices)
      for a, b in zip(got.vector_P, want.vector_P[some]):
        assert a.dtype == np.float64
        assert_close(a, b, ARCH, 1e-4)


@pytest.mark.soak  # minutes of compilation, here and below
def test_a_merge_by_masks_agrees_in_float64():
  envelope = interface.envelop(SHAPES)
  with jax.enable_x64(True):
    networks = make_networks(4, np.float64)
    merged, _ = run(merge(networks, envelope), 1,
                    envelope, 'vmap')
    for n, arch in enumerate(SHAPES):
      alone, _ = run(pick(networks, np.array([n])), 1, arch, 'map', 1)
      assert alone.step[0] == merged.step[n] > 5
      places = shapes.places(arch, envelope)
      assert_close(merged.vector_P[n][places], alone.vector_P[0], arch, 1e-4)
      assert_close(merged.slots['m_P'][n][places], alone.slots['m_P'][0], arch,
                   1e-4)


@pytest.mark.soak
def test_one_step_of_a_merge_agrees_in_float32():
  envelope, networks = interface.envelop(SHAPES), make_networks()
  merged, figures = run(merge(networks, envelope), 1,
                        envelope, a_class=2)
  for n, arch in enumerate(SHAPES[:2]):
    alone, own = run(pick(networks, np.array([n])), 1, arch, 'map', 1,
                     a_class=2)
    assert alone.step[0] == merged.step[n] == 1
    np.testing.assert_allclose(
        figures.train_loss[n], own.train_loss[0], rtol=1e-4)
    assert_close(merged.slots['m_P'][n][shapes.places(arch, envelope)],
                 alone.slots['m_P'][0], arch, 1e-4)


def test_a_merged_network_keeps_its_bits_in_any_slot():
  envelope = interface.envelop(SHAPES)
  networks = merge(make_networks(), envelope)
  order = np.array([3, 1, 2, 0])
  want = run(networks, 1, envelope)
  assert_same_bits(run(pick(networks, order), 1, envelope), pick(want, order))


# Of the update more than of the loss: which of four near-equal values a pooling
# takes, and so which is updated, hangs on their last bits.
@pytest.mark.parametrize('precision, limit, of_update', (
    ('float32', 1e-4, 1e-4), ('tf32', 5e-3, 1e-1), ('bfloat16', 5e-2, 3e-1)))
def test_one_step_agrees(precision, limit, of_update):
  """From equal weights: mapped by map and polynomials, by vmap and bands."""
  wide = published.Architecture(5, 3, 1, 8, 8)
  by = [conv.choose(conv.FORMS[form], 5, 8, 16, True).tiling.toom_cook
        for form in ('map', 'vmap')]
  assert by == [True, False]
  networks, data = make_networks(), make_data()
  index_MxB = data.start_S[networks.dataset][:, None] + np.arange(16)

  def step(form, precision='float32'):
    static = make_static(wide, form=conv.find_form(form, 'auto', precision),
                         augmentations=(False,))  # of the dots alone

    def one(network, images, labels):
      task = train.Task(static, 150, jax.random.key(7), network, data)
      state = train.init(static, task.seed_key, network)
      new, loss, _ = train.update(task, state, images, labels,
                                  network.learning_rate, None)
      return new.slots['m_P'], loss
    return jax.jit(population.over(one, form))(
        networks, data.images_NxHxWxC[index_MxB], data.labels_N[index_MxB])

  (a, loss_a), (b, loss_b) = step('map'), step('vmap', precision)
  np.testing.assert_allclose(loss_a, loss_b, rtol=limit)
  assert len(set(np.asarray(loss_a).tolist())) == 4
  # Less precise, the gradients of the last network, a constant one, are noise.
  for x, y in list(zip(a, b))[:4 if precision == 'float32' else 3]:
    assert_close(y, x, wide, of_update)


def test_weight_decay_takes_its_share_off_the_kernels():
  networks = make_networks()
  rate = networks.learning_rate
  with_it, _ = run(networks, a_class=2)
  without, _ = run(networks._replace(weight_decay=np.zeros(4, np.float32)),
                   a_class=2)
  start, _ = run(networks, 0, a_class=2)
  kernels_P = shapes.layout(ARCH).mask('kernel')
  for n in range(4):
    want = rate[n] * networks.weight_decay[n] * start.vector_P[n] * kernels_P
    np.testing.assert_allclose(
        without.vector_P[n] - with_it.vector_P[n], want, rtol=1e-2, atol=1e-6)
  assert np.abs(want).max() > 1e-5


@pytest.mark.soak
def test_evaluation_by_augmented_images_differs_where_they_are():
  networks = make_networks()
  _, plain = run(networks, 0)
  _, augmented = run(networks, 0, eval_augmentation=True)
  differ = plain.test_loss != augmented.test_loss
  assert differ.tolist() == networks.augmentation.tolist()
  assert differ.any() and not differ.all()


def test_an_epoch_is_balanced_and_apart_from_validation():
  data, seen = make_data(), []
  for m in range(4):
    task = make_task(m)
    network = task.network
    index, is_train = draws.split(task)
    own = np.arange(task.longest) < data.count_S[network.dataset]
    valid = set(np.asarray(index)[~np.asarray(is_train)].tolist())
    assert len(valid) == data.valid_S[network.dataset]
    a_class = int(data.a_class_S[network.dataset])
    for epoch in (1, 2):
      order = np.asarray(draws.epoch_order(task, epoch))
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
  task = make_task(0)
  short = draws.epoch_order(task, 1)
  long = draws.epoch_order(dataclasses.replace(task, longest=190), 1)
  used = 10 * int(task.data.a_class_S[0])
  np.testing.assert_array_equal(short[:used], long[:used])


def test_evaluation_looks_at_every_image_once():
  data, networks, stage = make_data(), make_networks(), set_stage()
  state, metrics = run(networks, 0)
  program = build(make_static())
  frozen = state._replace(stopped=np.zeros(4, np.int32))
  same, full = jax.device_get(program.epoch(
      *stage.place((networks, frozen)), full=True))
  assert_same_bits((same.vector_P, same.step, same.epoch),
                   (state.vector_P, state.step, state.epoch))
  loss, accuracy = full.test_loss, full.test_accuracy
  for found, counts in ((metrics.test_accuracy, data.test_part_S),
                        (accuracy, data.test_count_S)):
    for m in range(2):
      right = found[m] * counts[m]
      assert abs(right - round(float(right))) < 1e-3
  s = int(networks.dataset[1])
  start, count = data.test_start_S[s], data.test_count_S[s]
  logits = cnn.predict(
      ARCH, space.ACTIVATIONS[int(networks.own.activation[1])],
      jnp.asarray(state.vector_P[1]),
      data.images_NxHxWxC[start:start + count])
  labels = data.labels_N[start:start + count]
  want = -jax.nn.log_softmax(logits)[jnp.arange(count), labels].mean()
  np.testing.assert_allclose(loss[1], want, rtol=1e-5)
  assert accuracy[1] == (logits.argmax(-1) == labels).mean()


def test_before_the_first_update_a_network_is_as_initialised():
  """Snapshot 1 of the recipe: evaluated, and nothing moved by it."""
  networks = make_networks()
  state, metrics = run(networks, 0)
  assert np.isfinite(metrics.test_loss).all() and not state.step.any()
  mean_P, variance_P, bias_P = (
      shapes.layout(ARCH).mask(t) for t in ('mean', 'variance', 'bias'))
  for n, vector in enumerate(state.vector_P):
    key = jax.random.fold_in(draws.stream(
        jax.random.key(7), pick(networks, n), draws.INIT), 0)
    np.testing.assert_allclose(
        vector, cnn.init(key, networks.own.initialization[n], ARCH), rtol=1e-5,
        atol=1e-6)
    assert not vector[mean_P | bias_P].any() and (vector[variance_P] == 1).all()


def test_one_update_is_that_of_the_flax_module():
  """Momentum's first step: m is the gradient of the mean cross-entropy."""
  networks = make_networks()
  networks = networks._replace(
      weight_decay=np.zeros(4, np.float32),
      own=networks.own._replace(dropout=np.zeros(4, np.float32)))
  start, _ = run(networks, 0, a_class=2)
  state, metrics = run(networks, 1, a_class=2)
  n = 2
  assert networks.optimizer[n] == list(optimizers.RULES).index('momentum')
  assert not networks.augmentation[n] and state.step[n] == 1
  data = make_data()._replace(a_class_S=np.full(2, 2, np.int32))
  batch = np.asarray(draws.epoch_order(make_task(n, data), 1))[:16]
  net = module.Cnn(ARCH, space.ACTIVATIONS[networks.own.activation[n]], 0.0)

  def loss(vector):
    logits, new = net.apply(
        shapes.layout(ARCH).to_variables(vector),
        data.images_NxHxWxC[batch] / 255,
        train=True, mutable=['batch_stats'])
    log_p = logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    return -log_p[np.arange(16), data.labels_N[batch]].mean(), new

  (value, new), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
      start.vector_P[n])
  np.testing.assert_allclose(metrics.train_loss[n], value, rtol=1e-5)
  found = state.slots['m_P'][n]
  # Batch norm takes these biases off: 0 here, by Flax what rounding leaves.
  normed_P = shapes.layout(ARCH).mask('bias') & (
      np.arange(len(found)) < shapes.layout(ARCH).num_weights_conv)
  assert normed_P.any() and not found[normed_P].any()
  np.testing.assert_allclose(gradient[normed_P], 0, atol=1e-5)
  np.testing.assert_allclose(
      found[~normed_P], gradient[~normed_P], rtol=1e-3, atol=2e-6)
  assert np.linalg.norm(found - gradient) < 1e-4 * np.linalg.norm(gradient)
  running_P = shapes.layout(ARCH).running
  np.testing.assert_allclose(
      (state.vector_P[n] - start.vector_P[n])[~running_P],
      -networks.learning_rate[n] * found[~running_P], rtol=1e-3, atol=1e-7)
  layout = shapes.layout(ARCH)
  want = layout.to_vector({**layout.to_variables(start.vector_P[n]), **new})
  np.testing.assert_allclose(
      state.vector_P[n][running_P], want[running_P], rtol=1e-5, atol=1e-6)


def test_a_bias_that_batch_norm_takes_off_stays_zero():
  state, _ = run(make_networks(), 2)
  for s in shapes.layout(ARCH).spans:
    if s.tensor == 'bias':
      still = not state.vector_P[:, s.start:s.stop].any()
      assert still == s.layer.startswith('conv'), s


@pytest.mark.parametrize('lr_decay', (0.96, 1.0))
def test_an_epoch_is_whole_batches_of_other_images_at_its_rate(
    monkeypatch, lr_decay):
  """floor(N / B) updates, a permutation an epoch, the rate x0.96 an epoch."""
  data = make_data()
  data = data._replace(images_NxHxWxC=np.arange(
      len(data.labels_N)).reshape(-1, 1, 1, 1))

  def note(task, state, pixels, labels, rate, own_P):
    seen = state.vector_P.at[pixels.ravel()].add(1).at[-1].set(rate)
    return state._replace(vector_P=seen, step=state.step + 1), 0.0, 0.0

  monkeypatch.setattr(train, 'update', note)
  task = make_task(1, lr_decay=lr_decay)
  images_an_epoch = int(data.a_class_S[task.network.dataset]) * 10
  steps, seen = images_an_epoch // 16, []
  assert images_an_epoch % 16 and steps > 5
  one = jax.jit(lambda data, state, epoch: train.train_epoch(
      dataclasses.replace(task, data=data), state, epoch)[0])
  blank = train.State(jnp.zeros(301), (), *jnp.int32([0, -1, -1, -1]),
                      stopping.init())
  for epoch in (0, 1, 2, 5):
    state = one(data, blank, jnp.int32(epoch))
    counts, rate = np.array(state.vector_P[:-1]), state.vector_P[-1]
    assert state.step == (steps if epoch else 0)
    if epoch:
      assert set(counts) == {0, 1} and counts.sum() == 16 * steps
      np.testing.assert_allclose(
          rate, 0.002 * lr_decay ** (epoch - 1), rtol=1e-6)
      seen.append(counts)
  assert (seen[0] != seen[1]).any() and (seen[1] != seen[2]).any()


def test_the_cut_is_nine_in_ten_of_every_class_and_a_networks_own():
  data, sides = make_data(), []
  for m in (1, 3):  # of one set
    index, is_train = (np.asarray(x) for x in draws.split(make_task(m)))
    labels = data.labels_N[index]
    for k in range(10):
      of_class = is_train[labels == k]
      assert of_class.sum() == int(0.9 * len(of_class)) < len(of_class)
    sides.append(set(index[is_train].tolist()))
  assert data.a_class_S[1] == min(
      int(0.9 * n) for n in np.bincount(data.labels_N[150:300]))
  assert len(sides[0]) == len(sides[1]) and sides[0] != sides[1]
