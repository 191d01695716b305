"""Checks before training: is a request possible, and does it fit the zoo?

JAX starts only to find out what machine this is. Nothing is compiled but, on an
accelerator, the programs that `probe` measures. So a wrong request is refused
within seconds.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors, published, space
from nws_jax.store import agreement, folder, tables
from nws_jax.zoo import families, images, plan, price, provenance, runtime
from nws_jax.zoo import recipe as recipes

Sets = Mapping[str, images.ImageSet]  # by their names


def check_sizes(batch_sizes: Iterable[int], images_each: Mapping[str, int]
                ) -> None:
  """Raises `Wrong` if an image set has too few images for a batch.

  Args:
    batch_sizes: all that a network may have.
    images_each: {image set: images in an epoch}.
  """
  largest = max(batch_sizes)
  for name, count in images_each.items():
    if count < largest:
      raise errors.Wrong(
          f'batch_size={largest} is not possible: {name} has {count} '
          'balanced training images. Restrict --config.batch_size or '
          '--config.datasets.')


def check_free(workdir: str) -> None:
  """Checks that a folder is a zoo, or is empty, or does not exist.

  Raises:
    Wrong: it holds something else.
    Damaged: it is a zoo whose config.json is missing.
  """
  if os.path.exists(workdir) and not os.path.isdir(workdir):
    raise errors.Wrong(f'{workdir} is a file. Name a folder with --workdir.')
  if os.path.isdir(workdir) and not os.path.exists(
      os.path.join(workdir, 'config.json')):
    if folder.is_begun(workdir):
      raise tables.damaged(
          os.path.join(workdir, 'config.json'), 'it is missing')
    others = folder.list_held(workdir)
    if others:
      raise errors.Wrong(
          f'{workdir} is not a zoo, and not empty: it holds {others[0]!r}. '
          'Name another --workdir.')


# Keys that may change when a zoo is resumed: they change no draw, and the plan
# of the networks that are there stays as it is.
_FREE = ('data_dir', 'networks_per_program', 'disk_gb', 'compile_ahead',
         'merge')


def check_config(workdir: str, recipe: recipes.Recipe, sets: Sets) -> None:
  """Raises `Wrong` if a folder holds the zoo of another recipe.

  A zoo may grow: if all else is equal, the recipe may have more networks.
  """
  path = os.path.join(workdir, 'config.json')
  if not os.path.exists(path):
    return
  there = tables.read_json(path)
  there['family'] = published.find_family(there)
  for key, value in _ask(recipe, sets).items():
    old = there.get(key)
    same = (isinstance(old, int) and old <= value if key == 'networks'
            else old == value)
    if key not in _FREE and not same:
      raise errors.Wrong(
          f'{workdir} holds another zoo: its {key} is {old!r}, not {value!r}. '
          'Ask for the same'
          + (' or more' if key == 'networks' else '')
          + ', or name another --workdir.')


def read_config(workdir: str) -> dict[str, Any]:
  """Returns the content of config.json; empty if there is none yet."""
  path = os.path.join(workdir, 'config.json')
  return tables.read_json(path) if os.path.exists(path) else {}


def settle(workdir: str, recipe: recipes.Recipe, sets: Sets, made: plan.Plan,
           left: list[plan.Unit]) -> None:
  """Writes config.json and plan.json of a zoo that is new, grows or resumes.

  If a run is killed between the two, the next one plans the networks that no
  plan names yet.

  Args:
    workdir: the zoo's folder.
    recipe: the population.
    sets: its image sets.
    made: its plan.
    left: the units of the plan that are trained now.
  """
  path = os.path.join(workdir, 'config.json')
  there, now = read_config(workdir), {'created': time.strftime(
      '%Y-%m-%dT%H:%M:%SZ', time.gmtime())}
  record = dict(there)
  if there.get('networks') != recipe.networks:
    asked = _ask(recipe, sets)
    record = {'identity': _identify(asked), **now, **there, **asked,
              'properties': space.to_records(
                  families.FAMILIES[recipe.family].properties)}
    if there:
      record['grown'] = there.get('grown', []) + [
          {'from': there['networks'], **now}]
  if left:
    record['environments'] = provenance.extend(there, left)
  if record != there:
    tables.write_json(path, record)
  save_plan(workdir, made)


def save_plan(workdir: str, made: plan.Plan) -> None:
  """Writes plan.json and the units' parts of it; config.json must be there."""
  plan.save(workdir, made, read_config(workdir).get('identity', ''))


def check_agreement(workdir: str, made: plan.Plan) -> None:
  """Raises `Damaged` unless all records of a zoo fit its plan and each other.

  It comes before anything is removed or rewritten.
  """
  agreement.check(workdir, read_config(workdir),
                  {u.name: set(u.ids) for u in made.units})


class Planned(NamedTuple):
  """A plan, and the machine that it is for."""
  made: plan.Plan
  machine: price.Machine


def make_plan(workdir: str, recipe: recipes.Recipe, rows: list[dict[str, Any]],
              images_each: Mapping[str, int], measured: bool) -> Planned:
  """Plans a population, or reads its plan and adds units that it lacks.

  Starts JAX with the number of devices in the plan. Writes nothing.

  Args:
    workdir: the zoo's folder, which need not exist.
    recipe: the population.
    rows: of `recipe.rows`.
    images_each: {image set: images in an epoch}.
    measured: whether a measurement chooses the widths if this is an
      accelerator, there is no plan yet, and the recipe has no width.

  Raises:
    Wrong: the plan is for another machine.
    Damaged: the plan is damaged.
  """
  there = plan.find(workdir)
  if there:
    plan.check_rows(os.path.join(workdir, 'plan.json'), there, rows)
    plan.check_descriptions(workdir, there)
  platform, devices = runtime.start(there.devices if there else None)
  machine = price.Machine(platform, devices, runtime.find_memory(),
                          runtime.find_disk(workdir, recipe.disk_gb))
  if there and (there.platform, there.devices) != (platform, devices):
    raise errors.Wrong(
        f'{workdir} was begun on {there.devices} {there.platform} devices, but '
        f'{machine.devices} {machine.platform} devices are here. Go on where '
        'it began' + (', or set JAX_PLATFORMS=cpu' * (
            there.platform == 'cpu')) + '.')
  if there:
    machine = machine._replace(images_a_step=there.images_a_step)
  elif measured and platform != 'cpu' and not recipe.networks_per_program:
    from nws_jax.zoo import probe
    machine = machine._replace(
        images_a_step=probe.measure(recipe, rows, machine).images_a_step)
  return Planned(extend(there, recipe, rows, images_each, machine), machine)


def extend(there: plan.Plan | None, recipe: recipes.Recipe,
           rows: list[dict[str, Any]], images_each: Mapping[str, int],
           machine: price.Machine) -> plan.Plan:
  """Plans a population, or adds to its plan `there` the units that it lacks."""
  work = price.Work(
      float(np.mean([images_each[row['dataset']] for row in rows])),
      expect_epochs(recipe))
  options = plan.Options(
      recipe.networks_per_program, recipe.merge,
      _QUEUE if recipe.early_stopping else 1, bool(recipe.keep))
  if there:
    return plan.extend(there, rows, machine, work, options)
  return plan.make(rows, machine, work, options)


def list_left(workdir: str, made: plan.Plan) -> list[plan.Unit]:
  """Lists the units of a plan that are not done."""
  records = [folder.progress(workdir, u.name) for u in made.units]
  return [u for u, record in zip(made.units, records)
          if record is None or not record['done']]


# If networks stop early, a unit has about so many networks for each slot.
_QUEUE = 4


def expect_epochs(recipe: recipes.Recipe) -> int:
  """Estimates how many epochs a network is trained.

  No network is stopped before the 20th evaluation, and most of those that are
  stopped are stopped soon after.
  """
  return min(recipe.epochs, 40) if recipe.early_stopping else recipe.epochs


def _ask(recipe: recipes.Recipe, sets: Sets) -> dict[str, Any]:
  """Returns what config.json records of a request."""
  return {**recipe.record(),
          'images': {name: images.digest(s) for name, s in sets.items()}}


def _identify(asked: dict[str, Any]) -> str:
  """Returns the identity of a zoo, which stays the same when it grows."""
  return tables.hash_text(json.dumps({
      key: value for key, value in sorted(asked.items())
      if key not in (*_FREE, 'networks')}))
