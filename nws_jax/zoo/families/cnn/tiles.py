"""Convolution as matrix products: two forms, each made of linear steps.

An image row is a row of W*C numbers, cut into tiles of t columns. The outputs
of a tile depend on its inputs, k rows of t + k - 1 columns:

  inputs   images -> the inputs of each tile in one row [p, B, H, n, F]
  rows     each row with its k - 1 neighbours           [p, B, H, n, k*F]
  filters  filter -> one matrix for each of p points    [p, k*F, N]
  outputs  their dots [p, B, H, n, N] -> the tile's outputs [B, H, n, t*O]

Banded (width-tiled Toeplitz): one point. The matrix holds the filter shifted
to every column of the tile, F = (t + k - 1)*C and N = t*O. With t = 1 this is
im2col, with t = W the row-Toeplitz form. A larger t copies less and multiplies
more. A tile that is a whole row has that row alone as its inputs, F = W*C,
without the padding at its ends.

Toom-Cook, along rows (`nws_jax.toom_cook`): t + k - 1 points, F = C and N = O.
It takes t + k - 1 products instead of t*k, at the price of sums before and
after. Rounding errors stay within about 1e-6 of the largest value, ten times
those of the banded form.

Letters here: k filter size, t columns of a tile, n tiles in a row, p points.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import toom_cook


class Tiling(NamedTuple):
  """How rows are cut into tiles; static and hashable."""
  k: int  # filter size
  t: int  # columns of a tile
  toom_cook: bool = False
  halves: bool = False  # output: even columns of a tile, then odd ones
  whole: bool = False  # banded, and a tile is a whole row

  @property
  def order(self) -> tuple[int, ...]:
    """The columns of a tile in the order of the output.

    With `halves`, pooling is a maximum of two contiguous halves.
    """
    n = range(self.t)
    return (*n[::2], *n[1::2]) if self.halves else tuple(n)


def look(x_BxHxWC: jax.Array, channels: int, tiling: Tiling) -> jax.Array:
  """The inputs of every tile in its middle row: [p, B, H, n, F]."""
  if tiling.whole:
    return x_BxHxWC[None, :, :, None]
  k, t, c = tiling.k, tiling.t, channels
  r, n = k // 2, x_BxHxWC.shape[2] // (t * channels)
  if not tiling.toom_cook:
    x = jnp.pad(x_BxHxWC, ((0, 0), (0, 0), (r * c, r * c)))
    return jnp.stack(
        [x[:, :, i * t * c:((i + 1) * t + k - 1) * c] for i in range(n)],
        axis=2)[None]
  rest = -(k - 1) % t + r  # fills up the last tile
  x = jnp.pad(x_BxHxWC, ((0, 0), (0, 0), (r * c, rest * c)))
  x = x.reshape(*x.shape[:2], -1, t, c)
  columns = [x[:, :, i // t:i // t + n, i % t] for i in range(t + k - 1)]
  return jnp.stack(toom_cook.mix(_find_matrices(tiling).inputs_pxp, columns))


def unlook(gradient_pxBxHxnxF: jax.Array, channels: int, tiling: Tiling
           ) -> jax.Array:
  """Transpose of `look`: [B, H, W*C]."""
  p, b, h, n, _ = gradient_pxBxHxnxF.shape
  e = gradient_pxBxHxnxF[0]
  if tiling.whole:
    return e[:, :, 0]
  if tiling.toom_cook:
    e = jnp.concatenate(
        toom_cook.mix(_find_matrices(tiling).inputs_pxp.T,
                      list(gradient_pxBxHxnxF)), -1)
  # Neighbouring tiles share columns, whose gradients are summed.
  reach = -(-(tiling.k // 2) // tiling.t)  # tiles to the left, and to the right
  edge = (reach * tiling.t - tiling.k // 2) * channels
  e = jnp.pad(e, ((0, 0), (0, 0), (0, 0), (edge, edge)))
  e = e.reshape(b, h, n, 2 * reach + 1, tiling.t * channels)
  shifted = [
      jnp.pad(e[:, :, max(0, a):n + min(0, a), reach - a],
              ((0, 0), (0, 0), (max(0, -a), max(0, a)), (0, 0)))
      for a in range(-reach, reach + 1) if abs(a) < n]
  return sum(shifted, jnp.zeros((), e.dtype)).reshape(b, h, -1)


def expand(filter_OxCxkxk: jax.Array, tiling: Tiling) -> jax.Array:
  """The matrices of a filter: [p, k*F, N]."""
  w = filter_OxCxkxk.transpose(2, 3, 1, 0)  # k, k, C, O
  if tiling.toom_cook:
    taps = jnp.asarray(_find_matrices(tiling).taps_pxk, w.dtype)
    w = jnp.einsum('pe,deco->pdco', taps, w, precision='highest')
    return w.reshape(w.shape[0], -1, w.shape[-1])
  t = tiling.t
  band = jnp.stack(
      [jnp.pad(w, ((0, 0), (j, t - 1 - j), (0, 0), (0, 0)))
       for j in tiling.order], axis=3)
  if tiling.whole:
    band = band[:, tiling.k // 2:][:, :t]
  return band.reshape(1, -1, t * w.shape[-1])


def turn(bank_pxFxN: jax.Array, tiling: Tiling) -> jax.Array:
  """The matrices of the gradient [p, k*N, F], from those of `expand`.

  They lead from k rows of a tile's outputs back to its inputs in the middle
  row.
  """
  p, _, n = bank_pxFxN.shape
  rows = bank_pxFxN.reshape(p, tiling.k, -1, n)[:, ::-1]
  return rows.swapaxes(2, 3).reshape(p, tiling.k * n, -1)


def join(dots_pxBxHxnxN: jax.Array, tiling: Tiling) -> jax.Array:
  """The outputs of every tile [B, H, n, t*O], from their dots."""
  if not tiling.toom_cook:
    return dots_pxBxHxnxN[0]
  return jnp.concatenate(
      toom_cook.mix(_find_outputs(tiling), list(dots_pxBxHxnxN)), -1)


def unjoin(dy_BxHxnxtO: jax.Array, tiling: Tiling) -> jax.Array:
  """Transpose of `join`: [p, B, H, n, N]."""
  if not tiling.toom_cook:
    return dy_BxHxnxtO[None]
  return jnp.stack(toom_cook.mix(
      _find_outputs(tiling).T, jnp.split(dy_BxHxnxtO, tiling.t, -1)))


def stack_rows(x_pxBxHxnxF: jax.Array, k: int, skew: bool = False
               ) -> jax.Array:
  """Every row with its k - 1 neighbours: [p, B, H, n, k*F].

  With `skew` this is index arithmetic, which loads each value once; a
  concatenation would select each from k loads.
  """
  p, b, h, n, f = x_pxBxHxnxF.shape
  r, none = k // 2, (0, 0)
  x = jnp.pad(x_pxBxHxnxF, (none, none, (r, r), none, none))
  if not skew:
    return jnp.concatenate([x[:, :, d:d + h] for d in range(k)], axis=-1)
  # h copies of all rows follow each other. They are read in steps of one row
  # more than a copy has, so that step i starts at row i of copy i; the first k
  # rows of the step are row i of the output and its neighbours.
  rows = h + 2 * r
  x = jnp.broadcast_to(x[:, :, None], (p, b, h, rows, n, f))
  x = jnp.pad(x.reshape(p, b, -1, n, f), (none, none, (0, h), none, none))
  x = x.reshape(p, b, h, rows + 1, n, f)[:, :, :, :k]
  return x.swapaxes(3, 4).reshape(p, b, h, n, k * f)


def count_products(tiling: Tiling) -> float:
  """Multiplications per output pixel and pair of input and output channel."""
  columns = tiling.t + (0 if tiling.whole else tiling.k - 1)
  return tiling.k * (columns / tiling.t if tiling.toom_cook else columns)


def _find_matrices(tiling: Tiling) -> toom_cook.Matrices:
  return toom_cook.find_matrices(tiling.t, tiling.k)


def _find_outputs(tiling: Tiling) -> np.ndarray:
  return _find_matrices(tiling).outputs_txp[list(tiling.order)]
