"""SAME convolution as plain dots, so that `vmap` over networks stays a dot.

A convolution mapped over networks with its filters becomes a grouped
convolution, which every backend runs badly. Here an image row is a row of W*C
numbers, cut into tiles of t columns. A banded matrix (width-tiled Toeplitz)
takes the k rows and t + k - 1 columns above a tile to its t output columns:

  expand(filter)[(d, p, c), (j, o)] = filter[o, c, d, p - j]   if 0 <= p - j < k
  out[b, i, n, (j, o)] = sum over (d, p, c) of
      padded[b, i + d, n*t + p, c] * expand(filter)[(d, p, c), (j, o)]

t = 1 is im2col, t = W the row-Toeplitz form. Larger t copies less and
multiplies more. Gradients are spelled out: the one for the image is the same
convolution with the filter turned round, the one for the filter is a dot folded
back along the band.

Letters here: k filter size, t tile, n tiles in a row, O output channels.
"""

import functools

import jax
import jax.numpy as jnp


def tile(width):
  """Columns a tile: the one place where a layer's form is decided.

  4 was the fastest of 4, 8, 16 and the whole row in every layer of the smallest
  net on CPU. The net's rows are 32, 16 and 8 wide.
  """
  return min(width, 4)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv(x_BxHxWC, filter_OxCxkxk, t, halves):
  """SAME, stride-1 cross-correlation.

  Args:
    x_BxHxWC: images, each row W*C numbers, channels fastest.
    filter_OxCxkxk: k odd.
    t: columns a tile; divides W, and even if `halves`.
    halves: whether the columns of a tile come out as evens, then odds, which
      makes the pooling that follows a maximum of two contiguous halves.

  Returns:
    [B, H, W*O]; with `halves` the columns of each tile are in that order.
  """
  return _forward(x_BxHxWC, filter_OxCxkxk, t, halves)


def _conv_fwd(x, w, t, halves):
  return _forward(x, w, t, halves), (x, w)


def _conv_bwd(t, halves, residuals, dy_BxHxWO):
  x, w = residuals
  k, out = w.shape[-1], w.shape[0]
  patches = _patches(x, k, w.shape[1], t)
  rows = dy_BxHxWO.reshape(-1, t * out)
  dt = _dot(patches.reshape(-1, patches.shape[-1]), rows, 0, 0)
  expand = functools.partial(_expand, t=t, halves=halves)
  dw, = jax.linear_transpose(expand, w)(dt)
  if halves:
    dy_BxHxWO = _interleave(dy_BxHxWO, t, out)
  turned = w[:, :, ::-1, ::-1].swapaxes(0, 1)
  return _forward(dy_BxHxWO, turned, t, False), dw


conv.defvjp(_conv_fwd, _conv_bwd)


def _forward(x, w, t, halves):
  b, h, _ = x.shape
  patches = _patches(x, w.shape[-1], w.shape[1], t)
  y = _dot(patches.reshape(-1, patches.shape[-1]), _expand(w, t, halves), 1, 0)
  return y.reshape(b, h, -1)


def _dot(a, b, axis_a, axis_b):
  return jax.lax.dot_general(
      a, b, (((axis_a,), (axis_b,)), ((), ())),
      preferred_element_type=a.dtype)


def _patches(x, k, channels, t):
  """[B, H, W*C] -> [B, H, n, k*(t + k - 1)*C]: what each tile looks at."""
  h, r, c = x.shape[1], k // 2, channels
  x = jnp.pad(x, ((0, 0), (r, r), (r * c, r * c)))
  width = x.shape[2] // c - 2 * r
  columns = jnp.stack(
      [x[:, :, n * c:(n + t + k - 1) * c] for n in range(0, width, t)], axis=2)
  return jnp.concatenate([columns[:, d:d + h] for d in range(k)], axis=-1)


def _expand(w, t, halves):
  """Filter [O, C, k, k] -> banded matrix [k*(t + k - 1)*C, t*O]."""
  w = w.transpose(2, 3, 1, 0)  # k, k, C, O
  order = (*range(0, t, 2), *range(1, t, 2)) if halves else range(t)
  band = jnp.stack(
      [jnp.pad(w, ((0, 0), (j, t - 1 - j), (0, 0), (0, 0))) for j in order],
      axis=3)
  return band.reshape(-1, t * w.shape[-1])


def _interleave(y, t, out):
  """Evens-then-odds columns back to their natural order."""
  b, h, _ = y.shape
  return y.reshape(b, h, -1, 2, t // 2, out).swapaxes(3, 4).reshape(b, h, -1)


def max_pool(y_BxHxWO, t, out):
  """2 x 2, stride 2, of a convolution's output in `halves` order."""
  b, h, width = y_BxHxWO.shape
  y = y_BxHxWO.reshape(b, h // 2, 2, width)
  y = jnp.maximum(y[:, :, 0], y[:, :, 1])
  y = y.reshape(b, h // 2, -1, 2, t // 2 * out)
  y = jnp.maximum(y[:, :, :, 0], y[:, :, :, 1])
  return y.reshape(b, h // 2, width // 2)
