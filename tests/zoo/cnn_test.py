import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax import published, space
from nws_jax.zoo import activations
from nws_jax.zoo.families import interface, layers
from nws_jax.zoo.families.cnn import conv, module, shapes
from nws_jax.zoo.families.cnn import network as cnn

SMALL = published.Architecture(3, 3, 2, 4, 64)
MODE = interface.Mode(space.ACTIVATIONS, conv.Form())
ARCHS = (SMALL, published.Architecture(5, 4, 3, 8, 64),
         published.Architecture(7, 5, 4, 4, 128),
         dataclasses.replace(SMALL, batch_norm=False))


def make_network(arch, seed=0, initialization=2):
  """A network whose every tensor is away from its start, as if trained."""
  vector = cnn.init(jax.random.key(seed), initialization, arch)
  noise = 0.1 * jax.random.uniform(
      jax.random.key(seed + 1), vector.shape, minval=-1)
  variance = np.zeros(vector.shape, bool)
  for s in shapes.layout(arch).spans:
    variance[s.start:s.stop] = s.tensor == 'variance'
  return jnp.where(variance, vector + jnp.abs(noise), vector + noise)


def make_batch(b=6):
  rng = np.random.default_rng(3)
  return rng.random((b, 32, 32, 3), np.float32), rng.integers(0, 10, b)


def pair(*soak):
  """Architectures and activations; some of them take long."""
  return pytest.mark.parametrize('arch, activation', [
      pytest.param(arch, activation, marks=[pytest.mark.soak] * (n in soak))
      for n, (arch, activation) in enumerate(zip(ARCHS, space.ACTIVATIONS))],
      ids=lambda v: getattr(v, 'name', v))


@pair(1)
def test_same_as_the_flax_module(arch, activation):
  vector, (x, _) = make_network(arch), make_batch()
  flax = module.Cnn(arch, activation, dropout=0.0)
  style = cnn.Style(space.ACTIVATIONS.index(activation), 0.0)

  @jax.jit
  def ours(vector, x):
    rows = x.reshape(len(x), 32, 96)
    parts = shapes.layout(arch).split(vector)
    by_running, none = cnn.apply(parts, rows, style, arch, MODE)
    assert not none
    by_batch, batch = cnn.apply(
        parts, rows, style, arch, MODE._replace(batch_statistics=True))
    for name, new in layers.update_running(parts, batch).items():
      parts[name] |= new
    new = shapes.layout(arch).join(parts)
    return by_running, by_batch, shapes.layout(arch).to_variables(new)

  @jax.jit
  def theirs(vector, x):
    variables = shapes.layout(arch).to_variables(vector)
    by_batch, new = flax.apply(
        variables, x, train=True, mutable=['batch_stats'])
    return flax.apply(variables, x), by_batch, {
        'batch_stats': {}, **variables, **new}

  got, want = ours(vector, x), theirs(vector, x)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=1e-4, atol=1e-4), got, want)
  assert np.ptp(np.asarray(got[1]), axis=0).max() > 1e-2  # images differ


@pair(1, 2)
def test_gradients_are_those_of_the_flax_module(arch, activation):
  x, labels = make_batch()
  flax = module.Cnn(arch, activation, dropout=0.0)
  style = cnn.Style(space.ACTIVATIONS.index(activation), 0.0)

  def ours(vector):
    rows = jnp.asarray(x.reshape(len(x), 32, 96))
    logits, _ = cnn.apply(shapes.layout(arch).split(vector), rows, style, arch,
                          MODE._replace(batch_statistics=True))
    return jax.nn.log_softmax(logits)[jnp.arange(len(x)), labels].sum()

  def theirs(vector):
    logits, _ = flax.apply(
        shapes.layout(arch).to_variables(vector), x, train=True,
        mutable=['batch_stats'])
    return jax.nn.log_softmax(logits)[jnp.arange(len(x)), labels].sum()

  with jax.enable_x64(True):
    vector = jnp.asarray(make_network(arch), jnp.float64)
    x = jnp.asarray(x, jnp.float64)
    got = np.array(jax.jit(jax.grad(ours))(vector))
    want = np.array(jax.jit(jax.grad(theirs))(vector))
  assert got.dtype == np.float64
  for s in shapes.layout(arch).spans:
    a, b = got[s.start:s.stop], want[s.start:s.stop]
    if s.layer.startswith('conv') and s.tensor == 'bias' and arch.batch_norm:
      # Batch norm takes it off: exactly 0 here, rounding noise there.
      assert (a == 0).all() and np.abs(b).max() < 1e-9
      continue
    assert np.linalg.norm(a - b) <= 1e-9 * np.linalg.norm(b), s


@pytest.mark.parametrize('name', space.ACTIVATIONS)
def test_activations_and_their_derivatives_are_those_of_flax(name):
  x = jnp.asarray(np.random.default_rng(0).normal(size=200, scale=3))
  index = space.ACTIVATIONS.index(name)
  got, pull = jax.vjp(lambda x: activations.activate(
      x, index, space.ACTIVATIONS), x)
  want, pull_want = jax.vjp(activations.ACTIVATIONS[name].flax, x)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(pull(x)[0], pull_want(x)[0], rtol=1e-4, atol=1e-5)
  order = np.argsort(x)
  assert (np.diff(np.asarray(got)[order]) >= 0).all()  # pooling comes first


def test_initialisers_have_their_moments():
  arch = published.Architecture(5, 3, 2, 8, 128)
  span = next(s for s in shapes.layout(arch).spans if s.layer == 'fc1')
  draws = [np.asarray(cnn.init(jax.random.key(1), n, arch))
           [span.start:span.stop] for n in range(4)]
  fans = 512 + 128
  edge = 2 * np.sqrt(2 / fans)
  assert (draws[0] == np.float32(0.1)).all()
  for draw, std in zip(draws[1:], (
      1, np.sqrt(2 / fans), 0.8796 * np.sqrt(2 / fans))):
    assert abs(draw.mean()) < 4 * std / np.sqrt(draw.size)
    assert abs(draw.std() / std - 1) < 0.02
  assert np.abs(draws[2]).max() <= np.sqrt(6 / fans)
  assert 0.99 * edge < np.abs(draws[3]).max() <= edge


@pytest.mark.parametrize('layer, fans', [
    ('conv1_1', 5 * 5 * (3 + 24)), ('conv3_1', 5 * 5 * (48 + 96)),
    ('output', 512 + 20)])
def test_fans_and_rules_are_those_of_section_4_in_every_layer(layer, fans):
  arch = published.Architecture(5, 3, 1, 24, 512)
  span = next(s for s in shapes.layout(arch).spans if s.layer == layer)
  assert span.tensor == 'kernel'
  for index, (std, most) in enumerate((
      (0, 0.1), (1, np.inf), (np.sqrt(2 / fans), np.sqrt(6 / fans)),
      (0.8796 * np.sqrt(2 / fans), 2 * np.sqrt(2 / fans)))):
    draw = np.asarray(cnn.init(jax.random.key(2), index, arch))[
        span.start:span.stop]
    assert np.abs(draw).max() <= most * (1 + 1e-6)
    if index == 0:
      assert (draw == np.float32(0.1)).all()
      continue
    assert len(np.unique(draw)) > 0.99 * len(draw)
    assert abs(draw.mean()) < 4 * std / np.sqrt(draw.size)
    assert abs(draw.std() / std - 1) < 4 / np.sqrt(2 * draw.size)


def test_scales_of_batch_norm_start_around_one():
  """Normal, mean 1, deviation 0.002 (section 5); others in the next test."""
  arch = published.Architecture(1, 3, 1, 128, 128)
  scale = np.asarray(cnn.init(jax.random.key(3), 2, arch))[
      shapes.layout(arch).mask('scale')]
  assert scale.size == 7 * 128 + 128
  assert abs(scale.mean() - 1) < 4 * 0.002 / np.sqrt(scale.size)
  assert abs(scale.std() / 0.002 - 1) < 4 / np.sqrt(2 * scale.size)
  inside = np.abs(scale - 1) < 0.002
  assert abs(inside.mean() - 0.683) < 0.06  # as a normal one


def test_other_tensors_start_as_published():
  vector = np.asarray(cnn.init(jax.random.key(1), 3, SMALL))
  for s in shapes.layout(SMALL).spans:
    part = vector[s.start:s.stop]
    if s.tensor in ('bias', 'offset', 'mean'):
      assert (part == 0).all()
    elif s.tensor == 'variance':
      assert (part == 1).all()
    elif s.tensor == 'scale':
      assert 0 < np.abs(part - 1).max() < 0.02


def test_a_narrow_net_is_a_part_of_a_wide_one():
  wide = published.Architecture(7, 5, 3, 8, 128)
  narrow = published.Architecture(3, 5, 2, 4, 64)
  key = jax.random.key(5)
  parts = {a: shapes.layout(a).split(np.asarray(cnn.init(key, 1, a)))
           for a in (wide, narrow)}
  for name in ('conv1_1', 'conv2_2'):
    big, small = (parts[a][name]['kernel'] for a in (wide, narrow))
    o, c = small.shape[:2]
    np.testing.assert_array_equal(big[:o, :c, 2:5, 2:5], small)
  assert len(np.unique(parts[narrow]['fc1']['kernel'])) > 16000


def test_a_network_in_an_envelope_is_itself_and_zeros():
  members = (published.Architecture(3, 4, 2, 3, 16),
             published.Architecture(7, 4, 1, 2, 32),
             published.Architecture(5, 4, 4, 1, 8))
  envelope, key = interface.envelop(members), jax.random.key(5)
  draw = jax.jit(lambda sizes, i: cnn.init(key, i, envelope, sizes))
  for arch in members:
    sizes = shapes.sizes(arch, envelope)
    places = shapes.places(arch, envelope)
    own_P = np.zeros(shapes.layout(envelope).num_weights, bool)
    own_P[places] = True
    np.testing.assert_array_equal(cnn.own_mask(envelope, sizes), own_P)
    for initialization in range(4):
      whole = np.asarray(draw(sizes, initialization))
      np.testing.assert_allclose(
          whole[places], cnn.init(key, initialization, arch), rtol=1e-6,
          atol=1e-7)
      assert (whole[~own_P] == 0).all()
