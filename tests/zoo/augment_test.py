"""The augmentation against its definition, pixel by pixel in NumPy."""

import colorsys
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax.zoo import augment, images


def make_images(n=3):
  rng = np.random.default_rng(0)
  x = rng.integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)
  x[0] = images.load('fashion_mnist').test_images[5]
  return x


def warp_by_hand(image, tx, ty, r, z, hx, hy):
  """Recipe, section 9: output (x, y) reads input (x', y'), 0 outside."""
  r, hx, hy = np.deg2rad([r, hx, hy])
  m1, m2 = z * np.cos(hx - r) / np.cos(hx), z * np.sin(hx - r) / np.cos(hx)
  m4, m5 = z * np.sin(hy + r) / np.cos(hy), z * np.cos(hy + r) / np.cos(hy)
  out = np.zeros((32, 32, 3))
  for y in range(32):
    for x in range(32):
      u = 16 + m1 * (x - 16 + tx) + m2 * (y - 16 + ty)
      v = 16 + m4 * (x - 16 + tx) + m5 * (y - 16 + ty)
      for column in (int(np.floor(u)), int(np.floor(u)) + 1):
        for row in (int(np.floor(v)), int(np.floor(v)) + 1):
          if 0 <= column < 32 and 0 <= row < 32:
            weight = (1 - abs(u - column)) * (1 - abs(v - row))
            out[y, x] += weight * image[row, column] / 255
  return out


def test_warp_is_the_published_one():
  draws = {'tx': [0.0, 2.3, -3.0], 'ty': [0.0, -1.1, 2.9],
           'r': [0.0, 14.0, -15.0], 'z': [1.0, 1.09, 0.91],
           'hx': [0.0, 3.0, -2.0], 'hy': [0.0, -2.5, 1.0]}
  x = make_images()
  got = augment._warp(
      jnp.asarray(x), **{k: jnp.asarray(v) for k, v in draws.items()})
  got = np.stack(got, -1).reshape(x.shape)
  for n in range(3):
    want = warp_by_hand(x[n], **{k: v[n] for k, v in draws.items()})
    np.testing.assert_allclose(got[n], want, atol=2e-4)
  np.testing.assert_allclose(got[0], x[0] / 255, atol=1e-6)  # all draws at rest


def test_hue_and_saturation_are_those_of_hsv():
  rng = np.random.default_rng(1)
  pixels = rng.random((200, 3))
  rgb = [jnp.asarray(c)[None] for c in pixels.T]
  turned = np.stack(augment._turn_hue(rgb, 0.07), -1)[0]
  muted = np.stack(augment._saturate(rgb, 0.6), -1)[0]
  for pixel, a, b in zip(pixels, turned, muted):
    h, s, v = colorsys.rgb_to_hsv(*pixel)
    np.testing.assert_allclose(
        a, colorsys.hsv_to_rgb((h + 0.07) % 1, s, v), atol=1e-5)
    np.testing.assert_allclose(
        b, colorsys.hsv_to_rgb(h, min(1, 0.6 * s), v), atol=1e-5)


def test_grey_pixels_keep_their_value_under_hue_and_saturation():
  grey = [jnp.asarray(np.linspace(-0.3, 1.4, 20))[None]] * 3
  for out in (augment._turn_hue(grey, 0.05), augment._saturate(grey, 1.4)):
    for c in out:
      np.testing.assert_allclose(c, grey[0], atol=1e-6)


def test_ranges_are_those_of_the_recipe():
  """The table of section 9, read as it stands there."""
  page = (pathlib.Path(__file__).parents[2] / 'docs' / 'recipe.md').read_text()
  table = page.split('\n## 9.')[1].split('\n## 10.')[0]
  wanted = []
  for n, (_, cell) in enumerate(re.findall(r'\| \d \| (.*) \| (.*) \|', table)):
    numbers = [float(x) for x in re.findall(r'[\d.]+', cell)]
    pair = (-numbers[0], numbers[0]) if '±' in cell else tuple(numbers)
    wanted += [pair] * (2 if n in (0, 3) else 1)  # tx, ty and hx, hy
  names = ('tx', 'ty', 'r', 'z', 'hx', 'hy', 'brightness', 'contrast', 'hue',
           'saturation', 'noise')
  assert augment._IMAGE + augment._BATCH == tuple(
      (name, *pair) for name, pair in zip(names, wanted, strict=True))


REST = {'tx': 0.0, 'ty': 0.0, 'r': 0.0, 'z': 1.0, 'hx': 0.0, 'hy': 0.0,
        'brightness': 0.0, 'contrast': 1.0, 'hue': 0.0, 'saturation': 1.0,
        'noise': 0.0}


@pytest.fixture
def augment_by(monkeypatch):
  """augment_by(images, draws): augmented [B, 32, 32, 3] by these draws.

  Those of rows 1 to 4 are one an image, the others one a batch.
  """
  def run(x, **draws):
    def draw(key, ranges, shape):
      per_image = ranges == augment._IMAGE
      assert shape == ((len(x),) if per_image else ())
      return {name: jnp.broadcast_to(jnp.asarray(
          draws.get(name, REST[name]), jnp.float32), shape)
              for name, _, _ in ranges}
    monkeypatch.setattr(augment, '_draw', draw)
    out = np.asarray(augment.augment(jax.random.key(3), jnp.asarray(x)))
    return out.reshape(x.shape)
  return run


def test_the_whole_is_the_published_operations_in_their_order(augment_by):
  x = make_images(2)
  draws = {'tx': [1.5, -2.0], 'ty': [0.5, 2.0], 'r': [10.0, -7.0],
           'z': [1.05, 0.95], 'hx': [2.0, -1.0], 'hy': [-2.5, 1.0]}
  # Contrast this low leaves all values in [0, 1], where HSV is defined.
  colour = {'brightness': 0.1, 'contrast': 0.6, 'hue': 0.07, 'saturation': 1.4}
  got = augment_by(x, **draws, **colour)
  for n in range(2):
    want = warp_by_hand(x[n], **{k: v[n] for k, v in draws.items()}) + 0.1
    mean = want.mean((0, 1))  # of this image, a channel each
    want = (want - mean) * 0.6 + mean
    assert 0 <= want.min() and want.max() <= 1
    for y, row in enumerate(want):
      for c, pixel in enumerate(row):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        want[y, c] = colorsys.hsv_to_rgb(
            (h + 0.07) % 1, min(1, 1.4 * s), v)
    np.testing.assert_allclose(got[n], want, atol=1e-3)


def test_values_are_clipped_at_the_end_and_not_in_between(augment_by):
  """Grey, which hue and saturation leave alone: 1.2 before contrast."""
  x = np.repeat(make_images(2)[1:, ..., :1], 3, axis=-1)
  assert x.max() == 255 and x.min() == 0
  for brightness, contrast in ((0.2, 0.5), (-0.2, 1.5), (0.2, 1.5)):
    plain = x / 255 + brightness
    want = (plain - plain.mean()) * contrast + plain.mean()
    got = augment_by(x, brightness=brightness, contrast=contrast)
    np.testing.assert_allclose(got, want.clip(0, 1), atol=1e-5)
    early = plain.clip(0, 1)
    early = (early - early.mean()) * contrast + early.mean()
    assert np.abs(got - early.clip(0, 1)).max() > 5e-3


def test_noise_is_of_every_pixel_and_channel(augment_by):
  x = np.full((4, 32, 32, 3), 128, np.uint8)
  noise = augment_by(x, noise=0.03) - augment_by(x)
  assert abs(noise.std() / 0.03 - 1) < 0.03 and abs(noise.mean()) < 1e-3
  series = noise.transpose(0, 3, 1, 2).reshape(12, -1)  # images x channels
  assert np.abs(np.corrcoef(series) - np.eye(12)).max() < 0.15
  last = np.quantile(noise / 0.03, (0.023, 0.159, 0.841, 0.977))
  np.testing.assert_allclose(last, (-2, -1, 1, 2), atol=0.1)  # Gaussian


def test_draws_lie_in_the_published_ranges():
  draws = augment._draw(jax.random.key(0), augment._IMAGE, (4000,))
  for name, low, high in augment._IMAGE:
    x = np.asarray(draws[name])
    assert low <= x.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < x.max() <= high


def test_augmented_images_differ_and_stay_in_range():
  x = np.repeat(make_images()[:1], 4, axis=0)
  out = np.asarray(jax.jit(augment.augment)(jax.random.key(2), x))
  assert out.shape == (4, 32, 96) and out.min() >= 0 and out.max() <= 1
  for n in range(3):
    assert np.abs(out[n] - out[n + 1]).max() > 0.1
  again = np.asarray(jax.jit(augment.augment)(jax.random.key(2), x))
  np.testing.assert_array_equal(out, again)
