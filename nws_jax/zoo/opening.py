"""Before anything is trained: is the request possible, and is it this zoo's?

Jax starts only to say what machine this is, and nothing compiles but, on an
accelerator, what `probe` measures; so a wrong request costs seconds.
"""

import json
import os
import time
from typing import Any

import numpy as np

from nws_jax import errors, space
from nws_jax.store import agreement, folder, tables
from nws_jax.zoo import families, images, plan, price, provenance, runtime
from nws_jax.zoo import recipe as recipes


def check_sizes(batch_sizes, images_each):
  """Raises `Wrong` if a set cannot fill a batch.

  Args:
    batch_sizes: all that may be drawn.
    images_each: {image set: images of an epoch}.
  """
  for name, count in images_each.items():
    if count < max(batch_sizes):
      raise errors.Wrong(
          f'batch_size={max(batch_sizes)} is not possible: {name} has {count} '
          'balanced training images. Restrict --config.batch_size or '
          '--config.datasets.')


def check_free(workdir):
  """Raises `Wrong` for a folder that holds something else than a zoo, and
  `Damaged` for a zoo that has lost its config.json."""
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


# Where the images lie, how many train together, and when is compiled change no
# draw; what was planned before stays as it is.
_FREE = ('data_dir', 'networks_per_program', 'disk_gb', 'compile_ahead',
         'merge')


def check_config(workdir, recipe, sets):
  """Raises `Wrong` if another zoo is there; names the first key that differs.

  A zoo may grow: more networks may be asked for, if all else is equal.
  """
  path = os.path.join(workdir, 'config.json')
  if not os.path.exists(path):
    return
  there = {'family': 'cnn', **tables.read_json(path)}  # older zoos
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


def read_config(workdir):
  """Content of config.json; empty if there is none yet."""
  path = os.path.join(workdir, 'config.json')
  return tables.read_json(path) if os.path.exists(path) else {}


def settle(workdir, recipe, sets, made, left):
  """Writes config.json and plan.json, of a new zoo or one that grows.

  A run killed between the two is completed by the next: networks that no plan
  names are planned for.

  Args:
    workdir: the zoo's folder.
    recipe: `recipe.Recipe`.
    sets: its image sets.
    made: `plan.Plan`.
    left: its units that are left to train, here.
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
  """Writes plan.json, and what it says of each unit, beside config.json."""
  plan.save(workdir, made, read_config(workdir).get('identity', ''))


def check_agreement(workdir: str, made: plan.Plan) -> None:
  """Raises `Damaged` unless all records of a zoo fit its plan and each other.

  Until then nothing is removed, and nothing is written anew.
  """
  agreement.check(workdir, read_config(workdir),
                  {u.name: set(u.ids) for u in made.units})


def make_plan(workdir, recipe, rows, images_each, measured):
  """(plan, machine): the plan in the folder, more for what it lacks.

  Starts jax the way the plan wants it, and writes nothing.

  Args:
    workdir: the zoo's folder, which may not be there.
    recipe: `recipe.Recipe`.
    rows: `recipe.rows`.
    images_each: {image set: images of an epoch}.
    measured: whether widths on an accelerator are chosen by a measurement,
      where the config leaves them open and no plan is there.

  Raises:
    errors.Wrong: the plan is for another machine.
  """
  there = plan.find(workdir)
  if there:
    plan.check_rows(os.path.join(workdir, 'plan.json'), there, rows)
    plan.check_descriptions(workdir, there)
  platform, devices = runtime.start(there.devices if there else None)
  machine = price.Machine(platform, devices, runtime.find_memory(),
                          runtime.find_disk(workdir, recipe.disk_gb))
  if there and (there.platform, there.devices) != machine[:2]:
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
        images_a_step=probe.measure(recipe, rows, machine)[0])
  return extend(there, recipe, rows, images_each, machine), machine


def extend(there: plan.Plan | None, recipe: recipes.Recipe,
           rows: list[dict[str, Any]], images_each: dict[str, int],
           machine: price.Machine) -> plan.Plan:
  """The plan of a population: what is there, and more for what that lacks."""
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
  """The units of a plan that are not done."""
  records = [folder.progress(workdir, u.name) for u in made.units]
  return [u for u, record in zip(made.units, records)
          if record is None or not record['done']]


_QUEUE = 4  # widths of networks in a unit whose slots are filled again


def expect_epochs(recipe):
  """Of a network, about: none is stopped before the 20th evaluation, and most
  of those that are meant to be stopped are soon after."""
  return min(recipe.epochs, 40) if recipe.early_stopping else recipe.epochs


def _ask(recipe, sets):
  """What of a request config.json records."""
  return {**recipe.record(),
          'images': {name: images.digest(s) for name, s in sets.items()}}


def _identify(asked: dict[str, Any]) -> str:
  """What tells a zoo from others, however much it grows."""
  return tables.hash_text(json.dumps({
      key: value for key, value in sorted(asked.items())
      if key not in (*_FREE, 'networks')}))
