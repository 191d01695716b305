"""Which networks train together: the plan of a population.

A plan divides the networks into units. All networks of a unit have one batch
size, and architectures that one compiled program can train by masks. A unit is
committed after every round. The plan is made once, and kept in plan.json.
"""

import dataclasses
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors, space
from nws_jax.store import descriptions, folder, tables
from nws_jax.zoo import families, merging, price
from nws_jax.zoo.families import interface


class Unit(NamedTuple):
  """Networks trained together in `width` slots; when a network is finished,
  the next one of `ids` takes its slot."""
  name: str
  archs: tuple[interface.Shape, ...]  # ascending
  batch_size: int
  width: int
  ids: tuple[int, ...]

  @property
  def arch(self) -> interface.Shape:
    """What its program is compiled for."""
    return interface.envelop(self.archs)

  def place(self, arch: interface.Shape) -> slice | np.ndarray:
    """Indices of a network's values in the vectors of the unit's program."""
    if self.archs == (arch,):
      return slice(None)
    return _masks(arch).places(arch, self.arch)


class Group(NamedTuple):
  """What networks share that one program can train without masks."""
  arch: interface.Shape
  batch_size: int


def group(row: Mapping[str, Any]) -> Group:
  """The group of a population's row."""
  return Group(families.architecture(row), int(row['batch_size']))


class Plan(NamedTuple):
  """How a population is trained; it and the recipe determine every bit."""
  platform: str  # cpu, gpu or tpu
  form: str  # how networks are mapped: 'map' or 'vmap' (population.py)
  devices: int
  units: tuple[Unit, ...]
  images_a_step: int  # that widths were chosen for, on an accelerator


class Options(NamedTuple):
  """How networks are divided into units."""
  width: int = 0  # slots of a unit, at most; 0: chosen for the machine
  merge: bool = True  # whether architectures share programs if it is cheaper
  queue: int = 1  # networks of a unit, at most, as a multiple of its slots
  thins: bool = False  # whether only some snapshots of a network are kept


def make(rows: Iterable[Mapping[str, Any]], machine: price.Machine,
         work: price.Work, options: Options = Options()) -> Plan:
  """Plans a population.

  Args:
    rows: of `recipe.rows`.
    machine: what the population will be trained on.
    work: what a network is trained on.
    options: how networks are divided into units.
  """
  form = price.choose_form(machine.platform)
  empty = Plan(machine.platform, form, machine.devices, (),
               machine.images_a_step)
  return extend(empty, rows, machine, work, options)


def extend(plan: Plan, rows: Iterable[Mapping[str, Any]],
           machine: price.Machine, work: price.Work,
           options: Options = Options()) -> Plan:
  """Adds units for the rows that a plan does not name; see `make`."""
  known = {id for u in plan.units for id in u.ids}
  groups: dict[Group, list[int]] = {}
  for row in rows:
    if row['id'] not in known:
      groups.setdefault(group(row), []).append(row['id'])
  units = list(plan.units)
  last: dict[str, int] = {}  # {label: the greatest number of its units}
  for u in plan.units:
    label, digits = u.name.rsplit('-', 1)
    last[label] = max(last.get(label, -1), int(digits))
  for archs, batch_size in _share(groups, machine, work, options.merge):
    ids = sorted(id for a in archs for id in groups[Group(a, batch_size)])
    arch = interface.envelop(archs)
    most = options.width or price.choose_width(machine, arch, batch_size)
    # Before its snapshots are thinned, a unit needs much of the disk.
    longest = most * options.queue if not options.thins else price.choose_queue(
        arch, most, options.queue, machine, work)
    for some in _cut(ids, longest):
      label = f'{_label(arch)}-b{batch_size}'
      number = last[label] = last.get(label, -1) + 1
      slots = min(most, len(some))
      units.append(Unit(f'{label}-{number:03d}', archs, batch_size,
                        -(-slots // plan.devices) * plan.devices, some))
  return plan._replace(units=tuple(units))


def halve(plan: Plan, unit: Unit, begun: Collection[str]) -> Plan:
  """Halves the width of a unit, and of those like it that are not among the
  names `begun`; returns an equal plan if the width cannot be halved."""
  width = max(1, unit.width // plan.devices // 2) * plan.devices
  return plan._replace(units=tuple(
      u._replace(width=width)
      if u.name not in begun and (u.archs, u.batch_size, u.width) == (
          unit.archs, unit.batch_size, unit.width) else u
      for u in plan.units))


def _share(groups: Mapping[Group, Sequence[int]], machine: price.Machine,
           work: price.Work, merge: bool) -> list[tuple[tuple[Any, ...], int]]:
  """Lists (architectures, batch size) of the groups that share a program."""
  pools: dict[tuple[int, Any], list[Any]] = {}
  for arch, batch_size in sorted(groups):
    masks = families.of(arch).masks
    pool = masks.pool(arch) if merge and masks else arch
    pools.setdefault((batch_size, pool), []).append(arch)
  return [(archs, batch_size)
          for (batch_size, _), pool in sorted(pools.items())
          for archs in merging.merge(
              {arch: len(groups[Group(arch, batch_size)]) for arch in pool},
              batch_size, machine, work)]


def _cut(ids: Sequence[int], most: int) -> list[tuple[int, ...]]:
  """Cuts ids into parts of at most `most`, as even as possible."""
  each = -(-len(ids) // -(-len(ids) // most))
  return [tuple(ids[n:n + each]) for n in range(0, len(ids), each)]


def _label(arch: interface.Shape) -> str:
  """The start of a unit's name; of an envelope it names the largest sizes."""
  if not isinstance(arch, interface.Envelope):
    return arch.name
  return f'upto-{_masks(arch).cover(arch.members).name}'


def _masks(arch: interface.Shape) -> interface.Masks:
  masks = families.of(arch).masks
  assert masks is not None, 'without masks no architectures share a program'
  return masks


def save(zoo: str, plan: Plan, identity: str) -> None:
  """Writes plan.json, and into the folder of each unit what it says of it.

  Args:
    zoo: the zoo's folder.
    plan: the plan.
    identity: the zoo's, by which its units are recognized.
  """
  path = os.path.join(zoo, 'plan.json')
  tables.keep_json(path, _to_record(plan))
  for place, unit in enumerate(plan.units):
    descriptions.write(zoo, unit.name, _describe(plan, unit, place, identity))


def find(zoo: str) -> Plan | None:
  """Reads the plan of a zoo; None if it has none yet.

  If plan.json is missing, the plan is composed of what the units recorded.

  Raises:
    Damaged: plan.json is damaged, or it is missing and a unit recorded nothing.
  """
  path = os.path.join(zoo, 'plan.json')
  if os.path.exists(path):
    return read(path)
  found = descriptions.read_all(zoo)
  for unit in folder.units(zoo):
    if unit not in found:
      raise errors.Damaged(
          f'{path} is missing, and {unit} was trained by a version that did '
          'not record its part of the plan. Restore plan.json from a copy, or '
          'train the networks again in another --workdir.')
  if not found:
    return None
  parts = sorted(found.values(), key=lambda d: d['place'])
  return _parse(path, {**parts[0]['plan'], 'units': [d['unit'] for d in parts]})


def check_descriptions(zoo: str, plan: Plan) -> None:
  """Raises `Damaged` if a unit that has begun was trained by another plan."""
  for unit in plan.units:
    found = descriptions.read(zoo, unit.name)
    if found and folder.progress(zoo, unit.name):
      path = folder.unit_path(zoo, unit.name, 'unit.json')
      if _parse(path, {**found['plan'], 'units': [found['unit']]}) != (
          plan._replace(units=(unit,))):
        raise tables.damaged(
            os.path.join(zoo, 'plan.json'),
            f'what it says about {unit.name} differs from {path}')


def write(path: str, plan: Plan) -> None:
  """Writes a plan to a file, and nothing else; see `save`."""
  tables.write_json(path, _to_record(plan))


def read(path: str) -> Plan:
  """Reads what `write` wrote; raises `Damaged` if it is not a plan."""
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
  """Makes a plan from its JSON record, which was read from `path`."""
  try:
    units = tuple(
        Unit(str(u['name']),
             tuple(map(families.of_record(u).parse, u['archs'])),
             int(u['batch_size']), int(u['width']), tuple(map(int, u['ids'])))
        for u in record['units'])
    plan = Plan(str(record['platform']), str(record['form']),
                int(record['devices']), units,
                int(record.get('images_a_step', price.IMAGES_A_STEP)))
    wrong = _find_wrong(plan)
  except (KeyError, TypeError, ValueError, errors.Wrong) as e:
    raise tables.damaged(path, f'it is not a plan ({e!r})') from e
  if wrong:
    raise tables.damaged(path, wrong)
  return plan


def _find_wrong(plan: Plan) -> str | None:
  """Says what is impossible in a plan; None if nothing is."""
  if plan.devices < 1:
    return f'it is for {plan.devices} devices'
  names: set[str] = set()
  ids: set[int] = set()
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


def check_rows(path: str, plan: Plan, rows: Sequence[Mapping[str, Any]]
               ) -> None:
  """Raises `Damaged` unless each unit can train the networks that it names."""
  for u in plan.units:
    groups = {Group(arch, u.batch_size) for arch in u.archs}
    for id in u.ids:
      if not 0 <= id < len(rows):
        raise tables.damaged(path, f'it names network {id}, of {len(rows)}')
      if group(rows[id]) not in groups:
        raise tables.damaged(
            path, f'{u.name} cannot hold network {id}, which is a '
            f'{families.architecture(rows[id]).name} of '
            f'batch_size={rows[id]["batch_size"]}')
