"""Convolution of width 5 along a sequence, in the form fastest on a backend.

On a CPU by Toom and Cook, F(4, 5) of Lavin and Gray (arXiv 1509.09308): four
neighbouring outputs cost 8 products in place of 20, and blocks of sequences
that fit the cache are worked on one after another. Elsewhere, and where there
are few channels, by five shifts and one dot. Neither is a convolution
primitive, which under vmap over models would become a grouped one, slow on most
backends.

Shapes: B sequences, L positions, C channels in, O channels out; N tiles of 4
outputs, each from 8 positions; P the 8 products.
"""

import jax
import jax.numpy as jnp
import numpy as np

WIDTH = 5
FEW = 16  # channels in; below, the transforms cost more than they save
_TILE, _PRODUCTS = 4, 8
_CACHE = 4 << 20  # bytes of a block's products and what they are of


def convolve(x_BxLxC, kernel_5xCxO):
  """Stride 1, as long as before by zeros at both ends: [B, L, O]."""
  if jax.default_backend() == 'cpu' and x_BxLxC.shape[-1] >= FEW:
    return convolve_tiles(x_BxLxC, kernel_5xCxO)
  return convolve_shifts(x_BxLxC, kernel_5xCxO)


def convolve_shifts(x_BxLxC, kernel_5xCxO):
  """`convolve` by five shifts side by side and one dot."""
  length, outputs = x_BxLxC.shape[1], kernel_5xCxO.shape[-1]
  padded = jnp.pad(x_BxLxC, ((0, 0), (WIDTH // 2,) * 2, (0, 0)))
  shifts = [padded[:, i:i + length] for i in range(WIDTH)]
  return jnp.concatenate(shifts, -1) @ kernel_5xCxO.reshape(-1, outputs)


@jax.custom_vjp
def convolve_tiles(x_BxLxC, kernel_5xCxO):
  """`convolve` by Toom and Cook."""
  length = x_BxLxC.shape[1]
  kernel_PxCxO = _mix(_KERNEL, kernel_5xCxO)

  def one(x):
    products = jnp.einsum('pnc,pco->pno', _mix(_IN, _cut(x)), kernel_PxCxO)
    return _join(_mix(_OUT, products), length)

  return _unblock(jax.lax.map(one, _block(x_BxLxC, kernel_5xCxO.shape[-1])))


def _forward(x_BxLxC, kernel_5xCxO):
  return convolve_tiles(x_BxLxC, kernel_5xCxO), (x_BxLxC, kernel_5xCxO)


def _backward(kept, grad_BxLxO):
  """Every linear map transposed; what is cut is made again, not kept."""
  x_BxLxC, kernel_5xCxO = kept
  kernel_PxCxO = _mix(_KERNEL, kernel_5xCxO)

  def one(grad_PxCxO, given):
    x, grad = given
    grad_PxNxO = _mix(_OUT.T, _split(grad))
    of_x = _join_halves(_mix(_IN.T, jnp.einsum(
        'pno,pco->pnc', grad_PxNxO, kernel_PxCxO)), x.shape)
    return grad_PxCxO + jnp.einsum(
        'pnc,pno->pco', _mix(_IN, _cut(x)), grad_PxNxO), of_x

  outputs = kernel_5xCxO.shape[-1]
  grad_PxCxO, of_x = jax.lax.scan(one, jnp.zeros_like(kernel_PxCxO), (
      _block(x_BxLxC, outputs), _block(grad_BxLxO, x_BxLxC.shape[-1])))
  return _unblock(of_x), _mix(_KERNEL.T, grad_PxCxO)


convolve_tiles.defvjp(_forward, _backward)


def _make_transforms():
  """(of 8 positions, of a kernel, to 4 outputs): F(4, 5) by its points.

  The products are of two polynomials' values at the points, the last one of
  their leading coefficients. Convolving is multiplying transposed: evaluating
  becomes what gives the outputs, and interpolating what takes the positions.
  """
  points = np.array([0, 1, -1, 2, -2, .5, -.5])

  def evaluate(coefficients):
    leading = np.eye(coefficients)[-1:]
    return np.concatenate([points[:, None]**np.arange(coefficients), leading])

  of_x = np.linalg.inv(evaluate(_PRODUCTS)).T
  scale = np.abs(of_x).max(1, keepdims=True)  # products of like size
  return of_x / scale, evaluate(WIDTH) * scale, evaluate(_TILE).T


_IN, _KERNEL, _OUT = _make_transforms()


def _mix(matrix, parts):
  """The matrix times `parts` along their first axis, as sums without zeros."""
  return jnp.stack([sum(float(row[j]) * parts[j] for j in range(len(row))
                        if abs(row[j]) > 1e-9) for row in matrix])


def _cut(x):
  """[B, L, C] -> the positions of every tile, [8, N, C]; they overlap by 4."""
  sequences, length, channels = x.shape
  tiles = -(-length // _TILE)
  right = (tiles + 1) * _TILE - length - WIDTH // 2
  x = jnp.pad(x, ((0, 0), (WIDTH // 2, right), (0, 0))).reshape(
      sequences, tiles + 1, _TILE, channels)
  return [x[:, j // _TILE:, j % _TILE][:, :tiles].reshape(-1, channels)
          for j in range(_PRODUCTS)]


def _join_halves(parts_8xNxC, shape):
  """`_cut` transposed: tiles are added where they overlap."""
  sequences, length, channels = shape
  halves = [jnp.stack(list(half), 1).reshape(sequences, -1, _TILE, channels)
            for half in (parts_8xNxC[:_TILE], parts_8xNxC[_TILE:])]
  x = (jnp.pad(halves[0], ((0, 0), (0, 1), (0, 0), (0, 0)))
       + jnp.pad(halves[1], ((0, 0), (1, 0), (0, 0), (0, 0))))
  first = WIDTH // 2
  return x.reshape(sequences, -1, channels)[:, first:first + length]


def _split(x):
  """[B, L, O] -> the outputs of every tile, [4, N, O]; zeros beyond L."""
  x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % _TILE), (0, 0)))
  x = x.reshape(-1, _TILE, x.shape[-1])
  return [x[:, j] for j in range(_TILE)]


def _join(parts_4xNxO, length):
  """`_split` inverted."""
  tiles, outputs = -(-length // _TILE), parts_4xNxO.shape[-1]
  return jnp.stack(list(parts_4xNxO), 1).reshape(
      -1, tiles * _TILE, outputs)[:, :length]


def _block(x, others):
  """[B, ...] -> [blocks, B / blocks, ...], of a size that fits the cache."""
  sequences, length, channels = x.shape
  size = 4 * _PRODUCTS * -(-length // _TILE) * (channels + others)
  most = max(1, min(sequences, _CACHE // size))
  most = next(n for n in range(most, 0, -1) if sequences % n == 0)
  return x.reshape(-1, most, length, channels)


def _unblock(x):
  return x.reshape(-1, *x.shape[2:])
