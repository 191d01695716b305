"""Measures the meta-classifiers in windows per second, against PyTorch.

  python -m benchmarks.meta
  python -m benchmarks.meta --nets=fast --rounds=9

Ours trains models as meta/training/lanes.py does, one on each core. PyTorch's
eager loop steps through the same models, with its own threads. Both take
several steps in a turn, each with its own batch. They must first compute the
same loss from the same weights and windows, in inference and in training
without dropout. Then they alternate, and the ratio of each round is recorded.
Needs PyTorch: pip install torch. Writes benchmarks/results/meta.json.
"""

import concurrent.futures
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from absl import app, flags
from flax import linen as nn

from benchmarks import contest, torch_readers
from nws_jax.meta.classifiers import interface, table, transformer
from nws_jax.meta.data import cores
from nws_jax.meta.training import lanes, many

_NETS = flags.DEFINE_list('nets', [], 'fast, transformer, cnn; all if empty')
_ROUNDS = flags.DEFINE_integer('rounds', 7, 'rounds in which both alternate')
LIMIT = 1e-4  # largest difference of the losses
CLASSES, PARTS, LENGTH, VECTOR = 3, 36, 5000, 21_260
_RATE = 1e-3


def _list_nets() -> dict[str, tuple]:
  """{name: (models, batch, steps per turn, function from a number of windows to
  inputs, shape of the inputs, PyTorch's model)}."""
  return {
      'fast': (50, 64, 10, _draw_features, None, torch_readers.Fast),
      'transformer': (4, 64, 4, _draw_tokens,
                      transformer.Shape(VECTOR, 1, PARTS, ()),
                      torch_readers.Transformer),
      'cnn': (2, 64, 4, _draw_windows, None, functools.partial(
          torch_readers.Cnn, length=LENGTH))}


def _draw_features(rng: np.random.Generator, count: int) -> np.ndarray:
  return rng.normal(size=(count, PARTS * 13)).astype(np.float32)


def _draw_windows(rng: np.random.Generator, count: int) -> np.ndarray:
  return rng.normal(0, 0.1, (count, LENGTH)).astype(np.float32)


def _draw_tokens(rng: np.random.Generator, count: int) -> Any:
  """Whole vectors, cut at `PARTS` borders."""
  borders = np.sort(rng.choice(VECTOR, PARTS - 1, replace=False))
  part_L = jnp.asarray(np.searchsorted(borders, np.arange(VECTOR), 'right'),
                       jnp.int32)
  return jax.vmap(lambda window_L: transformer.tokenise(
      window_L, part_L, transformer.count(VECTOR, PARTS), 0., 1 / VECTOR))(
          rng.normal(0, 0.1, (count, VECTOR)).astype(np.float32))


class Ours:
  """The models of one classifier, trained as the program does."""

  def __init__(self, name: str, models: int, batches: Any, shape: Any) -> None:
    self._net = table.CLASSIFIERS[name].make_model(CLASSES, shape)
    self._tx = optax.adam(_RATE)
    self._batches = jax.tree.map(jnp.asarray, batches)  # [S, B, ...]
    inputs, _ = self._first = jax.tree.map(lambda x: x[0], self._batches)
    keys = jax.random.split(jax.random.key(0), models)
    self.variables = _shake(jax.jit(jax.vmap(
        self._net.init, in_axes=(0, None)))(keys, inputs))
    # As in meta/training/lanes.py each core has its own models, and those that
    # take weights train one after another.
    self._over = functools.partial(
        many.over, together=not lanes.train_alone(name != 'fast'))
    workers = min(cores.count(), models)
    self._pool = concurrent.futures.ThreadPoolExecutor(workers)
    moments = jax.vmap(self._tx.init)(self.variables['params'])
    self._parts = [
        jax.tree.map(lambda x, r=rows: x[r], (self.variables, moments, keys))
        for rows in np.array_split(np.arange(models), workers)]
    self._infer = jax.jit(lambda batches, *one: self._over(
        functools.partial(self._score, batches))(*one))
    self._train = jax.jit(lambda batches, *one: self._over(
        functools.partial(self._advance, batches))(*one))

  def _score(self, batches: Any, variables: Any, moments: Any, key: Any
               ) -> jax.Array:
    return jax.lax.map(
        lambda inputs: self._net.apply(variables, inputs, None)[0], batches[0])

  def _advance(self, batches: Any, variables: Any, moments: Any, key: Any
                 ) -> tuple[Any, Any, Any]:
    def step(carry: Any, batch: Any) -> tuple[Any, None]:
      variables, moments, key = carry
      key, now = jax.random.split(key)

      def lose(params: Any) -> tuple[jax.Array, Any]:
        logits, rest = self._net.apply(
            {**variables, 'params': params}, batch[0], now)
        return interface.measure_loss(logits, batch[1]).mean(), rest

      grads, rest = jax.grad(lose, has_aux=True)(variables['params'])
      updates, moments = self._tx.update(grads, moments)
      return ({**rest, 'params': optax.apply_updates(
          variables['params'], updates)}, moments, key), None

    return jax.lax.scan(step, (variables, moments, key), batches)[0]

  def lose(self, train: bool) -> np.ndarray:
    """Losses of all models, [W]; training is without dropout."""
    def one(inputs: Any, labels_B: jax.Array, variables: Any) -> jax.Array:
      logits, _ = self._net.apply(
          variables, inputs, jax.random.key(0) if train else None)
      return interface.measure_loss(logits, labels_B).mean()
    with nn.intercept_methods(_skip_dropout):
      return np.asarray(jax.jit(lambda batch, variables: self._over(
          functools.partial(one, *batch))(variables))(
              self._first, self.variables))

  def infer(self) -> None:
    self._run(self._infer)

  def train(self) -> None:
    self._parts = self._run(self._train)

  def _run(self, function: Callable[..., Any]) -> list[Any]:
    return jax.block_until_ready(list(self._pool.map(
        lambda part: function(self._batches, *part), self._parts)))


def _skip_dropout(call: Callable[..., Any], args: tuple, kwargs: dict,
                  context: Any) -> Any:
  return (args[0] if isinstance(context.module, nn.Dropout)
          else call(*args, **kwargs))


def _shake(variables: Any) -> Any:
  """Gives running statistics other values than 0 and 1, to compare them too."""
  if 'batch_stats' not in variables:
    return variables
  return {**variables, 'batch_stats': jax.tree.map(
      lambda x: x + 0.1 * jnp.arange(x.shape[-1]) / x.shape[-1],
      variables['batch_stats'])}


class Torch:
  """The same models in an eager loop."""

  def __init__(self, make: Callable[..., torch.nn.Module], variables: Any,
               batches: Any) -> None:
    models = len(jax.tree.leaves(variables)[0])
    self._one = [jax.tree.map(lambda x, n=n: np.asarray(x[n]), variables)
                 for n in range(models)]
    inputs, labels_SxB = batches
    self._batches = [
        ([_tensor(x[n]) for x in jax.tree.leaves(inputs)], _tensor(labels_B))
        for n, labels_B in enumerate(labels_SxB)]
    self._make, self._models = make, [make(v) for v in self._one]
    self._adam = [torch.optim.Adam(m.parameters(), _RATE)
                  for m in self._models]

  def lose(self, train: bool) -> np.ndarray:
    with torch.no_grad():
      return np.array([float(self._lose(
          self._make(v, drop=False).train(train), *self._batches[0]))
          for v in self._one])

  def _lose(self, model: torch.nn.Module, inputs: Any,
              labels_B: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(*inputs), labels_B)

  def infer(self) -> None:
    with torch.inference_mode():
      for model in self._models:
        model.eval()
        for inputs, _ in self._batches:
          model(*inputs)

  def train(self) -> None:
    for model, adam in zip(self._models, self._adam):
      model.train()
      for batch in self._batches:
        adam.zero_grad(set_to_none=True)
        self._lose(model, *batch).backward()
        adam.step()


def _tensor(x: Any) -> torch.Tensor:
  x = torch.tensor(np.asarray(x))
  return x.long() if x.dtype in (torch.int32, torch.int64) else x


def _compare(name: str, rounds: int) -> dict[str, Any]:
  """Rates of one classifier, {infer, train}, and the difference of losses."""
  models, batch, steps, draw, shape, make = _list_nets()[name]
  rng = np.random.default_rng(0)
  batches = (jax.tree.map(lambda *x: np.stack(x), *(
      draw(rng, batch) for _ in range(steps))),
             rng.integers(0, CLASSES, (steps, batch)))
  ours = Ours(name, models, batches, shape)
  theirs = Torch(make, ours.variables, batches)
  off = max(float(np.abs(ours.lose(t) - theirs.lose(t)).max())
            for t in (False, True))
  if not off <= LIMIT:
    raise SystemExit(f'{name}: the losses differ by {off:.1e}')
  print(f'{name}: {models} models, batches of {batch}; losses within {off:.0e}')
  record = {'models': models, 'batch': batch, 'loss_difference': off}
  for what in ('infer', 'train'):
    rates = contest.alternate({
        who: contest.Contestant(getattr(x, what), models * batch * steps)
        for who, x in (('ours', ours), ('PyTorch eager', theirs))}, rounds)
    print(contest.table(rates, 'ours', f'{what}, windows/s'), flush=True)
    record[what] = {'rates': rates, 'ratio': contest.compare(
        rates, 'ours', 'PyTorch eager')}
  return record


def _measure_dots() -> dict[str, float]:
  """GFLOP/s of a large matrix product, a bound for everything made of those."""
  n = 2048
  x, y = jnp.ones((n, n)), torch.ones((n, n))
  dot = jax.jit(jnp.matmul)
  rates = contest.alternate({
      'ours': contest.Contestant(
          lambda: jax.block_until_ready(dot(x, x)), 2e-9 * n**3),
      'PyTorch': contest.Contestant(lambda: y @ y, 2e-9 * n**3)}, 5)
  print(contest.table(rates, 'ours', 'a dot, GFLOP/s'))
  return {name: contest.median(r) for name, r in rates.items()}


def main(argv: list[str]) -> None:
  results = {'dot_gflops': _measure_dots()}
  for name in _NETS.value or _list_nets():
    results[name] = _compare(name, _ROUNDS.value)
  contest.write('meta', results)


if __name__ == '__main__':
  app.run(main)
