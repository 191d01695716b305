"""Which networks train together: groups -> units, made once and kept.

A unit is a batch of networks of one architecture and batch size: one run of
one compiled program, committed as a whole after every epoch.
"""

import dataclasses
from typing import NamedTuple

from nws_jax import space
from nws_jax.store import tables


class Unit(NamedTuple):
  """Networks trained together. `width` slots, the last ones may be empty."""
  name: str
  arch: space.Architecture
  batch_size: int
  width: int
  ids: tuple


class Plan(NamedTuple):
  """How a population is run; decides, with the recipe, every bit of it."""
  platform: str  # cpu, gpu or tpu
  form: str  # how networks are mapped: 'map' or 'vmap' (population.py)
  devices: int
  units: tuple


def make(rows, platform, devices, width=0):
  """Plans a population.

  Args:
    rows: `recipe.rows`.
    platform: what it will run on.
    devices: how many share the networks of a unit.
    width: most networks in a unit; 0 chooses.
  """
  form = 'map' if platform == 'cpu' else 'vmap'
  groups = {}
  for row in rows:
    groups.setdefault(space.group(row), []).append(row['id'])
  units = []
  for (arch, batch_size), ids in sorted(groups.items()):
    most = width or _width(form, batch_size)
    count = -(-len(ids) // most)
    each = -(-len(ids) // count)  # even units rather than a small last one
    for n in range(count):
      units.append(Unit(
          f'{arch.name}-b{batch_size}-{n:03d}', arch, batch_size,
          -(-each // devices) * devices, tuple(ids[n * each:(n + 1) * each])))
  return Plan(platform, form, devices, tuple(units))


def _width(form, batch_size):
  """Networks a unit: on CPU how much a kill may lose, else what fills a
  device, which is about 16k images a step."""
  return 64 if form == 'map' else max(1, 16384 // batch_size)


def write(path, plan):
  tables.write_json(path, {
      **plan._asdict(),
      'units': [{**u._asdict(), 'arch': dataclasses.asdict(u.arch)}
                for u in plan.units]})


def read(path):
  """Inverse of `write`; raises `errors.Damaged` if it is not a plan."""
  record = tables.read_json(path)
  try:
    units = tuple(
        Unit(u['name'], space.Architecture(**u['arch']), int(u['batch_size']),
             int(u['width']), tuple(map(int, u['ids'])))
        for u in record['units'])
    return Plan(str(record['platform']), str(record['form']),
                int(record['devices']), units)
  except (KeyError, TypeError, ValueError) as e:
    raise tables.damaged(path, f'it is no plan ({e!r})') from e
