"""Compares a population trained at lower precision with one in float32.

  python -m benchmarks.precision --networks=256 --epochs=8
  python -m benchmarks.precision --point="default zoo" \\
      --precisions=float32,bfloat16  # two CPU cores, where tf32 is float32

The networks have one architecture and differ in the other settings
(configs/zoo.py). Their accuracies on all test images are compared as
distributions, by the two-sample Kolmogorov-Smirnov test, and network by
network. Since training is chaotic, two correct programs differ as well: the
float32 population is also compared with one that differs only in its seed.
"""

import dataclasses
import time
from collections.abc import Callable

import numpy as np
from absl import app, flags
from scipy import stats

from benchmarks import contest, nets
from nws_jax.zoo import recipe as recipes
from nws_jax.zoo import runtime

_NETWORKS = flags.DEFINE_integer('networks', 256, 'networks of each population')
_EPOCHS = flags.DEFINE_integer('epochs', 8, 'epochs of training')
_POINT = flags.DEFINE_enum('point', 'fixed', list(nets.POINTS), 'architecture')
_PRECISIONS = flags.DEFINE_list(
    'precisions', list(recipes.PRECISIONS), 'to compare; must contain float32')


def main(argv: list[str]) -> None:
  runtime.start()
  from benchmarks import jax_nets
  populations = {p: (p, 0) for p in _PRECISIONS.value} | {
      'another seed': ('float32', 1)}
  accuracies = {}
  print(contest.machine())
  runs = jax_nets.compile_all(lambda p: prepare(*p), populations.values())
  for name, run in zip(populations, runs):
    accuracies[name], rate = run()
    print(f'{name}: median test accuracy {np.median(accuracies[name]):.4f}; '
          f'{rate:,.0f} images/s with evaluation', flush=True)
  results = {name: compare(accuracies['float32'], a)
             for name, a in accuracies.items() if name != 'float32'}
  for name, r in results.items():
    print(f'{name} against float32: largest distance of the distributions '
          f'{r["ks"]:.4f} (p = {r["p"]:.3f}), medians {r["median"]:.4f} and '
          f'{r["median_float32"]:.4f}, a network differs by '
          f'{r["typical_difference"]:.4f} in the median')
  contest.write('precision', {
      'networks': _NETWORKS.value, 'epochs': _EPOCHS.value,
      'net': _POINT.value, **results})


def compare(first: np.ndarray, other: np.ndarray) -> dict[str, float]:
  test = stats.ks_2samp(first, other)
  return {'ks': float(test.statistic), 'p': float(test.pvalue),
          'median': float(np.median(other)),
          'median_float32': float(np.median(first)),
          'typical_difference': float(np.median(np.abs(first - other)))}


def prepare(precision: str, seed: int
            ) -> Callable[[], tuple[np.ndarray, float]]:
  """Trains a population: (accuracies on all test images [M], images/s)."""
  import jax

  from benchmarks import jax_nets
  from configs import zoo as configs
  from nws_jax.zoo import dataset, images, inputs, plan, population
  arch, batch_size = nets.point(_POINT.value)
  config = configs.get_config('default')
  config.update({'networks': _NETWORKS.value, 'epochs': _EPOCHS.value,
                 'seed': seed, 'precision': precision,
                 'batch_size': (batch_size,),
                 **{k: (v,) for k, v in dataclasses.asdict(arch).items()}})
  recipe = recipes.from_config(config)
  rows = recipes.rows(recipe)
  form = jax_nets.mapped()
  sets = [images.load(name) for name in dict(recipe.choices)['dataset']]
  data = dataset.pack(sets, recipe.test_part)
  stage = population.set_stage(data, recipe.seed, form)
  unit = plan.Unit('all', (arch,), batch_size, len(rows), ())
  networks = stage.place(inputs.networks(recipe, rows, len(rows), arch))
  program = population.build(
      inputs.static_of(recipe, unit, form), stage, networks)
  steps = dataset.count_steps(data.a_class_S, batch_size)
  done = _EPOCHS.value * batch_size * steps[np.asarray(networks.dataset)].sum()

  def train() -> tuple[np.ndarray, float]:
    state = program.reset(networks, stage.place(program.blank()),
                          stage.place(np.ones(len(rows), bool)))
    state, _ = program.epoch(networks, state)  # epoch 0: only an evaluation
    begin = time.perf_counter()
    for n in range(_EPOCHS.value):
      state, metrics = program.epoch(
          networks, state, full=n == _EPOCHS.value - 1)
    jax.block_until_ready(metrics)
    return (np.asarray(metrics.test_accuracy),
            done / (time.perf_counter() - begin))

  return train


if __name__ == '__main__':
  app.run(main)
