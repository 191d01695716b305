"""How a convolution becomes dots: two forms, each in pieces that are linear.

An image row is a row of W*C numbers, cut into tiles of t columns. A tile of
outputs looks at k rows of t + k - 1 columns:

  inputs   images -> what a tile looks at in a row   [p, B, H, n, F]
  rows     each with its k - 1 neighbours            [p, B, H, n, k*F]
  filters  filter -> one matrix for each of p points [p, k*F, N]
  outputs  their dots [p, B, H, n, N] -> the tile's outputs [B, H, n, t*O]

Banded (width-tiled Toeplitz): one point; the matrix holds the filter shifted
to every column of the tile, F = (t + k - 1)*C and N = t*O. t = 1 is im2col,
t = W the row-Toeplitz form. Larger t copies less and multiplies more; a tile
that is the whole row looks at that row alone, F = W*C, and not beyond its ends.

Toom-Cook, along rows (`nws_jax.toom_cook`): t + k - 1 points, F = C and N = O;
as many products instead of t*k, for sums before and after. Rounding errors stay
within some 1e-6 of the largest value, ten times those of the banded form.

Letters here: k filter size, t tile, n tiles in a row, p points.
"""

from typing import NamedTuple

import jax.numpy as jnp

from nws_jax import toom_cook


class Tiling(NamedTuple):
  """Static and hashable."""
  k: int
  t: int
  toom_cook: bool = False
  halves: bool = False  # a tile's columns come out as evens, then odds
  whole: bool = False  # banded, and a tile is a row

  @property
  def order(self):
    """The columns of a tile as they come out. Pooling after `halves` is a
    maximum of two contiguous halves."""
    n = range(self.t)
    return (*n[::2], *n[1::2]) if self.halves else tuple(n)


def look(x_BxHxWC, channels, tiling):
  """What every tile looks at in its middle row: [p, B, H, n, F]."""
  if tiling.whole:
    return x_BxHxWC[None, :, :, None]
  k, t, c = tiling.k, tiling.t, channels
  r, n = k // 2, x_BxHxWC.shape[2] // (t * channels)
  if not tiling.toom_cook:
    x = jnp.pad(x_BxHxWC, ((0, 0), (0, 0), (r * c, r * c)))
    return jnp.stack(
        [x[:, :, i * t * c:((i + 1) * t + k - 1) * c] for i in range(n)],
        axis=2)[None]
  rest = -(k - 1) % t + r  # up to a whole tile
  x = jnp.pad(x_BxHxWC, ((0, 0), (0, 0), (r * c, rest * c)))
  x = x.reshape(*x.shape[:2], -1, t, c)
  columns = [x[:, :, i // t:i // t + n, i % t] for i in range(t + k - 1)]
  return jnp.stack(toom_cook.mix(_find_matrices(tiling).inputs_pxp, columns))


def unlook(gradient_pxBxHxnxF, channels, tiling):
  """Transpose of `look`: [B, H, W*C]."""
  p, b, h, n, _ = gradient_pxBxHxnxF.shape
  e = gradient_pxBxHxnxF[0]
  if tiling.whole:
    return e[:, :, 0]
  if tiling.toom_cook:
    e = jnp.concatenate(
        toom_cook.mix(_find_matrices(tiling).inputs_pxp.T,
                      list(gradient_pxBxHxnxF)), -1)
  # Neighbouring tiles share columns: what they say of them is summed.
  reach = -(-(tiling.k // 2) // tiling.t)  # tiles to the left, and to the right
  edge = (reach * tiling.t - tiling.k // 2) * channels
  e = jnp.pad(e, ((0, 0), (0, 0), (0, 0), (edge, edge)))
  e = e.reshape(b, h, n, 2 * reach + 1, tiling.t * channels)
  return sum(
      jnp.pad(e[:, :, max(0, a):n + min(0, a), reach - a],
              ((0, 0), (0, 0), (max(0, -a), max(0, a)), (0, 0)))
      for a in range(-reach, reach + 1) if abs(a) < n).reshape(b, h, -1)


def expand(filter_OxCxkxk, tiling):
  """The filter's matrices [p, k*F, N]."""
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


def turn(bank_pxFxN, tiling):
  """Matrices of `expand` -> those of the gradient [p, k*N, F]: from k rows of
  a tile of outputs back to what it looked at in the middle one."""
  p, _, n = bank_pxFxN.shape
  rows = bank_pxFxN.reshape(p, tiling.k, -1, n)[:, ::-1]
  return rows.swapaxes(2, 3).reshape(p, tiling.k * n, -1)


def join(dots_pxBxHxnxN, tiling):
  """Tiles of outputs [B, H, n, t*O]."""
  if not tiling.toom_cook:
    return dots_pxBxHxnxN[0]
  return jnp.concatenate(
      toom_cook.mix(_find_outputs(tiling), list(dots_pxBxHxnxN)), -1)


def unjoin(dy_BxHxnxtO, tiling):
  """Transpose of `join`: [p, B, H, n, N]."""
  if not tiling.toom_cook:
    return dy_BxHxnxtO[None]
  return jnp.stack(toom_cook.mix(
      _find_outputs(tiling).T, jnp.split(dy_BxHxnxtO, tiling.t, -1)))


def stack_rows(x_pxBxHxnxF, k, skew=False):
  """[p, B, H, n, k*F]: every row with its k - 1 neighbours.

  `skew`: by arithmetic of indices, one load a value, where a concatenation
  would choose between k of them.
  """
  p, b, h, n, f = x_pxBxHxnxF.shape
  r, none = k // 2, (0, 0)
  x = jnp.pad(x_pxBxHxnxF, (none, none, (r, r), none, none))
  if not skew:
    return jnp.concatenate([x[:, :, d:d + h] for d in range(k)], axis=-1)
  # Of h copies of all rows, read on from copy to copy in steps of one row more
  # than they have, the first k of each step are the neighbours of its row.
  rows = h + 2 * r
  x = jnp.broadcast_to(x[:, :, None], (p, b, h, rows, n, f))
  x = jnp.pad(x.reshape(p, b, -1, n, f), (none, none, (0, h), none, none))
  x = x.reshape(p, b, h, rows + 1, n, f)[:, :, :, :k]
  return x.swapaxes(3, 4).reshape(p, b, h, n, k * f)


def count_products(tiling):
  """Multiplications of an output, for each of its inputs and outputs."""
  looked = tiling.t + (0 if tiling.whole else tiling.k - 1)
  return tiling.k * (looked / tiling.t if tiling.toom_cook else looked)


def _find_matrices(tiling):
  return toom_cook.find_matrices(tiling.t, tiling.k)


def _find_outputs(tiling):
  return _find_matrices(tiling).outputs_txp[list(tiling.order)]
