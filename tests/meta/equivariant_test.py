"""The equivariant network against permutations written out by hand."""

import functools

import jax
import numpy as np
import pytest

from nws_jax import errors, published
from nws_jax.meta.classifiers import equivariant, table
from nws_jax.meta.data import layouts

ARCH = published.Architecture(3, 3, 2, 2, 8, True)


def _tensors(arch=ARCH):
  return tuple(layouts.Tensor(*s[:5]) for s in published.layout(arch).spans)


def _permute(vector_P, rng):
  """The same network with its hidden neurons renumbered, layer by layer."""
  parts = {layer: dict(tensors) for layer, tensors
           in published.layout(ARCH).split(vector_P).items()}
  names = list(parts)
  for here, there in zip(names, names[1:]):
    order = rng.permutation(len(parts[here]['bias']))
    for tensor, values in parts[here].items():
      parts[here][tensor] = values[order]  # kernels are [out][in]...
    kernel = parts[there]['kernel']
    if kernel.ndim == 4:
      parts[there]['kernel'] = kernel[:, order]
    elif here.startswith('conv'):  # behind the flatten: (h, w, c)
      n = len(order)
      columns = [position * n + c for position in range(16) for c in order]
      parts[there]['kernel'] = kernel[:, columns]
    else:
      parts[there]['kernel'] = kernel[:, order]
  return published.layout(ARCH).join(parts)


@functools.cache
def _apply():
  layers = equivariant.plan(_tensors())
  rng = np.random.default_rng(0)
  vectors_NxP = rng.normal(size=(6, published.layout(ARCH).num_weights)).astype(
      np.float32) * np.exp(rng.normal(size=(6, 1))).astype(np.float32)
  pair = table.CLASSIFIERS['equivariant'].make_model(
      3, equivariant.Shape(published.layout(ARCH).num_weights, layers))

  @jax.jit
  def see(vectors_NxP):
    whole = equivariant.describe(vectors_NxP[:, None], layers)
    return jax.tree.map(lambda x: x[:, 0], whole)

  variables = jax.jit(pair.init)(jax.random.key(1), see(vectors_NxP))
  apply = jax.jit(lambda x: pair.apply(variables, x, None)[0])
  return vectors_NxP, lambda x: np.asarray(apply(see(x)))


def test_the_output_is_blind_to_the_order_of_neurons():
  vectors_NxP, apply = _apply()
  before = apply(vectors_NxP)
  for seed in range(3):
    rng = np.random.default_rng(seed)
    moved = np.stack([_permute(v, rng) for v in vectors_NxP])
    assert np.abs(moved - vectors_NxP).max() > 0.1
    np.testing.assert_allclose(apply(moved), before, atol=1e-5)
  assert np.ptp(before, axis=0).min() > 1e-3  # networks differ


def test_the_permuted_network_does_the_same():
  """The permutation of these tests is one that no function notices."""
  from nws_jax.zoo.families.cnn import network as cnn
  rng = np.random.default_rng(0)
  vector_P = np.asarray(cnn.init(jax.random.key(0), 3, ARCH))
  images = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
  np.testing.assert_allclose(
      cnn.predict(ARCH, 'elu', _permute(vector_P, rng), images),
      cnn.predict(ARCH, 'elu', vector_P, images), atol=1e-4)


@pytest.mark.parametrize('break_it', ['bias', 'flatten', 'outputs'])
def test_other_orders_are_noticed(break_it):
  vectors_NxP, apply = _apply()
  moved = vectors_NxP.copy()
  spans = {(s.layer, s.tensor): s for s in published.layout(ARCH).spans}
  if break_it == 'flatten':  # positions are not neurons
    s = spans['fc1', 'kernel']
    kernel = moved[:, s.start:s.stop].reshape(-1, s.shape[1], 16, 8)
    moved[:, s.start:s.stop] = kernel[:, :, ::-1].reshape(len(moved), -1)
  else:
    s = spans[('fc1', 'bias') if break_it == 'bias' else ('output', 'bias')]
    moved[:, s.start:s.stop] = moved[:, s.start:s.stop][:, ::-1]
  assert np.abs(apply(moved) - apply(vectors_NxP)).max() > 1e-4


def test_layers_that_do_not_follow_are_refused():
  tensors = list(_tensors())
  with pytest.raises(errors.Wrong, match='no multiple'):
    equivariant.plan([t._replace(shape=(7, 8)) if t.layer == 'fc1'
                      and t.tensor == 'kernel' else t for t in tensors])
  with pytest.raises(errors.Wrong, match='needs a kernel'):
    equivariant.plan([t for t in tensors
                      if (t.layer, t.tensor) != ('fc2', 'kernel')])
