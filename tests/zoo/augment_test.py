"""The augmentation against its definition, pixel by pixel in NumPy."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np

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
