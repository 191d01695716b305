"""Trains a population of CNNs and keeps the weights of every epoch.

  python -m nws_jax.zoo --config=configs/zoo.py
      192 small networks on Fashion-MNIST, MNIST and digits, in minutes
  python -m nws_jax.zoo --config=configs/zoo.py:smoke --workdir=runs/smoke
      a smaller one, in seconds
  python -m nws_jax.zoo --config=configs/zoo.py --config.optimizer=adam \\
      --config.learning_rate=0.001,0.01 --workdir=runs/adam
      any key of the config file can be set; a property takes one value, or
      several parted by commas, to draw from
  python -m nws_jax.zoo --config=configs/zoo.py:fixed --workdir=runs/fixed \\
      --config.dataset_source=embedded --config.datasets=mnist --plan
      what the published 3,000 networks would take here, on a small set; leave
      the sets out once they are prepared (python -m nws_jax.data --help)
  python -m nws_jax.zoo --config=configs/zoo.py --config.networks=400
      grows a zoo that is there: more networks, the old ones untouched

Interrupted, the same command goes on at the last finished epoch. What it
writes is described in docs/contract.md; read it with
nws_jax.open_zoo(workdir), or go on with: python -m nws_jax.meta --help
"""

import time

from absl import flags

from nws_jax import cli, options

_FLAGS = flags.FlagValues()
_CONFIG = options.define_config('configs/zoo.py:smoke', _FLAGS)
_WORKDIR = options.define_path(
    'workdir', 'runs/zoo', 'Folder of the zoo; made, or gone on with.', _FLAGS)
_PLAN = flags.DEFINE_bool(
    'plan', False, 'Only print what it would take: programs, time, memory, '
    'disk.', flag_values=_FLAGS)


def main() -> None:
  from nws_jax import api
  from nws_jax.zoo import driver, progress, summary
  from nws_jax.zoo import recipe as recipes
  recipe, begin = recipes.from_config(_CONFIG.value), time.monotonic()
  if _PLAN.value:
    text, refusal = driver.quote(recipe, _WORKDIR.value)
    print(text)
    if refusal:
      raise refusal
    return
  bar = progress.Bar()
  try:
    worked = driver.run(recipe, _WORKDIR.value, bar)
  finally:
    bar.close()
  zoo = api.Zoo(_WORKDIR.value)
  if not worked:
    print(f'{_WORKDIR.value} is finished; there was nothing to do.\n')
  print(summary.text(zoo.members))
  kept = zoo.metrics['snapshot'].count()  # of each network's evaluations
  print(f'{len(zoo.members)} networks, {kept} snapshots in '
        f'{_WORKDIR.value} ({time.monotonic() - begin:.0f} s)')
  summary.check(zoo.members)


if __name__ == '__main__':
  cli.run(main, _FLAGS)
