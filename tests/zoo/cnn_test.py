import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax import space
from nws_jax.store import vectors
from nws_jax.zoo import cnn, module

SMALL = space.Architecture(3, 3, 2, 4, 64)
ARCHS = (SMALL, space.Architecture(5, 4, 3, 8, 64),
         space.Architecture(7, 5, 4, 4, 128),
         dataclasses.replace(SMALL, batch_norm=False))


def make_network(arch, seed=0, initialization=2):
  """A network whose every tensor is away from its start, as if trained."""
  vector = cnn.init(jax.random.key(seed), initialization, arch)
  noise = 0.1 * jax.random.uniform(
      jax.random.key(seed + 1), vector.shape, minval=-1)
  variance = np.zeros(vector.shape, bool)
  for s in vectors.spans(arch):
    variance[s.start:s.stop] = s.tensor == 'variance'
  return jnp.where(variance, vector + jnp.abs(noise), vector + noise)


def make_batch(b=6):
  rng = np.random.default_rng(3)
  return rng.random((b, 32, 32, 3), np.float32), rng.integers(0, 10, b)


PAIRS = pytest.mark.parametrize(
    'arch, activation', tuple(zip(ARCHS, space.ACTIVATIONS)) + tuple(
        (SMALL, a) for a in space.ACTIVATIONS[len(ARCHS):]),
    ids=lambda v: getattr(v, 'name', v))


@PAIRS
def test_same_as_the_flax_module(arch, activation):
  vector, (x, _) = make_network(arch), make_batch()
  flax = module.Cnn(arch, activation, dropout=0.0)
  style = cnn.Style(space.ACTIVATIONS.index(activation), 0.0)

  @jax.jit
  def ours(vector, x):
    rows = x.reshape(len(x), 32, 96)
    parts = vectors.split(vector, arch)
    by_running, none = cnn.apply(parts, rows, style, arch)
    assert not none
    by_batch, batch = cnn.apply(
        parts, rows, style, arch, batch_statistics=True)
    for name, new in cnn.update_running(parts, batch).items():
      parts[name] |= new
    new = vectors.join(parts, arch)
    return by_running, by_batch, vectors.to_variables(new, arch)

  @jax.jit
  def theirs(vector, x):
    variables = vectors.to_variables(vector, arch)
    by_batch, new = flax.apply(
        variables, x, train=True, mutable=['batch_stats'])
    return flax.apply(variables, x), by_batch, {
        'batch_stats': {}, **variables, **new}

  got, want = ours(vector, x), theirs(vector, x)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=1e-4, atol=1e-4), got, want)
  assert np.ptp(np.asarray(got[1]), axis=0).max() > 1e-2  # images differ


@PAIRS
def test_gradients_are_those_of_the_flax_module(arch, activation):
  x, labels = make_batch()
  flax = module.Cnn(arch, activation, dropout=0.0)
  style = cnn.Style(space.ACTIVATIONS.index(activation), 0.0)

  def ours(vector):
    rows = jnp.asarray(x.reshape(len(x), 32, 96))
    logits, _ = cnn.apply(vectors.split(vector, arch), rows, style, arch,
                          batch_statistics=True)
    return jax.nn.log_softmax(logits)[jnp.arange(len(x)), labels].sum()

  def theirs(vector):
    logits, _ = flax.apply(
        vectors.to_variables(vector, arch), x, train=True,
        mutable=['batch_stats'])
    return jax.nn.log_softmax(logits)[jnp.arange(len(x)), labels].sum()

  with jax.enable_x64(True):
    vector = jnp.asarray(make_network(arch), jnp.float64)
    x = jnp.asarray(x, jnp.float64)
    got = np.array(jax.jit(jax.grad(ours))(vector))
    want = np.array(jax.jit(jax.grad(theirs))(vector))
  assert got.dtype == np.float64
  for s in vectors.spans(arch):
    a, b = got[s.start:s.stop], want[s.start:s.stop]
    if s.layer.startswith('conv') and s.tensor == 'bias' and arch.batch_norm:
      # Batch norm takes it off: exactly 0 here, rounding noise there.
      assert (a == 0).all() and np.abs(b).max() < 1e-9
      continue
    assert np.linalg.norm(a - b) <= 1e-9 * np.linalg.norm(b), s


def test_initialisers_have_their_moments():
  arch = space.Architecture(5, 3, 2, 8, 128)
  span = next(s for s in vectors.spans(arch) if s.layer == 'fc1')
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


def test_other_tensors_start_as_published():
  vector = np.asarray(cnn.init(jax.random.key(1), 3, SMALL))
  for s in vectors.spans(SMALL):
    part = vector[s.start:s.stop]
    if s.tensor in ('bias', 'offset', 'mean'):
      assert (part == 0).all()
    elif s.tensor == 'variance':
      assert (part == 1).all()
    elif s.tensor == 'scale':
      assert 0 < np.abs(part - 1).max() < 0.02


def test_a_narrow_net_is_a_part_of_a_wide_one():
  wide = space.Architecture(7, 5, 3, 8, 128)
  narrow = space.Architecture(3, 5, 2, 4, 64)
  key = jax.random.key(5)
  parts = {a: vectors.split(np.asarray(cnn.init(key, 1, a)), a)
           for a in (wide, narrow)}
  for name in ('conv1_1', 'conv2_2'):
    big, small = (parts[a][name]['kernel'] for a in (wide, narrow))
    o, c = small.shape[:2]
    np.testing.assert_array_equal(big[:o, :c, 2:5, 2:5], small)
  assert len(np.unique(parts[narrow]['fc1']['kernel'])) > 16000


def test_a_network_in_an_envelope_is_itself_and_zeros():
  members = (space.Architecture(3, 4, 2, 3, 16),
             space.Architecture(7, 4, 1, 2, 32),
             space.Architecture(5, 4, 4, 1, 8))
  envelope, key = vectors.envelop(members), jax.random.key(5)
  for n, arch in enumerate(members):
    sizes = vectors.sizes(arch, envelope)
    for initialization in range(4):
      whole = np.asarray(jax.jit(
          lambda sizes, i: cnn.init(key, i, envelope, sizes))(
              sizes, initialization))
      alone = np.asarray(cnn.init(key, initialization, arch))
      places = vectors.places(arch, envelope)
      np.testing.assert_allclose(whole[places], alone, rtol=1e-6, atol=1e-7)
      own_P = np.zeros(len(whole), bool)
      own_P[places] = True
      assert (whole[~own_P] == 0).all()
      np.testing.assert_array_equal(cnn.own_mask(envelope, sizes), own_P)
