"""Windows a second of the meta-classifiers, against the same in PyTorch.

  python -m benchmarks.meta
  python -m benchmarks.meta --net=fast --rounds=9

Ours trains many models at once; PyTorch's eager loop steps the same models one
after another, with its own threads. First both must say the same loss of the
same weights and windows, in inference and in training without dropout. Then
they take turns, and the ratio of each round is kept. Needs PyTorch:
pip install torch. Writes benchmarks/results/meta.json.
"""

import argparse
import concurrent.futures
import functools
import json
import os
import pathlib
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import linen as nn

from benchmarks import torch_readers
from nws_jax.meta import classifiers, fit, transformer

LIMIT = 1e-4  # of the difference of losses
CLASSES, PARTS, LENGTH, VECTOR = 3, 36, 5000, 21_260
_RATE = 1e-3


def _list_nets():
  """name: (models, batch, steps, inputs of so many windows, more, torch's)."""
  return {
      'fast': (50, 64, 10, _draw_features, (), torch_readers.Fast),
      'transformer': (4, 64, 1, _draw_tokens, (PARTS,),
                      torch_readers.Transformer),
      'cnn': (2, 64, 1, _draw_windows, (), functools.partial(
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
  """Models of one net as the program trains them: mapped, in one call."""

  def __init__(self, name, models, steps, inputs, labels_B, more):
    self._net = classifiers.make(name, CLASSES, more)
    self._inputs, self._labels_B = jax.tree.map(jnp.asarray, inputs), labels_B
    self._tx, self._steps = optax.adam(_RATE), steps
    keys = jax.random.split(jax.random.key(0), models)
    # Small models: each core has its own, as nws_jax.meta.lanes has it.
    self._workers = len(os.sched_getaffinity(0)) if name == 'fast' else 1
    self._pool = concurrent.futures.ThreadPoolExecutor(self._workers)
    start = jax.jit(jax.vmap(lambda key: self._net.init(key, self._inputs)))
    self.variables = _shake(start(keys))
    parts = np.array_split(np.arange(models), self._workers)
    self._keys = [keys[rows] for rows in parts]
    self._parts = [jax.tree.map(lambda x, r=rows: x[r], self.variables)
                   for rows in parts]
    self._moments = [jax.vmap(self._tx.init)(v['params'])
                     for v in self._parts]
    self._infer = jax.jit(jax.vmap(
        lambda v, x: self._net.apply(v, x, None)[0], in_axes=(0, None)))
    self._train = jax.jit(jax.vmap(self._advance, in_axes=(0, 0, 0, None)))

  def _advance(self, variables, moments, key, inputs):
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
    return nn_loss(model(*self._inputs), self._labels_B)

  def infer(self):
    with torch.inference_mode():
      for model in self._models:
        model.eval()(*self._inputs)

  def train(self):
    for model, adam in zip(self._models, self._adam):
      model.train()
      for _ in range(self._steps):
        adam.zero_grad(set_to_none=True)
        self._lose(model).backward()
        adam.step()


nn_loss = torch.nn.functional.cross_entropy


def _time(call):
  begin = time.perf_counter()
  call()
  return time.perf_counter() - begin


def _compare(name, rounds):
  """Rates and ratios of one net: {inference, training, loss_difference}."""
  models, batch, steps, draw, more, make = _list_nets()[name]
  rng = np.random.default_rng(0)
  inputs, labels_B = draw(rng, batch), rng.integers(0, CLASSES, batch)
  ours = Ours(name, models, steps, inputs, labels_B, more)
  theirs = Torch(make, ours.variables, steps, inputs, labels_B)
  off = max(float(np.abs(ours.lose(t) - theirs.lose(t)).max())
            for t in (False, True))
  if not off <= LIMIT:
    raise SystemExit(f'{name}: the losses differ by {off:.1e}')
  record = {'models': models, 'batch': batch, 'loss_difference': off}
  for what, times in (('infer', 1), ('train', steps)):
    pairs = []
    for n in range(rounds + 1):
      calls = [getattr(x, what) for x in (ours, theirs)]
      order = (0, 1) if n % 2 else (1, 0)
      took = {i: _time(calls[i]) for i in order}
      pairs.append((took[0], took[1]))
    seconds_Rx2 = np.array(pairs[1:])  # the first compiles
    ratio_R = seconds_Rx2[:, 1] / seconds_Rx2[:, 0]
    rate_2 = models * batch * times / np.median(seconds_Rx2, 0)
    record[what] = {
        'ours': float(rate_2[0]), 'torch': float(rate_2[1]),
        'ratio': float(np.median(ratio_R)),
        'spread': [float(x) for x in np.quantile(ratio_R, (0.25, 0.75))]}
  return record


def _measure_dot():
  """GFLOP/s of one large dot, ours and PyTorch's: the roof."""
  n = 2048
  x, y = jnp.ones((n, n)), torch.ones((n, n))
  dot = jax.jit(jnp.matmul)
  calls = (lambda: jax.block_until_ready(dot(x, x)), lambda: y @ y)
  found = [[_time(call) for call in calls] for _ in range(6)][1:]
  return (2 * n**3 / np.median(found, 0) / 1e9).tolist()


def main():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
  parser.add_argument('--net', choices=list(_list_nets()), action='append')
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path(
      __file__).parent / 'results' / 'meta.json')
  args = parser.parse_args()
  result = {'machine': {
      'cpus': len(os.sched_getaffinity(0)), 'processor': platform.processor(),
      'jax': jax.__version__, 'torch': torch.__version__,
      'dot_gflops': dict(zip(('ours', 'torch'), _measure_dot()))}}
  for name in args.net or _list_nets():
    result[name] = _compare(name, args.rounds)
    for what in ('infer', 'train'):
      r = result[name][what]
      print(f'{name:<12}{what:<6}{r["ours"]:12,.0f} windows/s, PyTorch '
            f'{r["torch"]:12,.0f}: {r["ratio"]:.2f} x  (middle half '
            f'{r["spread"][0]:.2f} to {r["spread"][1]:.2f}), losses within '
            f'{result[name]["loss_difference"]:.0e}', flush=True)
  args.out.parent.mkdir(exist_ok=True)
  args.out.write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
  main()
