"""Windows a second of the meta-classifiers, against the same in PyTorch.

  python -m benchmarks.meta
  python -m benchmarks.meta --nets=fast --rounds=9

Ours trains models as nws_jax.meta.lanes does, each core its own; PyTorch's
eager loop steps the same models one after another, with its own threads. Both
take several steps in a turn. First they must say the same loss of the
same weights and windows, in inference and in training without dropout. Then
they take turns, and the ratio of each round is kept. Needs PyTorch:
pip install torch. Writes benchmarks/results/meta.json.
"""

import concurrent.futures
import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from absl import app, flags
from flax import linen as nn

from benchmarks import contest, torch_readers
from nws_jax.meta import classifiers, fit, transformer

_NETS = flags.DEFINE_list('nets', [], 'fast, transformer, cnn; all if empty')
_ROUNDS = flags.DEFINE_integer('rounds', 7, 'turns of each')
LIMIT = 1e-4  # of the difference of losses
CLASSES, PARTS, LENGTH, VECTOR = 3, 36, 5000, 21_260
_RATE = 1e-3


def _list_nets():
  """name: (models, batch, steps, inputs of so many windows, more, torch's)."""
  return {
      'fast': (50, 64, 10, _draw_features, (), torch_readers.Fast),
      'transformer': (4, 64, 4, _draw_tokens, (PARTS,),
                      torch_readers.Transformer),
      'cnn': (2, 64, 4, _draw_windows, (), functools.partial(
          torch_readers.Cnn, length=LENGTH))}


def _draw_features(rng, count):
  return rng.normal(size=(count, PARTS * 13)).astype(np.float32)


def _draw_windows(rng, count):
  return rng.normal(0, 0.1, (count, LENGTH)).astype(np.float32)


def _draw_tokens(rng, count):
  """Whole vectors, cut at `PARTS` borders."""
  borders = np.sort(rng.choice(VECTOR, PARTS - 1, replace=False))
  part_L = jnp.asarray(np.searchsorted(borders, np.arange(VECTOR), 'right'),
                       jnp.int32)
  return jax.vmap(lambda window_L: transformer.tokenise(
      window_L, part_L, transformer.count(VECTOR, PARTS), 0., 1 / VECTOR))(
          rng.normal(0, 0.1, (count, VECTOR)).astype(np.float32))


class Ours:
  """Models of one net as the program trains them."""

  def __init__(self, name, models, steps, inputs, labels_B, more):
    self._net = classifiers.make(name, CLASSES, more)
    self._inputs, self._labels_B = jax.tree.map(jnp.asarray, inputs), labels_B
    self._tx, self._steps = optax.adam(_RATE), steps
    keys = jax.random.split(jax.random.key(0), models)
    # Each core has models of its own, as nws_jax.meta.lanes has it.
    workers = len(os.sched_getaffinity(0))
    self._pool = concurrent.futures.ThreadPoolExecutor(workers)
    over = jax.vmap if name == 'fast' else _over_one_by_one
    start = jax.jit(jax.vmap(self._net.init, in_axes=(0, None)))
    self.variables = _shake(start(keys, self._inputs))
    parts = np.array_split(np.arange(models), workers)
    self._keys = [keys[rows] for rows in parts]
    self._parts = [jax.tree.map(lambda x, r=rows: x[r], self.variables)
                   for rows in parts]
    self._moments = [jax.vmap(self._tx.init)(v['params'])
                     for v in self._parts]
    self._infer = jax.jit(lambda v, x: over(
        functools.partial(self._score, x))(v))
    self._train = jax.jit(lambda v, moments, key, x: over(
        functools.partial(self._advance, x))(v, moments, key))

  def _score(self, inputs, variables):
    # Rolled, so that no batch is that of another step.
    return jax.lax.map(lambda n: self._net.apply(
        variables, jax.tree.map(lambda x: jnp.roll(x, n, 0), inputs), None)[0],
                       jnp.arange(self._steps))

  def _advance(self, inputs, variables, moments, key):
    def step(n, carry):
      variables, moments = carry

      def lose(params):
        said, rest = self._net.apply(
            {**variables, 'params': params}, inputs,
            jax.random.fold_in(key, n))
        return fit.measure_loss(said, self._labels_B).mean(), rest

      grads, rest = jax.grad(lose, has_aux=True)(variables['params'])
      updates, moments = self._tx.update(grads, moments)
      return {**rest, 'params': optax.apply_updates(
          variables['params'], updates)}, moments

    return jax.lax.fori_loop(0, self._steps, step, (variables, moments))

  def lose(self, train):
    """Losses of all models, [W]; in training without dropout."""
    def one(variables):
      said, _ = self._net.apply(
          variables, self._inputs, jax.random.key(0) if train else None)
      return fit.measure_loss(said, self._labels_B).mean()
    with nn.intercept_methods(_skip_dropout):
      return np.asarray(jax.vmap(one)(self.variables))

  def infer(self):
    jax.block_until_ready(list(self._pool.map(
        lambda v: self._infer(v, self._inputs), self._parts)))

  def train(self):
    found = list(self._pool.map(
        lambda *x: self._train(*x, self._inputs), self._parts, self._moments,
        self._keys))
    jax.block_until_ready(found)
    self._parts, self._moments = map(list, zip(*found))


def _over_one_by_one(f):
  return lambda *models: jax.lax.map(lambda model: f(*model), models)


def _skip_dropout(call, args, kwargs, context):
  return (args[0] if isinstance(context.module, nn.Dropout)
          else call(*args, **kwargs))


def _shake(variables):
  """Statistics that are not 0 and 1, so that they are compared too."""
  if 'batch_stats' not in variables:
    return variables
  return {**variables, 'batch_stats': jax.tree.map(
      lambda x: x + 0.1 * jnp.arange(x.shape[-1]) / x.shape[-1],
      variables['batch_stats'])}


class Torch:
  """The same models in an eager loop."""

  def __init__(self, make, variables, steps, inputs, labels_B):
    models = len(jax.tree.leaves(variables)[0])
    self._one = [jax.tree.map(lambda x, n=n: np.asarray(x[n]), variables)
                 for n in range(models)]
    self._make, self._steps = make, steps
    self._inputs = [torch.tensor(np.asarray(x)) for x in jax.tree.leaves(
        inputs)]
    self._inputs = [x.long() if x.dtype == torch.int32 else x
                    for x in self._inputs]
    self._labels_B = torch.tensor(labels_B).long()
    self._models = [make(v) for v in self._one]
    self._adam = [torch.optim.Adam(m.parameters(), _RATE)
                  for m in self._models]

  def lose(self, train):
    with torch.no_grad():
      return np.array([float(self._lose(
          self._make(v, drop=False).train(train))) for v in self._one])

  def _lose(self, model):
    return torch.nn.functional.cross_entropy(
        model(*self._inputs), self._labels_B)

  def infer(self):
    with torch.inference_mode():
      for model in self._models:
        model.eval()
        for n in range(self._steps):
          model(*(torch.roll(x, n, 0) for x in self._inputs))

  def train(self):
    for model, adam in zip(self._models, self._adam):
      model.train()
      for _ in range(self._steps):
        adam.zero_grad(set_to_none=True)
        self._lose(model).backward()
        adam.step()


def _compare(name, rounds):
  """Rates of one net, {infer, train}: and how far the losses are apart."""
  models, batch, steps, draw, more, make = _list_nets()[name]
  rng = np.random.default_rng(0)
  inputs, labels_B = draw(rng, batch), rng.integers(0, CLASSES, batch)
  ours = Ours(name, models, steps, inputs, labels_B, more)
  theirs = Torch(make, ours.variables, steps, inputs, labels_B)
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


def _measure_dots():
  """GFLOP/s of a large dot: what bounds a net that is all large dots."""
  n = 2048
  x, y = jnp.ones((n, n)), torch.ones((n, n))
  dot = jax.jit(jnp.matmul)
  rates = contest.alternate({
      'ours': contest.Contestant(
          lambda: jax.block_until_ready(dot(x, x)), 2e-9 * n**3),
      'PyTorch': contest.Contestant(lambda: y @ y, 2e-9 * n**3)}, 5)
  print(contest.table(rates, 'ours', 'a dot, GFLOP/s'))
  return {name: contest.median(r) for name, r in rates.items()}


def main(_):
  results = {'dot_gflops': _measure_dots()}
  for name in _NETS.value or _list_nets():
    results[name] = _compare(name, _ROUNDS.value)
  contest.write('meta', results)


if __name__ == '__main__':
  app.run(main)
