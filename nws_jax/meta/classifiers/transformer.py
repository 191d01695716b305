"""A transformer over chunks of a window, one token a chunk.

No chunk crosses the border of a tensor, where the layout may be known: a token
holds values of one tensor, the number of that tensor, and its position.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nws_jax.meta.classifiers import cnn, interface
from nws_jax.meta.data import regions, windows
from nws_jax.meta.data.windows import Array

CHUNK = 512
WIDTH = 32
BLOCKS = 2
_HEADS = 4
_WAVES = 6  # of the position's embedding
_TINY = 1e-12


class Tokens(NamedTuple):
  """A window in chunks, padded; `mask` is True where there is a value."""
  values_TxC: jax.Array
  mask_TxC: jax.Array
  part_T: jax.Array
  place_T: jax.Array  # of its first value, 0 ... 1 along the window or vector


def count(length: int, parts: int) -> int:
  """The most tokens that a window can have."""
  return -(-length // CHUNK) + parts - 1


def count_flops(length: int, parts: int) -> int:
  """Multiplications and additions of one window."""
  tokens = count(length, parts)
  block = 2 * WIDTH * (4 * WIDTH + 4 * WIDTH + 2 * tokens)
  return tokens * (2 * CHUNK * WIDTH + BLOCKS * block)


class Shape(NamedTuple):
  """The static part of the inputs."""
  length: int  # of a window
  even: int  # evenly spaced windows that decide together
  parts: int  # 1 where the layout must not be known
  number_P: tuple[int, ...]  # of each part of the source; empty likewise


def find_shape(place: regions.Place) -> Shape:
  if not place.spec.layout:
    return Shape(place.spec.length, place.num_even, 1, ())
  frame = place.get_frame()
  return Shape(place.spec.length, place.num_even, frame.parts,
               tuple(frame.number_P.tolist()))


def make_view(shape: Shape) -> interface.View:
  """The `View` of tokens; models share what those of the cnn do."""
  length, even, parts, number_P = shape

  def cut(shared: Any, m: Array, e: Array,
          start: jax.Array) -> Tokens:
    source, _, high_M = shared
    part_L, last = jnp.zeros(length, jnp.int32), length
    if number_P:
      part_L = jnp.asarray(number_P)[jax.lax.dynamic_slice(
          source.parts_AxP, (source.layout_M[m], start), (1, length))[0]]
      last = high_M[m]
    return tokenise(
        windows.window(source.weights_MxExP, m, e, start, length), part_L,
        count(length, parts), jnp.where(len(number_P) > 0, start, 0) / last,
        1 / last)

  def pick(shared: Any, key: jax.Array, m_B: Array,
           e_B: Array) -> Tokens:
    _, low_M, high_M = shared
    starts_B = windows.draw_starts(key, low_M[m_B], high_M[m_B], length)
    return jax.vmap(lambda m, e, s: cut(shared, m, e, s))(m_B, e_B, starts_B)

  def grid(shared: Any, m: Array, e: Array) -> Tokens:
    _, low_M, high_M = shared
    starts_S = windows.space_starts(low_M[m], high_M[m], length, even)
    return jax.vmap(lambda s: cut(shared, m, e, s))(starts_S)

  return interface.View(pick, grid)


INPUTS = interface.Vectors(find_shape, make_view, cnn.share)


def make_module(outputs: int, shape: Shape) -> nn.Module:
  return Transformer(outputs, shape.parts)


def tokenise(window_L: jax.Array, part_L: jax.Array, tokens: int,
             first: Any = 0.0, step: Any = 0.0) -> Tokens:
  """One window's `Tokens`, `tokens` of them; those left over are all padding.

  Args:
    window_L: consecutive weights.
    part_L: the part of each, ascending.
    tokens: at least as many as there are chunks.
    first: place of the window's first value.
    step: what one value adds to a place.
  """
  at_L = jnp.arange(window_L.size)
  new_L = jnp.concatenate([jnp.ones(1, bool), part_L[1:] != part_L[:-1]])
  since_L = at_L - jax.lax.cummax(jnp.where(new_L, at_L, 0))
  head_L = since_L % CHUNK == 0
  begin_T = jnp.nonzero(head_L, size=tokens, fill_value=window_L.size)[0]
  end_T = jnp.append(begin_T[1:], window_L.size)
  at_TxC = begin_T[:, None] + jnp.arange(CHUNK)[None]
  mask_TxC = at_TxC < end_T[:, None]
  inside_T = jnp.minimum(begin_T, window_L.size - 1)
  return Tokens(
      jnp.where(mask_TxC, window_L[jnp.minimum(at_TxC, window_L.size - 1)], 0),
      mask_TxC, part_L[inside_T], first + step * inside_T)


class Transformer(nn.Module):
  """[B] `Tokens` -> outputs [B, O]; pre-norm blocks, masked mean, one dense.

  The size of values and their pattern are separate inputs, because the scale of
  weights varies by orders of magnitude between tensors and networks.
  """
  outputs: int
  parts: int

  @nn.compact
  def __call__(self, tokens: Tokens, train: bool) -> jax.Array:
    drop = nn.Dropout(0.2, deterministic=not train)
    present_BxT = tokens.mask_TxC.any(-1)
    x = drop(self._embed(tokens))
    attend_Bx1xTxT = nn.make_attention_mask(present_BxT, present_BxT)
    for _ in range(BLOCKS):
      y = nn.LayerNorm()(x)
      x += drop(nn.MultiHeadDotProductAttention(_HEADS)(
          y, y, mask=attend_Bx1xTxT))
      y = nn.Dense(2 * WIDTH)(nn.LayerNorm()(x))
      x += drop(nn.Dense(WIDTH)(nn.gelu(y)))
    x = nn.LayerNorm()(x)
    there = present_BxT[..., None].astype(x.dtype)
    pooled = (x * there).sum(1) / jnp.maximum(there.sum(1), 1)
    pooled = nn.Dropout(0.5, deterministic=not train)(pooled)
    return nn.Dense(self.outputs)(pooled)

  def _embed(self, tokens: Tokens) -> jax.Array:
    values, mask = tokens.values_TxC, tokens.mask_TxC
    number = jnp.maximum(mask.sum(-1, keepdims=True), 1)
    mean = values.sum(-1, keepdims=True) / number
    # Squared below the root, which has no slope at 0.
    deviation = jnp.sqrt(jnp.sum(jnp.where(
        mask, values - mean, 0)**2, -1, keepdims=True) / number + _TINY**2)
    size = jnp.sqrt(
        jnp.sum(values**2, -1, keepdims=True) / number + _TINY**2)
    shaped = values / size
    columns = [jnp.log(size), jnp.log(deviation + _TINY), mean / size,
             jnp.abs(shaped).sum(-1, keepdims=True) / number,
             (shaped**3).sum(-1, keepdims=True) / number,
             jnp.log((shaped**4).sum(-1, keepdims=True) / number + _TINY),
             shaped.max(-1, keepdims=True), shaped.min(-1, keepdims=True),
             number / CHUNK]
    waves = tokens.place_T[..., None] * (np.pi * 2.0**np.arange(_WAVES))[
        None, None]
    facts = jnp.concatenate(columns, -1)
    # The mean and deviation of the training windows, part by part.
    part_BxTxP = nn.one_hot(tokens.part_T, self.parts) * mask.any(-1)[..., None]
    center, scale = self.variable(
        'encoder', 'scale', lambda: jnp.stack(_measure_scale(facts, part_BxTxP))
    ).value
    facts = jnp.clip((facts - center[tokens.part_T]) / scale[tokens.part_T],
                     -5, 5)
    return (nn.Dense(WIDTH)(shaped) + nn.Dense(WIDTH)(facts)
            + nn.Embed(self.parts, WIDTH)(tokens.part_T)
            + nn.Dense(WIDTH)(jnp.concatenate(
                [jnp.sin(waves), jnp.cos(waves)], -1)))


def _measure_scale(facts_BxTxF: jax.Array, part_BxTxP: jax.Array
                   ) -> tuple[jax.Array, jax.Array]:
  """(mean, deviation) of every fact among the tokens of each part: [P, F]."""
  number = jnp.maximum(part_BxTxP.sum((0, 1)), 1)[:, None]
  center = jnp.einsum('btp,btf->pf', part_BxTxP, facts_BxTxF) / number
  square = jnp.einsum('btp,btf->pf', part_BxTxP, jnp.square(
      facts_BxTxF - jnp.einsum('btp,pf->btf', part_BxTxP, center)))
  return center, jnp.maximum(jnp.sqrt(square / number), 1e-3)
