"""Checks that a population fits on the disk; says what helps if it does not."""

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

from nws_jax import errors, say
from nws_jax.zoo import families, opening, plan, price, runtime
from nws_jax.zoo import recipe as recipes


def check(workdir: str, recipe: recipes.Recipe, rows: list[dict[str, Any]],
          images_each: dict[str, int], machine: price.Machine,
          units: list[plan.Unit]) -> None:
  """Checks that what is left to train fits on the disk.

  Args:
    workdir: the zoo's folder, which need not exist.
    recipe: the zoo's recipe.
    rows: its `recipe.rows`.
    images_each: {image set: images per epoch}.
    machine: what the population will run on.
    units: the units of the plan that are not done.

  Raises:
    errors.Wrong: it does not fit; says what would.
  """
  # What the units have already written is part of what they need.
  written = sum(runtime.size_folder(os.path.join(workdir, kind, u.name))
                for kind in ('snapshots', 'state') for u in units)
  budget, free = (runtime.find_disk(workdir, disk_gb) + written
                  for disk_gb in (recipe.disk_gb, 0))
  kept, peak = _count(recipe, rows, units)
  if kept + peak <= budget:
    return

  def need(count: int, disk: float = machine.disk, **changes: Any) -> float:
    """Bytes that another request would need."""
    other, some = dataclasses.replace(recipe, **changes), rows[:count]
    made = opening.extend(plan.find(workdir), other, some, images_each,
                          machine._replace(disk=disk))
    return sum(_count(other, some, opening.list_left(workdir, made)))

  there, left = opening.read_config(workdir), sum(len(u.ids) for u in units)
  most = len(rows) - left + int(left * max(0, budget - peak) / max(kept, 1))
  ways = _list_smaller(need, budget, len(rows), most, there, recipe.keep)
  if budget < free:  # by disk_gb
    ways.append('raise --config.disk_gb to ' + _find_enough(
        need, len(rows), kept + peak, written, runtime.size_folder(workdir)))
  if kept + peak > free:
    ways.append('make room, or ' + (
        'move the zoo to another disk' if there else
        'name a --workdir on another disk'))
  raise errors.Wrong(
      f'{workdir} would need {say.size(kept + peak)} of disk for {left} '
      f'networks ({say.size(kept)} of snapshots, and {say.size(peak)} '
      f'while they are made), but {say.size(budget)} are '
      + (f'allowed by disk_gb={recipe.disk_gb:g}' if budget < free else 'free')
      + f'. What helps: {"; or ".join(ways)}.')


def _list_smaller(need: Callable[..., float], budget: float, count: int,
                  most: int, there: dict[str, Any], keep: int) -> list[str]:
  """Describes smaller requests that fit.

  Args:
    need: (networks, changed keys) -> bytes.
    budget: bytes.
    count: requested networks.
    most: about how many networks fit.
    there: content of config.json; empty if there is no zoo yet.
    keep: requested snapshots per network.
  """
  ways = []
  while most >= there.get('networks', 1):  # existing networks stay
    if need(most) <= budget:
      ways.append(f'--config.networks={most} would fit')
      break
    most = most * 9 // 10
  if not there:  # an existing zoo cannot change `keep`
    sizes = {n: need(count, keep=n) for n in (20, 2) if not keep or n < keep}
    ways += [f'--config.keep={n} would take {say.size(size)}'
             for n, size in sizes.items() if size <= budget][:1]
  return ways


def _find_enough(need: Callable[..., float], count: int, enough: float,
                 written: float, size: float) -> str:
  """The `disk_gb` that is enough for a number of networks.

  Args:
    need: (networks, bytes of disk) -> bytes.
    count: networks.
    enough: bytes that would be enough if units did not grow with the disk.
    written: bytes of them that are already written.
    size: bytes of the zoo's folder.
  """
  # More disk makes larger units, which need more disk. The loop ends, because
  # `enough` only grows, and units have a greatest size.
  while True:
    gb = math.ceil((enough - written + size) / 1e6) / 1e3
    disk = gb * 1e9 - size
    enough = need(count, disk)
    if enough <= disk + written:
      return f'{gb:.3f}'


def _count(recipe: recipes.Recipe, rows: list[dict[str, Any]],
           units: list[plan.Unit]) -> price.DiskUse:
  """What units need on disk."""
  archs = {row['id']: families.architecture(row) for row in rows}
  return price.count_disk(
      units, archs, opening.expect_epochs(recipe), recipe.keep)
