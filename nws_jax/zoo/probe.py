"""Measures how many networks fill an accelerator: the knee of its throughput.

Networks that run side by side share the time to launch a step's kernels, until
the device is always busy. On CPU they run one after another, so there is
nothing to measure.
"""

import concurrent.futures
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nws_jax import space
from nws_jax.zoo import dataset, images, inputs, plan, population, price, train
from nws_jax.zoo import recipe as recipes
from nws_jax.zoo.families import interface

_STEPS = 8  # updates per epoch that is timed
_ENOUGH = 0.95  # of the best rate
_IMAGES = (4096, 8192, 16384, 32768)  # images per step to try


class Throughput(NamedTuple):
  """What was measured."""
  images_a_step: int  # images per step that fill the machine
  rates: dict[int, float]  # {width: images per second}; empty: not measured


class _Built(NamedTuple):
  """A program of one width, and the networks that it trains."""
  program: population.Program
  networks: train.Network


def measure(recipe: recipes.Recipe, rows: Sequence[dict[str, Any]],
            machine: price.Machine, form: str = 'vmap') -> Throughput:
  """Measures the most frequent combination of architecture and batch size.

  It times the program that trains it, on random images. All widths are
  compiled at once. Nothing is measured if there is only one width to try.

  Args:
    recipe: the zoo's recipe.
    rows: its `recipe.rows`.
    machine: what it runs on.
    form: how networks are mapped.
  """
  groups = [plan.group(row) for row in rows]
  group = max(dict.fromkeys(groups), key=groups.count)
  arch, batch_size = group
  row = rows[groups.index(group)]
  widths = list_widths(machine, arch, batch_size, groups.count(group))
  if len(widths) < 2:
    return Throughput(machine.images_a_step, {})
  stage = population.set_stage(
      dataset.pack([_draw(batch_size)], 10), recipe.seed, form)
  rates: dict[int, float] = {}
  with concurrent.futures.ThreadPoolExecutor() as pool:
    made = [pool.submit(_build, recipe, plan.Unit(
        'probe', (arch,), batch_size, width, ()), row, stage, form)
            for width in widths]
    try:
      for width, future in zip(widths, made):
        rates[width] = width * batch_size * _STEPS / _time(
            future.result(), stage)
    except jax.errors.JaxRuntimeError as e:
      if 'RESOURCE_EXHAUSTED' not in str(e):
        raise
  return Throughput(find_knee(rates, widths[0]) * batch_size, rates)


def list_widths(machine: price.Machine, arch: interface.Shape, batch_size: int,
                networks: int) -> list[int]:
  """The widths to try, ascending.

  Args:
    machine: what networks run on.
    arch: their architecture.
    batch_size: their batch size.
    networks: how many networks have both.
  """
  slots = machine.memory / price.count_bytes(arch, batch_size, machine.platform)
  most = max(1, int(min(slots, networks)))
  each = machine.devices
  return sorted({max(1, min(n // batch_size, most) // each) * each
                 for n in _IMAGES})


def find_knee(rates: Mapping[int, float], least: int) -> int:
  """The smallest width whose rate is close to the best.

  Args:
    rates: {width: images per second}.
    least: what to return if there are no rates.
  """
  best = max(rates.values(), default=0)
  return min((w for w, r in rates.items() if r >= _ENOUGH * best),
             default=least)


def _draw(batch_size: int) -> images.ImageSet:
  """Random images of balanced classes, for `_STEPS` updates per epoch."""
  rng = np.random.default_rng(0)
  each = -(-_STEPS * batch_size // space.NUM_CLASSES)
  each = next(n for n in range(each, 2 * each + 10) if images.cut(n) >= each)
  labels = np.tile(np.arange(space.NUM_CLASSES, dtype=np.int32), each)
  pixels = rng.integers(
      0, 256, (len(labels), images.SIDE, images.SIDE, 3), np.uint8)
  return images.ImageSet(pixels, labels, pixels[:10], labels[:10])


def _build(recipe: recipes.Recipe, unit: plan.Unit, row: dict[str, Any],
           stage: population.Stage, form: str) -> _Built:
  """Compiles the program of one width."""
  static = inputs.static_of(recipe, unit, form)._replace(eval_batch=10)
  networks = inputs.networks(recipe, [row] * unit.width, unit.width, unit.arch)
  changes: dict[str, Any] = {
      'id': np.arange(unit.width, dtype=np.int32),
      'dataset': np.zeros(unit.width, np.int32),
      # At rate 0 no network diverges: a diverged one would take less time.
      'learning_rate': np.zeros(unit.width, np.float32)}
  networks = stage.place(networks._replace(**changes))
  return _Built(population.build(static, stage, networks), networks)


def _time(built: _Built, stage: population.Stage) -> float:
  """Seconds of an epoch: the best of three."""
  program, networks = built
  fresh = stage.place(np.ones(len(networks.id), bool))
  state = program.reset(networks, stage.place(program.blank()), fresh)
  state, _ = program.epoch(networks, state)  # epoch 0: an evaluation only
  seconds = []
  for _ in range(3):
    begin = time.monotonic()
    state, metrics = program.epoch(networks, state)
    jax.block_until_ready(metrics)
    seconds.append(time.monotonic() - begin)
  return min(seconds)
