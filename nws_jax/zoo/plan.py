"""Which networks train together: groups -> units, made once and kept.

A unit is a batch of networks of one batch size, and of architectures that one
program can hold by masks: one run of one compiled program, committed after
every round.
"""

import dataclasses
import os
import re
from typing import Any, NamedTuple

from nws_jax import errors, space
from nws_jax.store import descriptions, folder, tables
from nws_jax.zoo import families, merging, price
from nws_jax.zoo.families import interface


class Unit(NamedTuple):
  """Networks trained together, in `width` slots; the next one of `ids` takes
  the slot of one that is finished."""
  name: str
  archs: tuple  # ascending
  batch_size: int
  width: int
  ids: tuple

  @property
  def arch(self):
    """What its program is compiled for."""
    return interface.envelop(self.archs)

  def place(self, arch):
    """Where a network's values lie in the vectors of its program."""
    if self.archs == (arch,):
      return slice(None)
    return families.of(arch).masks.places(arch, self.arch)


def group(row: dict[str, Any]) -> tuple[Any, int]:
  """What networks must share to be trained by one program without masks."""
  return families.architecture(row), int(row['batch_size'])


class Plan(NamedTuple):
  """How a population is run; decides, with the recipe, every bit of it."""
  platform: str  # cpu, gpu or tpu
  form: str  # how networks are mapped: 'map' or 'vmap' (population.py)
  devices: int
  units: tuple
  images_a_step: int  # that widths were chosen for, on an accelerator


def make(rows, machine, work, width=0, merge=True, queue=1, thins=False):
  """Plans a population.

  Args:
    rows: `recipe.rows`.
    machine: `price.Machine` that it will run on.
    work: `price.Work` of its networks.
    width: most networks that train at once; 0 chooses.
    merge: whether architectures may share a program, where that is cheaper.
    queue: most networks of a unit, in widths.
    thins: whether not all of a unit's snapshots are kept.
  """
  form = price.choose_form(machine.platform)
  none = Plan(machine.platform, form, machine.devices, (),
              machine.images_a_step)
  return extend(none, rows, machine, work, width, merge, queue, thins)


def extend(plan, rows, machine, work, width=0, merge=True, queue=1,
           thins=False):
  """A plan with units more, for rows that it does not name; see `make`."""
  known = {id for u in plan.units for id in u.ids}
  groups = {}
  for row in rows:
    if row['id'] not in known:
      groups.setdefault(group(row), []).append(row['id'])
  units, last = list(plan.units), {}
  for u in plan.units:
    label, number = u.name.rsplit('-', 1)
    last[label] = max(last.get(label, -1), int(number))
  for archs, batch_size in _share(groups, machine, work, merge):
    ids = sorted(id for a in archs for id in groups[a, batch_size])
    arch = interface.envelop(archs)
    most = width or price.choose_width(machine, arch, batch_size)
    long = most * queue if not thins else price.choose_queue(
        arch, most, queue, machine, work)
    for some in _cut(ids, long):
      label = f'{_label(arch)}-b{batch_size}'
      number = last[label] = last.get(label, -1) + 1
      slots = min(most, len(some))
      units.append(Unit(f'{label}-{number:03d}', archs, batch_size,
                        -(-slots // plan.devices) * plan.devices, some))
  return plan._replace(units=tuple(units))


def halve(plan, unit, begun):
  """The plan where a unit, and those like it that are not among the names
  `begun`, have half its width; the same if there is no half."""
  width = max(1, unit.width // plan.devices // 2) * plan.devices
  return plan._replace(units=tuple(
      u._replace(width=width)
      if u.name not in begun and (u.archs, u.batch_size, u.width) == (
          unit.archs, unit.batch_size, unit.width) else u
      for u in plan.units))


def _share(groups, machine, work, merge):
  """[(architectures, batch size)] that share a program."""
  pools = {}
  for arch, batch_size in sorted(groups):
    masks = families.of(arch).masks
    pool = masks.pool(arch) if merge and masks else arch
    pools.setdefault((batch_size, pool), []).append(arch)
  return [(archs, key[0]) for key, pool in sorted(pools.items())
          for archs in merging.merge(
              {arch: len(groups[arch, key[0]]) for arch in pool}, key[0],
              machine, work)]


def _cut(ids, most):
  """Even parts of at most so many, rather than a small last one."""
  each = -(-len(ids) // -(-len(ids) // most))
  return [tuple(ids[n:n + each]) for n in range(0, len(ids), each)]


def _label(arch):
  """Of an envelope: that of its largest sizes."""
  if not isinstance(arch, interface.Envelope):
    return arch.name
  return f'upto-{families.of(arch).masks.cover(arch.members).name}'


def save(zoo: str, plan: Plan, identity: str) -> None:
  """Writes plan.json, and beside each unit what it says of that unit.

  Args:
    zoo: the zoo's folder.
    plan: `Plan`.
    identity: of the zoo, by which its units are known.
  """
  path = os.path.join(zoo, 'plan.json')
  tables.keep_json(path, _to_record(plan))
  for place, unit in enumerate(plan.units):
    descriptions.write(zoo, unit.name, _describe(plan, unit, place, identity))


def find(zoo: str) -> Plan | None:
  """The plan of a zoo: `Plan`; None if it has none yet.

  Where plan.json is gone, it is made again from what the units recorded.

  Raises:
    Damaged: it is, or it is gone and a unit recorded nothing.
  """
  path = os.path.join(zoo, 'plan.json')
  if os.path.exists(path):
    return read(path)
  found = descriptions.read_all(zoo)
  for unit in folder.units(zoo):
    if unit not in found:
      raise errors.Damaged(
          f'{path} is missing, and {unit} was made by a version that did not '
          'record what was planned of it. Restore plan.json from a copy, or '
          'train the networks again in another --workdir.')
  if not found:
    return None
  parts = sorted(found.values(), key=lambda d: d['place'])
  return _parse(path, {**parts[0]['plan'], 'units': [d['unit'] for d in parts]})


def check_descriptions(zoo: str, plan: Plan) -> None:
  """Raises `Damaged` if a unit that has begun recorded another plan."""
  for unit in plan.units:
    found = descriptions.read(zoo, unit.name)
    if found and folder.progress(zoo, unit.name):
      path = folder.unit_path(zoo, unit.name, 'unit.json')
      if _parse(path, {**found['plan'], 'units': [found['unit']]}) != (
          plan._replace(units=(unit,))):
        raise tables.damaged(os.path.join(zoo, 'plan.json'),
                             f'it says of {unit.name} what {path} does not')


def write(path, plan):
  """Writes a plan alone; see `save`."""
  tables.write_json(path, _to_record(plan))


def read(path):
  """Inverse of `write`; raises `errors.Damaged` if it is not a plan."""
  return _parse(path, tables.read_json(path))


def _to_record(plan: Plan) -> dict[str, Any]:
  return {**plan._asdict(), 'units': [
      {**u._asdict(), 'family': u.arch.family,
       'archs': [dataclasses.asdict(a) for a in u.archs]}
      for u in plan.units]}


def _describe(plan: Plan, unit: Unit, place: int, identity: str
              ) -> dict[str, Any]:
  record = _to_record(plan._replace(units=(unit,)))
  (own,) = record.pop('units')
  return {'zoo': identity, 'place': place, 'plan': record, 'unit': own}


def _parse(path: str, record: dict[str, Any]) -> Plan:
  """A plan from what JSON keeps of it, in the file `path`."""
  try:
    units = tuple(
        Unit(str(u['name']),
             tuple(map(families.FAMILIES[u.get('family', 'cnn')].parse,
                       u['archs'])),
             int(u['batch_size']), int(u['width']), tuple(map(int, u['ids'])))
        for u in record['units'])
    plan = Plan(str(record['platform']), str(record['form']),
                int(record['devices']), units,
                int(record.get('images_a_step', price.IMAGES_A_STEP)))
    wrong = _find_wrong(plan)
  except (KeyError, TypeError, ValueError, errors.Wrong) as e:
    raise tables.damaged(path, f'it is no plan ({e!r})') from e
  if wrong:
    raise tables.damaged(path, wrong)
  return plan


def _find_wrong(plan):
  """What no plan has that was made here, in words; None if there is nothing."""
  if plan.devices < 1:
    return f'it is for {plan.devices} devices'
  names, ids = set(), set()
  for u in plan.units:
    if u.name in names:
      return f'it names the unit {u.name} twice'
    names.add(u.name)
    if not re.fullmatch('.+-[0-9]+', u.name):
      return f'it names a unit {u.name!r}, without a number'
    if u.width < 1 or u.width % plan.devices:
      return (f'{u.name} has width={u.width}, which is no multiple of its '
              f'{plan.devices} devices')
    for id in u.ids:
      if id in ids:
        return f'it names network {id} twice'
      ids.add(id)
    for arch in u.archs:
      for p in families.of(arch).properties:
        if p.role == space.SHAPE:
          space.check(p, (getattr(arch, p.name),))
  return None


def check_rows(path, plan, rows):
  """Raises `Damaged` unless a plan's units can hold the networks they name."""
  for u in plan.units:
    groups = {(arch, u.batch_size) for arch in u.archs}
    for id in u.ids:
      if not 0 <= id < len(rows):
        raise tables.damaged(path, f'it names network {id}, of {len(rows)}')
      if group(rows[id]) not in groups:
        raise tables.damaged(
            path, f'{u.name} cannot hold network {id}, which is a '
            f'{families.architecture(rows[id]).name} of '
            f'batch_size={rows[id]["batch_size"]}')
