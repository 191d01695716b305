"""How many networks fill an accelerator: the knee of measured throughput.

Side by side, networks share what it takes to start a step's kernels, until the
device is busy all the time. On CPU they run one after another, so that nothing
is to be found there.
"""

import concurrent.futures
import time

import jax
import numpy as np

from nws_jax import space
from nws_jax.zoo import dataset, images, inputs, plan, population, price

_STEPS = 8  # updates that are timed together
_ENOUGH = 0.95  # of the best rate
_IMAGES = (4096, 8192, 16384, 32768)  # a step, of what is tried


def measure(recipe, rows, machine, form='vmap'):
  """(images a step that fill the machine, {width: images/s}).

  Measured for the commonest combination of architecture and batch size, by the
  program that trains it, on random images. All widths are compiled at once. A
  population that trains all at once whatever is found is not measured.

  Args:
    recipe: `recipe.Recipe`.
    rows: `recipe.rows`.
    machine: `price.Machine`.
    form: how networks are mapped.
  """
  groups = [plan.group(row) for row in rows]
  arch, batch_size = group = max(dict.fromkeys(groups), key=groups.count)
  row = rows[groups.index(group)]
  widths = list_widths(machine, arch, batch_size, groups.count(group))
  if len(widths) < 2:
    return machine.images_a_step, {}
  stage = population.set_stage(
      dataset.pack([_draw(batch_size)], 10), recipe.seed, form)
  rates = {}
  with concurrent.futures.ThreadPoolExecutor() as pool:
    made = [pool.submit(_build, recipe, plan.Unit(
        'probe', (arch,), batch_size, width, ()), row, stage, form)
            for width in widths]
    try:
      for width, future in zip(widths, made):
        rates[width] = width * batch_size * _STEPS / _time(
            *future.result(), stage)
    except jax.errors.JaxRuntimeError as e:
      if 'RESOURCE_EXHAUSTED' not in str(e):
        raise
  return find_knee(rates, widths[0]) * batch_size, rates


def list_widths(machine, arch, batch_size, networks):
  """Those to try, of one combination that so many networks have."""
  slots = machine.memory / price.count_bytes(arch, batch_size, machine.platform)
  most = max(1, int(min(slots, networks)))
  each = machine.devices
  return sorted({max(1, min(n // batch_size, most) // each) * each
                 for n in _IMAGES})


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


def _build(recipe, unit, row, stage, form):
  """(program, networks) of one width."""
  static = inputs.static_of(recipe, unit, form)._replace(eval_batch=10)
  networks = inputs.networks(recipe, [row] * unit.width, unit.width, unit.arch)
  networks = stage.place(networks._replace(
      id=np.arange(unit.width, dtype=np.int32),
      dataset=np.zeros(unit.width, np.int32),
      # At rate 0 none can diverge, which would be over sooner.
      learning_rate=np.zeros(unit.width, np.float32)))
  return population.build(static, stage, networks), networks


def _time(program, networks, stage):
  """Seconds of an epoch: the best of three."""
  fresh = stage.place(np.ones(len(networks.id), bool))
  state = program.reset(networks, stage.place(program.blank()), fresh)
  state, _ = program.epoch(networks, state)  # epoch 0: an evaluation alone
  took = []
  for _ in range(3):
    begin = time.monotonic()
    state, metrics = program.epoch(networks, state)
    jax.block_until_ready(metrics)
    took.append(time.monotonic() - begin)
  return min(took)
