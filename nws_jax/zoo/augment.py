"""The published augmentation: one warp, colour, noise (recipe, section 9).

Shift, rotation, zoom and shear are drawn an image; brightness, contrast, hue,
saturation and the deviation of the noise are drawn a batch.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Low and high of every uniform draw; angles in degrees.
_IMAGE = (('tx', -3, 3), ('ty', -3, 3), ('r', -15, 15), ('z', 0.901, 1.099),
          ('hx', -3, 3), ('hy', -3, 3))
_BATCH = (('brightness', -0.2, 0.2), ('contrast', 0.5, 1.5),
          ('hue', -0.08, 0.08), ('saturation', 0.3, 1.5), ('noise', 0, 0.03))


def scale(images_BxHxWxC, dtype=jnp.float32):
  """uint8 images as the network takes them: [B, H, W*C] in [0, 1]."""
  b, h, w, c = images_BxHxWxC.shape
  return images_BxHxWxC.reshape(b, h, w * c).astype(dtype) / 255


def augment(key, images_BxHxWxC, dtype=jnp.float32):
  """uint8 images -> augmented [B, H, W*C] in [0, 1]. `key` is consumed."""
  b = images_BxHxWxC.shape[0]
  image_key, batch_key, noise_key = jax.random.split(key, 3)
  warp = _draw(image_key, _IMAGE, (b,))
  colour = _draw(batch_key, _BATCH, ())
  channels = _warp(images_BxHxWxC, **warp)
  x = _interleave(_recolour(channels, colour), images_BxHxWxC.shape[1])
  noise = jax.random.normal(noise_key, x.shape, jnp.float32)
  return jnp.clip(x + colour['noise'] * noise, 0, 1).astype(dtype)


def _interleave(channels: list[jax.Array], size: int) -> jax.Array:
  """Three [B, H*W] of square images -> [B, H, W*C], by a dot with ones and
  zeros.

  A transposition would be fused with all that comes before it, at twice the
  time of the whole augmentation.
  """
  rows = jnp.concatenate(
      [c.reshape(-1, size, size) for c in channels], axis=-1)
  place = np.arange(3 * size)
  matrix = np.zeros((3 * size, 3 * size), np.float32)
  matrix[place, place % size * 3 + place // size] = 1
  return jax.lax.dot_general(
      rows, jnp.asarray(matrix), (((2,), (0,)), ((), ())),
      precision=jax.lax.Precision.HIGHEST)


def _draw(key, ranges, shape):
  u = jax.random.uniform(key, (len(ranges),) + shape)
  return {name: low + (high - low) * u_
          for (name, low, high), u_ in zip(ranges, u)}


def _warp(images, tx, ty, r, z, hx, hy):
  """Bilinear, every neighbour outside the image is 0: three of [B, H*W]."""
  r, hx, hy = (jnp.deg2rad(a)[:, None] for a in (r, hx, hy))
  z, size = z[:, None], images.shape[1]
  centre = size // 2  # the published one: 16 of 32, not 15.5
  pixel = jnp.arange(size * size)
  x = (pixel % size - centre)[None] + tx[:, None]
  y = (pixel // size - centre)[None] + ty[:, None]
  u = centre + z / jnp.cos(hx) * (jnp.cos(hx - r) * x + jnp.sin(hx - r) * y)
  v = centre + z / jnp.cos(hy) * (jnp.sin(hy + r) * x + jnp.cos(hy + r) * y)
  u0, v0 = jnp.floor(u), jnp.floor(v)
  right, down = u - u0, v - v0
  corners = _fetch(images, *(jnp.clip(x, -2, size).astype(jnp.int32)
                             for x in (u0, v0)))
  weights = [a * b / 255 for a in (1 - right, right) for b in (1 - down, down)]
  return [sum(w * (x >> 8 * c & 255).astype(jnp.float32)
              for w, x in zip(weights, corners)) for c in range(3)]


def _fetch(images, column, row):
  """The pixels at (column, row), and below, right of, and across from it.

  Their bytes are packed into words [4, B, H*W]. Two columns and rows of zeros
  stand for all that is outside.
  """
  width = images.shape[1] + 4
  word = jnp.pad(images.astype(jnp.uint32), ((0, 0), (2, 2), (2, 2), (0, 0)))
  word = word[..., 0] | word[..., 1] << 8 | word[..., 2] << 16
  word, first = word.reshape(images.shape[0], -1), (
      (row + 2) * width + column + 2)
  # In a loop: fused with what comes after, each of its values would be fetched
  # again for every use, at ten times the time of the whole augmentation.
  return jax.lax.map(
      lambda step: jnp.take_along_axis(
          word, first + step, axis=1, mode='promise_in_bounds'),
      jnp.array([0, width, 1, width + 1]))


def _recolour(channels, colour):
  """Brightness, contrast, hue, saturation; no clipping in between."""
  means = [c.mean(axis=1, keepdims=True) + colour['brightness']
           for c in channels]
  rgb = [(c + colour['brightness'] - m) * colour['contrast'] + m
         for c, m in zip(channels, means)]
  return _saturate(_turn_hue(rgb, colour['hue']), colour['saturation'])


def _turn_hue(rgb, delta):
  """Turns the hue by `delta` of the circle; least and greatest value stay."""
  high, spread = _extent(rgb)
  r, g, b = rgb
  safe = jnp.where(spread > 0, spread, 1)
  sixth = jnp.where(high == r, (g - b) / safe, jnp.where(
      high == g, 2 + (b - r) / safe, 4 + (r - g) / safe)) + 6 * delta
  result = []
  for n in (5, 3, 1):
    k = n + sixth
    k -= 6 * jnp.floor(k / 6)  # a remainder is a library call
    result.append(high - spread * jnp.clip(jnp.minimum(k, 4 - k), 0, 1))
  return result


def _saturate(rgb, factor):
  """Multiplies the saturation of HSV, bounded to [0, 1]; hue and value stay."""
  high, spread = _extent(rgb)
  s = jnp.where(high > 0, spread / jnp.where(high > 0, high, 1), 0)
  ratio = jnp.where(
      s > 0, jnp.clip(s * factor, 0, 1) / jnp.where(s > 0, s, 1), 0)
  return [high - (high - c) * ratio for c in rgb]


def _extent(rgb):
  """(greatest value, greatest minus least) of every pixel."""
  low = jnp.minimum(jnp.minimum(*rgb[:2]), rgb[2])
  high = jnp.maximum(jnp.maximum(*rgb[:2]), rgb[2])
  return high, high - low
