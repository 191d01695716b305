"""Is there room on the disk for a population; what helps if there is not."""

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
  """Raises `Wrong` if what is left to train cannot fit on the disk.

  Args:
    workdir: the zoo's folder, which may not be there.
    recipe: `recipe.Recipe`.
    rows: `recipe.rows`.
    images_each: {image set: images of an epoch}.
    machine: `price.Machine` that it will run on.
    units: of the plan, those that are not done.
  """
  # What units that have begun wrote is part of what they need.
  written = sum(runtime.size_folder(os.path.join(workdir, kind, u.name))
                for kind in ('snapshots', 'state') for u in units)
  budget, free = (runtime.find_disk(workdir, disk_gb) + written
                  for disk_gb in (recipe.disk_gb, 0))
  kept, peak = _count(recipe, rows, units)
  if kept + peak <= budget:
    return

  def need(count: int, disk: float = machine.disk, **changes: int) -> float:
    """Bytes that another request would take more."""
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
  """What smaller requests fit, in words.

  Args:
    need: (networks, changed keys) -> bytes.
    budget: bytes.
    count: networks asked for.
    most: networks that about fit.
    there: content of config.json; empty if there is no zoo yet.
    keep: as asked for.
  """
  ways = []
  while most >= there.get('networks', 1):  # those that are there stay
    if need(most) <= budget:
      ways.append(f'--config.networks={most} would fit')
      break
    most = most * 9 // 10
  if not there:  # another `keep` is another zoo
    sizes = {n: need(count, keep=n) for n in (20, 2) if not keep or n < keep}
    ways += [f'--config.keep={n} would take {say.size(size)}'
             for n, size in sizes.items() if size <= budget][:1]
  return ways


def _find_enough(need: Callable[..., float], count: int, enough: float,
                 written: float, size: float) -> str:
  """The `disk_gb` with which so many networks fit.

  Args:
    need: (networks, bytes of disk) -> bytes.
    count: networks.
    enough: bytes that would do if units did not grow with the disk.
    written: bytes of it that are there already.
    size: bytes of the zoo's folder.
  """
  while True:  # it grows, and units have a greatest size
    gb = math.ceil((enough - written + size) / 1e6) / 1e3
    disk = gb * 1e9 - size
    enough = need(count, disk)
    if enough <= disk + written:
      return f'{gb:.3f}'


def _count(recipe: recipes.Recipe, rows: list[dict[str, Any]],
           units: list[plan.Unit]) -> tuple[float, float]:
  """(bytes of the snapshots of units, most bytes while one is made)."""
  archs = {row['id']: families.architecture(row) for row in rows}
  return price.count_disk(
      units, archs, opening.expect_epochs(recipe), recipe.keep)
