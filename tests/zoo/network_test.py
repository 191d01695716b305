"""The network of docs/recipe.md, section 3, written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax import published, space
from nws_jax.zoo.families import interface, layers
from nws_jax.zoo.families.cnn import conv, shapes
from nws_jax.zoo.families.cnn import network as cnn

BLOCKS = {3: (1, 1, 1), 4: (1, 1, 2), 5: (1, 2, 2)}
ACTIVATIONS = {
    'relu': lambda x: np.maximum(x, 0),
    'elu': lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    'sigmoid': lambda x: 1 / (1 + np.exp(-x)), 'tanh': np.tanh}


class Reader:
  """Takes tensors from a vector, one after another (section 11)."""

  def __init__(self, vector):
    self.vector, self.at = vector, 0

  def take(self, *shape):
    first, self.at = self.at, self.at + int(np.prod(shape))
    return self.vector[first:self.at].reshape(shape)


def normalize(reader, x, batch, log):
  """Section 5: beta, gamma, moving mean, moving variance; biased variance."""
  beta, gamma, mean, variance = (reader.take(x.shape[-1]) for _ in range(4))
  if batch:
    new = x.mean(tuple(range(x.ndim - 1))), x.var(tuple(range(x.ndim - 1)))
    log += [0.9 * mean + 0.1 * new[0], 0.9 * variance + 0.1 * new[1]]
    mean, variance = new
  return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def correlate(x, kernel_OxCxkxk):
  k = kernel_OxCxkxk.shape[-1]
  r, (_, h, w, _) = k // 2, x.shape
  padded = np.pad(x, ((0, 0), (r, r), (r, r), (0, 0)))
  return sum(padded[:, i:i + h, j:j + w] @ kernel_OxCxkxk[:, :, i, j].T
             for i in range(k) for j in range(k))


def run(arch, activation, vector, x, batch, masks=None):
  """(logits, new running statistics, inputs of dropout)."""
  act, reader, log, dropped = ACTIVATIONS[activation], Reader(vector), [], []
  for width, count in zip((1, 2, 4), BLOCKS[arch.depth_conv]):
    out, k = width * arch.width_conv, arch.filter_size
    for _ in range(count):
      x = correlate(x, reader.take(out, x.shape[-1], k, k)) + reader.take(out)
      x = act(normalize(reader, x, batch, log))
    x = np.max([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0)
  x = x.reshape(len(x), -1)
  for n in range(arch.depth_fc):
    out = arch.width_fc // 2 ** n
    x = act(x @ reader.take(out, x.shape[-1]).T + reader.take(out))
    x = normalize(reader, x, batch, log)
    if masks is not None:
      dropped.append(x)
      x = np.where(masks[n], x / 0.5, 0)
  x = x @ reader.take(20, x.shape[-1]).T + reader.take(20)
  assert reader.at == len(vector)
  return x, log, dropped


MODE = interface.Mode(space.ACTIVATIONS, conv.Form())


@pytest.mark.parametrize('arch', (
    published.Architecture(3, 4, 2, 2, 16),
    published.Architecture(5, 5, 3, 1, 16)),
                         ids=lambda arch: arch.name)
def test_the_network_is_that_of_sections_3_and_5(monkeypatch, arch):
  rng = np.random.default_rng(0)
  vector = 0.3 * rng.standard_normal(shapes.layout(arch).num_weights)
  variance_P = shapes.layout(arch).mask('variance')
  vector = np.where(variance_P, 0.5 + np.abs(vector), vector)
  x = rng.random((4, 32, 32, 3))
  seen, real = [], layers.dropout

  def dropout(key, y, rate):
    out = real(key, y, rate)
    seen.append((y, out != 0))
    return out

  monkeypatch.setattr(layers, 'dropout', dropout)

  @jax.jit
  def ours(vector, x, activation):
    parts = shapes.layout(arch).split(vector)
    rows, style = x.reshape(4, 32, 96), cnn.Style(activation, 0.5)
    plain, none = cnn.apply(parts, rows, style, arch, MODE)
    assert not none and not seen  # neither where it is not asked for
    trained, batch = cnn.apply(parts, rows, style, arch, MODE._replace(
        dropout_key=jax.random.key(0), batch_statistics=True))
    moved = layers.update_running(parts, batch)
    return plain, trained, [
        (moved[layer.name]['mean'], moved[layer.name]['variance'])
        for layer in shapes.layers(arch)[:-1]], list(zip(*seen))

  for n, activation in enumerate(ACTIVATIONS):
    with jax.enable_x64(True):
      plain, trained, moved, (inputs, masks) = jax.device_get(
          ours(vector, x, n))
    want, *_ = run(arch, activation, vector, x, False)
    np.testing.assert_allclose(plain, want, rtol=1e-9, atol=1e-9)
    want, log, dropped = run(arch, activation, vector, x, True, masks)
    np.testing.assert_allclose(trained, want, rtol=1e-7, atol=1e-7)
    for a, b in zip(inputs, dropped, strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7)
    for a, b in zip(sum(moved, ()), log, strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    assert np.abs(trained - plain).max() > 1e-2


def test_dropout_keeps_its_share_and_scales_it():
  x = jnp.full((200, 64), 3.0)
  for rate in (0.5, 0.1):
    out = np.asarray(layers.dropout(jax.random.key(1), x, rate))
    kept = out != 0
    np.testing.assert_allclose(out[kept], 3 / (1 - rate), rtol=1e-6)
    assert abs(kept.mean() - (1 - rate)) < 5 * 0.5 / np.sqrt(x.size)
    # Every unit of every image has a draw of its own.
    assert len(np.unique(kept, axis=0)) == 200
    assert len(np.unique(kept, axis=1).T) == 64
