"""In which environment each unit of a zoo was trained (config.json).

`environments` is a list: each entry names units, and what `environment.
describe` says of where they were trained. A network is trained in one
environment from its first update to its last, since another one would give
it other bits half-way.
"""

import time
from typing import Any

from nws_jax import environment, errors
from nws_jax.store import folder
from nws_jax.zoo import plan


def find(config: dict[str, Any], unit: str) -> dict[str, Any]:
  """The environment in which a unit was, or would be, trained.

  Args:
    config: content of config.json; of an older version it tells the versions
      of packages alone.
    unit: the unit's name.

  Returns:
    a record as of `environment.describe`; empty if nothing is known.
  """
  for entry in reversed(config.get('environments', [])):
    if unit in entry['units']:
      return entry
  return {name: config[name] for name in ('versions', 'revision')
          if name in config}


def compare(config: dict[str, Any], unit: str) -> list[environment.Difference]:
  """How the environment of a unit differs from this one."""
  return environment.compare(find(config, unit), environment.describe())


def extend(config: dict[str, Any], units: list[plan.Unit]
           ) -> list[dict[str, Any]]:
  """The `environments` of a zoo whose units are trained here from now on."""
  entries, here = list(config.get('environments', [])), environment.describe()
  new = [u.name for u in units
         if not any(u.name in entry['units'] for entry in entries)
         or environment.compare(find(config, u.name), here)]
  if not new:
    return entries
  if entries and all(entries[-1].get(key) == here[key] for key in here):
    entries[-1] = {**entries[-1], 'units': entries[-1]['units'] + new}
    return entries
  return entries + [{
      'begun': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
      'units': new, **here}]


def check(workdir: str, config: dict[str, Any], units: list[plan.Unit]
          ) -> list[str]:
  """Compares this environment with that in which a zoo was begun.

  Args:
    workdir: the zoo's folder.
    config: content of its config.json.
    units: those that are left to train.

  Returns:
    what its user should know: a sentence a difference.

  Raises:
    errors.Wrong: a unit is half trained, and its networks would get other
      bits here.
  """
  notes: dict[str, None] = {}
  for unit in units:
    differences = compare(config, unit.name)
    deciding = [d for d in differences if d.decides]
    if deciding and folder.progress(workdir, unit.name):
      raise errors.Wrong(
          f'{workdir} cannot go on here: its unit {unit.name} is half trained, '
          f'and {"; ".join(map(str, deciding))}, which can change the bits of '
          f'its networks. Either {", and ".join(d.fix for d in deciding)}; or '
          f'delete units/{unit.name}, snapshots/{unit.name} and '
          f'state/{unit.name} and run the same command again: that unit is '
          'then trained anew.')
    notes |= dict.fromkeys(map(str, differences))
  return [f'{note}: networks trained from now on may differ in their last '
          'bits from those that a run without a break would have given.'
          for note in notes]
