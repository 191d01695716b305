"""A layer of the published classifier, computed as is fastest on a backend.

Batch norm and poolings of what comes in, a convolution of width 5, bias and
ReLU. On a CPU blocks of sequences pass through all of it while they lie in the
cache, and the convolution goes by Toom and Cook (`nws_jax.toom_cook`): four
neighbouring outputs cost 8 products in place of 20. Elsewhere it is five shifts
and one dot. Neither is a convolution primitive, which under vmap over models
would become a grouped one, slow on most backends.

Shapes: B sequences, L positions, C channels in, O channels out; N tiles of 4
outputs, each from 8 positions; P the 8 products.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import toom_cook

WIDTH = 5
_TILE, _PRODUCTS = 4, 8
_IN, _KERNEL, _OUT = toom_cook.find_matrices(_TILE, WIDTH)
_CACHE = 4 << 20  # bytes of a block's cut inputs and products


class Weights(NamedTuple):
  """Factor and shift of a layer's inputs; kernel and bias."""
  factor_C: jax.Array
  shift_C: jax.Array
  kernel_5xCxO: jax.Array
  bias_O: jax.Array


def settle(x_BxLxC: jax.Array, factor_C: jax.Array, shift_C: jax.Array,
           pools: int) -> jax.Array:
  """A convolution's input: scaled, shifted, and pooled `pools` times.

  A pooling takes the first of equal neighbours, as the primitive does, whose
  gradient is slow on a CPU.
  """
  x_BxLxC = x_BxLxC * factor_C[None, None] + shift_C[None, None]
  for _ in range(pools):
    sequences, length, channels = x_BxLxC.shape
    pairs = x_BxLxC[:, :length // 2 * 2].reshape(sequences, -1, 2, channels)
    first, second = pairs[:, :, 0], pairs[:, :, 1]
    x_BxLxC = jnp.where(first >= second, first, second)
  return x_BxLxC


def layer(x_BxLxC: jax.Array, weights: Weights, pools: int
          ) -> tuple[jax.Array, jax.Array]:
  """The outputs [B, L, O]; sums of them and of their squares [2, O].

  The convolution has stride 1 and keeps the length, by zeros at both ends.
  """
  return (layer_tiles if jax.default_backend() == 'cpu' else layer_shifts)(
      x_BxLxC, weights, pools)


def layer_shifts(x_BxLxC: jax.Array, weights: Weights, pools: int
                 ) -> tuple[jax.Array, jax.Array]:
  """`layer` by five shifts side by side and one dot."""
  x = settle(x_BxLxC, weights.factor_C, weights.shift_C, pools)
  padded = jnp.pad(x, ((0, 0), (WIDTH // 2,) * 2, (0, 0)))
  shifts = [padded[:, i:i + x.shape[1]] for i in range(WIDTH)]
  return _finish(jnp.concatenate(shifts, -1) @ weights.kernel_5xCxO.reshape(
      -1, weights.bias_O.size), weights)


def _finish(x_BxLxO: jax.Array, weights: Weights
            ) -> tuple[jax.Array, jax.Array]:
  x_BxLxO = jax.nn.relu(x_BxLxO + weights.bias_O[None, None])
  return x_BxLxO, jnp.stack([x_BxLxO.sum((0, 1)), (x_BxLxO**2).sum((0, 1))])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def layer_tiles(x_BxLxC: jax.Array, weights: Weights, pools: int
                ) -> tuple[jax.Array, jax.Array]:
  """`layer` by Toom and Cook, block by block."""
  kernel_PxCxO = _mix(_KERNEL, weights.kernel_5xCxO)

  def one(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    x = settle(x, weights.factor_C, weights.shift_C, pools)
    products = jnp.einsum('pnc,pco->pno', _mix(_IN, _cut(x)), kernel_PxCxO)
    return _finish(_join(_mix(_OUT, products), x.shape[1]), weights)

  out, sums_Kx2xO = jax.lax.map(one, _block(
      x_BxLxC, _count_blocks(x_BxLxC, weights, pools)))
  return _unblock(out), sums_Kx2xO.sum(0)


def _forward(x_BxLxC: jax.Array, weights: Weights, pools: int
             ) -> tuple[Any, Any]:
  out = layer_tiles(x_BxLxC, weights, pools)
  return out, (x_BxLxC, weights, out[0])


def _backward(pools: int, kept: Any, grads: Any) -> tuple[jax.Array, Weights]:
  """Every linear map transposed; tiles are cut again, not kept."""
  x_BxLxC, weights, out_BxLxO = kept
  grad_BxLxO, (of_sum_O, of_square_O) = grads
  kernel_PxCxO = _mix(_KERNEL, weights.kernel_5xCxO)

  def one(carry: Any, given: Any) -> tuple[Any, jax.Array]:
    x, out, grad = given
    settled, pull = jax.vjp(
        lambda x, factor_C, shift_C: settle(x, factor_C, shift_C, pools), x,
        weights.factor_C, weights.shift_C)
    grad = jnp.where(out > 0, grad + of_sum_O[None, None]
                     + 2 * of_square_O[None, None] * out, 0)
    grad_PxNxO = _mix(_OUT.T, _split(grad))
    of_x, of_factor_C, of_shift_C = pull(_overlap(_mix(_IN.T, jnp.einsum(
        'pno,pco->pnc', grad_PxNxO, kernel_PxCxO)), settled.shape[1]))
    return jax.tree.map(jnp.add, carry, Weights(
        of_factor_C, of_shift_C, jnp.einsum(
            'pnc,pno->pco', _mix(_IN, _cut(settled)), grad_PxNxO),
        grad.sum((0, 1)))), of_x

  count = _count_blocks(x_BxLxC, weights, pools)
  of, of_x = jax.lax.scan(
      one, jax.tree.map(jnp.zeros_like, weights._replace(
          kernel_5xCxO=kernel_PxCxO)),
      tuple(_block(x, count) for x in (x_BxLxC, out_BxLxO, grad_BxLxO)))
  return _unblock(of_x), of._replace(
      kernel_5xCxO=_mix(_KERNEL.T, of.kernel_5xCxO))


layer_tiles.defvjp(_forward, _backward)


def _mix(matrix: np.ndarray, parts: Any) -> jax.Array:
  return jnp.stack(toom_cook.mix(matrix, parts))


def _cut(x: jax.Array) -> list[jax.Array]:
  """[B, L, C] -> the positions of every tile, [8, N, C]; they overlap by 4."""
  sequences, length, channels = x.shape
  tiles = -(-length // _TILE)
  right = (tiles + 1) * _TILE - length - WIDTH // 2
  x = jnp.pad(x, ((0, 0), (WIDTH // 2, right), (0, 0))).reshape(
      sequences, tiles + 1, _TILE, channels)
  return [x[:, j // _TILE:, j % _TILE][:, :tiles].reshape(-1, channels)
          for j in range(_PRODUCTS)]


def _overlap(parts_8xNxC: jax.Array, length: int) -> jax.Array:
  """`_cut` transposed: tiles are added where they overlap."""
  whole = -(-length // _TILE) * _TILE
  first, second = (_join(half, whole) for half in (
      parts_8xNxC[:_TILE], parts_8xNxC[_TILE:]))
  x = (jnp.pad(first, ((0, 0), (0, _TILE), (0, 0)))
       + jnp.pad(second, ((0, 0), (_TILE, 0), (0, 0))))
  return x[:, WIDTH // 2:WIDTH // 2 + length]


def _split(x: jax.Array) -> list[jax.Array]:
  """[B, L, O] -> the outputs of every tile, [4, N, O]; zeros beyond L."""
  x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % _TILE), (0, 0)))
  x = x.reshape(-1, _TILE, x.shape[-1])
  return [x[:, j] for j in range(_TILE)]


def _join(parts_4xNxO: jax.Array, length: int) -> jax.Array:
  """`_split` inverted."""
  tiles, outputs = -(-length // _TILE), parts_4xNxO.shape[-1]
  return jnp.stack(list(parts_4xNxO), 1).reshape(
      -1, tiles * _TILE, outputs)[:, :length]


def _count_blocks(x: jax.Array, weights: Weights, pools: int) -> int:
  """The fewest that fit the cache; a divisor of the number of sequences."""
  sequences, length, _ = x.shape
  size = 4 * _PRODUCTS * -(-(length >> pools) // _TILE) * (
      sum(weights.kernel_5xCxO.shape[1:]))
  most = max(1, min(sequences, _CACHE // size))
  return sequences // next(
      n for n in range(most, 0, -1) if sequences % n == 0)


def _block(x: jax.Array, blocks: int) -> jax.Array:
  return x.reshape(blocks, -1, *x.shape[1:])


def _unblock(x: jax.Array) -> jax.Array:
  return x.reshape(-1, *x.shape[2:])
