"""How many networks fill an accelerator: the knee of measured throughput.

Side by side, networks share what it takes to start a step's kernels, until the
device is busy all the time. On CPU they run one after another, so that nothing
is to be found there.
"""

import time

import jax
import numpy as np

from nws_jax import space
from nws_jax.zoo import dataset, images, inputs, plan, population, price

_STEPS = 8  # updates that are timed together
_ENOUGH = 0.95  # of the best rate
_GAIN = 1.1  # for twice as many networks; less is the end of the search
_SECONDS = 60  # after which nothing wider is begun, compilation included


def measure(recipe, rows, machine, form='vmap'):
  """(images a step that fill the machine, {width: images/s}).

  Measured for the commonest combination of architecture and batch size, by the
  program that trains it, on random images.

  Args:
    recipe: `recipe.Recipe`.
    rows: `recipe.rows`.
    machine: `price.Machine`.
    form: how networks are mapped.
  """
  groups = [space.group(row) for row in rows]
  arch, batch_size = group = max(dict.fromkeys(groups), key=groups.count)
  row = rows[groups.index(group)]
  stage = population.set_stage(
      dataset.pack([_draw(batch_size)], 10), recipe.seed, form)
  slots = machine.memory / price.count_bytes(arch, batch_size, machine.platform)
  rates, width, begin = {}, machine.devices, time.monotonic()
  while width <= slots and time.monotonic() - begin < _SECONDS:
    unit = plan.Unit('probe', (arch,), batch_size, width, ())
    try:
      rates[width] = _time(recipe, unit, row, stage, form)
    except jax.errors.JaxRuntimeError as e:
      if 'RESOURCE_EXHAUSTED' not in str(e):
        raise
      break
    if rates[width] < _GAIN * rates.get(width // 2, 0):
      break
    width *= 2
  return find_knee(rates, machine.devices) * batch_size, rates


def find_knee(rates, least):
  """The smallest width whose rate is nearly the best: of {width: rate}."""
  best = max(rates.values(), default=0)
  return min((w for w, r in rates.items() if r >= _ENOUGH * best),
             default=least)


def _draw(batch_size):
  """Random images, balanced, of `_STEPS` updates."""
  rng = np.random.default_rng(0)
  each = -(-_STEPS * batch_size // space.NUM_CLASSES)
  each = next(n for n in range(each, 2 * each + 10) if images.cut(n) >= each)
  labels = np.tile(np.arange(space.NUM_CLASSES, dtype=np.int32), each)
  pixels = rng.integers(
      0, 256, (len(labels), images.SIDE, images.SIDE, 3), np.uint8)
  return images.ImageSet(pixels, labels, pixels[:10], labels[:10])


def _time(recipe, unit, row, stage, form):
  """Images a second of one width: the best of three epochs."""
  static = inputs.static_of(recipe, unit, form)._replace(eval_batch=10)
  networks = inputs.networks(recipe, [row] * unit.width, unit.width, unit.arch)
  networks = stage.place(networks._replace(
      id=np.arange(unit.width, dtype=np.int32),
      dataset=np.zeros(unit.width, np.int32)))
  program = population.build(static, stage, networks)
  fresh = stage.place(np.ones(unit.width, bool))
  state = program.reset(networks, stage.place(program.blank()), fresh)
  state, _ = program.epoch(networks, state)  # epoch 0: an evaluation alone
  took = []
  for _ in range(3):
    begin = time.monotonic()
    state, metrics = program.epoch(networks, state)
    jax.block_until_ready(metrics)
    took.append(time.monotonic() - begin)
  return unit.width * unit.batch_size * _STEPS / min(took)
