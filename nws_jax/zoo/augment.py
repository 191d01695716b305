"""The published augmentation: a warp, colours and noise (recipe, section 9).

Shift, rotation, zoom and shear are drawn for each image. Brightness, contrast,
hue, saturation and the standard deviation of the noise are drawn for each
batch. A `Channels` is a list of red, green and blue, each [B, H*W].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

Channels = list[jax.Array]


class _Uniform(NamedTuple):
  """A uniform draw."""
  name: str
  low: float
  high: float


# Shifts in pixels, angles in degrees: shift, rotation, zoom and shear.
_IMAGE = (_Uniform('tx', -3, 3), _Uniform('ty', -3, 3), _Uniform('r', -15, 15),
          _Uniform('z', 0.901, 1.099), _Uniform('hx', -3, 3),
          _Uniform('hy', -3, 3))
_BATCH = (_Uniform('brightness', -0.2, 0.2), _Uniform('contrast', 0.5, 1.5),
          _Uniform('hue', -0.08, 0.08), _Uniform('saturation', 0.3, 1.5),
          _Uniform('noise', 0, 0.03))


def scale(images_BxHxWxC: jax.Array, dtype: DTypeLike = jnp.float32
          ) -> jax.Array:
  """Scales uint8 images for a network: [B, H, W*C] in [0, 1]."""
  b, h, w, c = images_BxHxWxC.shape
  return images_BxHxWxC.reshape(b, h, w * c).astype(dtype) / 255


def augment(key: jax.Array, images_BxHxWxC: jax.Array,
            dtype: DTypeLike = jnp.float32) -> jax.Array:
  """Augments uint8 images: [B, H, W*C] in [0, 1]. `key` is consumed."""
  b = images_BxHxWxC.shape[0]
  image_key, batch_key, noise_key = jax.random.split(key, 3)
  warp = _draw(image_key, _IMAGE, (b,))
  colour = _draw(batch_key, _BATCH, ())
  channels = _warp(images_BxHxWxC, **warp)
  x = _interleave(_recolour(channels, colour), images_BxHxWxC.shape[1])
  noise = jax.random.normal(noise_key, x.shape, jnp.float32)
  return jnp.clip(x + colour['noise'] * noise, 0, 1).astype(dtype)


def _interleave(channels: Channels, size: int) -> jax.Array:
  """Channels of square images -> [B, H, W*C].

  It is a dot with a matrix of zeros and ones. XLA would fuse a transposition
  with everything before it, and the augmentation would take twice as long.
  """
  rows = jnp.concatenate(
      [c.reshape(-1, size, size) for c in channels], axis=-1)
  place = np.arange(3 * size)
  matrix = np.zeros((3 * size, 3 * size), np.float32)
  matrix[place, place % size * 3 + place // size] = 1
  return jax.lax.dot_general(
      rows, jnp.asarray(matrix), (((2,), (0,)), ((), ())),
      precision=jax.lax.Precision.HIGHEST)


def _draw(key: jax.Array, ranges: tuple[_Uniform, ...], shape: tuple[int, ...]
          ) -> dict[str, jax.Array]:
  u = jax.random.uniform(key, (len(ranges),) + shape)
  return {name: low + (high - low) * u_
          for (name, low, high), u_ in zip(ranges, u)}


def _warp(images: jax.Array, tx: jax.Array, ty: jax.Array, r: jax.Array,
          z: jax.Array, hx: jax.Array, hy: jax.Array) -> Channels:
  """Warps with bilinear interpolation; pixels outside the image are 0.

  Args:
    images: uint8 [B, H, H, 3].
    tx, ty: shifts [B], in pixels.
    r: rotations [B], in degrees.
    z: zoom factors [B].
    hx, hy: shears [B], in degrees.

  Returns:
    The channels, in [0, 1].
  """
  r, hx, hy = (jnp.deg2rad(a)[:, None] for a in (r, hx, hy))
  z, size = z[:, None], images.shape[1]
  centre = size // 2  # as published: 16 of 32, not 15.5
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


def _fetch(images: jax.Array, column: jax.Array, row: jax.Array) -> jax.Array:
  """Fetches the pixels at (column, row), below, to the right, and diagonally.

  Args:
    images: uint8 [B, H, H, 3].
    column: int32 [B, H*W], from -2 to H.
    row: likewise.

  Returns:
    uint32 [4, B, H*W], the three bytes of each pixel in one word.
  """
  # Two columns and rows of zeros on each side stand for everything outside.
  width = images.shape[1] + 4
  word = jnp.pad(images.astype(jnp.uint32), ((0, 0), (2, 2), (2, 2), (0, 0)))
  word = word[..., 0] | word[..., 1] << 8 | word[..., 2] << 16
  word, first = word.reshape(images.shape[0], -1), (
      (row + 2) * width + column + 2)
  # The loop prevents fusion with what comes after. Otherwise XLA would fetch
  # each value again for every use, and the augmentation would take ten times as
  # long.
  return jax.lax.map(
      lambda step: jnp.take_along_axis(
          word, first + step, axis=1, mode='promise_in_bounds'),
      jnp.array([0, width, 1, width + 1]))


def _recolour(channels: Channels, colour: dict[str, jax.Array]) -> Channels:
  """Changes brightness, contrast, hue and saturation, in this order.

  Nothing is clipped in between.
  """
  means = [c.mean(axis=1, keepdims=True) + colour['brightness']
           for c in channels]
  rgb = [(c + colour['brightness'] - m) * colour['contrast'] + m
         for c, m in zip(channels, means)]
  return _saturate(_turn_hue(rgb, colour['hue']), colour['saturation'])


def _turn_hue(rgb: Channels, delta: jax.Array) -> Channels:
  """Turns the hue by a fraction of the circle; the extremes stay the same."""
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


def _saturate(rgb: Channels, factor: jax.Array) -> Channels:
  """Multiplies the saturation of HSV, which is clipped to [0, 1]."""
  high, spread = _extent(rgb)
  s = jnp.where(high > 0, spread / jnp.where(high > 0, high, 1), 0)
  ratio = jnp.where(
      s > 0, jnp.clip(s * factor, 0, 1) / jnp.where(s > 0, s, 1), 0)
  return [high - (high - c) * ratio for c in rgb]


def _extent(rgb: Channels) -> tuple[jax.Array, jax.Array]:
  """(greatest value, greatest minus least value) of every pixel."""
  low = jnp.minimum(jnp.minimum(*rgb[:2]), rgb[2])
  high = jnp.maximum(jnp.maximum(*rgb[:2]), rgb[2])
  return high, high - low
