"""The cost estimate that --plan prints."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nws_jax import say
from nws_jax.zoo import families, opening, plan, price
from nws_jax.zoo import recipe as recipes

_SHOWN = 24  # programs: those that take longest


class _Program(NamedTuple):
  """The units that share a compiled program, together."""
  name: str
  shapes: int
  networks: int
  width: int
  images: float
  seconds: float


def text(recipe: recipes.Recipe, rows: Sequence[Mapping[str, Any]],
         left: Sequence[plan.Unit], machine: price.Machine,
         images_each: Mapping[str, int], disk: float) -> str:
  """A table of the programs, and a few lines on time, memory and disk.

  Args:
    recipe: of the population.
    rows: of `recipe.rows`.
    left: the units of the plan that are not done.
    machine: what they would run on.
    images_each: {image set: images an epoch}.
    disk: bytes that may be used.
  """
  epochs = opening.expect_epochs(recipe)
  family, programs = families.FAMILIES[recipe.family], []
  for units in _by_program(left):
    unit = units[0]
    ids = [id for u in units for id in u.ids]
    images = sum(images_each[rows[id]['dataset']] // unit.batch_size
                 * unit.batch_size for id in ids) * epochs
    programs.append(_Program(
        unit.name.rsplit('-', 1)[0], len(unit.archs), len(ids), unit.width,
        images, price.estimate_seconds(
            unit.arch, unit.batch_size, len(ids), machine,
            price.Work(images / epochs / len(ids), epochs))))
  seconds = sum(p.seconds for p in programs)
  compilation = len(programs) * price.compile_seconds(machine)
  archs = {row['id']: families.architecture(row) for row in rows}
  kept, peak = price.count_disk(left, archs, epochs, recipe.keep)
  memory = max((u.width * price.count_bytes(u.arch, u.batch_size,
                                            machine.platform)
                for u in left), default=0)
  hidden = recipe.compile_ahead and len(programs) > 1
  return '\n'.join([
      *_tabulate(programs), '',
      f'{sum(len(u.ids) for u in left):,} of {len(rows):,} networks are left, '
      f'in {len(programs)} programs on {machine.devices} {machine.platform} '
      f'device{"s" * (machine.devices > 1)}',
      'dots    ' + family.describe_form(family.find_form(
          price.choose_form(machine.platform), recipe.convolution,
          recipe.precision)),
      f'images  {_count(sum(p.images for p in programs))}, if networks train '
      f'for {epochs} epochs'
      + (f' (early stopping: from 19 to {recipe.epochs})'
         if recipe.early_stopping and recipe.epochs > 19 else ''),
      f'time    about {say.time(seconds)} of training and '
      f'{say.time(compilation)} of compilation'
      + (', all but the first during training' if hidden else ''),
      f'memory  about {say.size(memory)} for the networks, of '
      f'{say.size(machine.memory)} that may be used',
      f'disk    {say.size(kept)} of snapshots, and at most {say.size(peak)} '
      f'more during training, of {say.size(disk)} that may be used'])


def _by_program(units: Sequence[plan.Unit]) -> Iterable[list[plan.Unit]]:
  programs: dict[Any, list[plan.Unit]] = {}
  for u in units:
    programs.setdefault((u.archs, u.batch_size), []).append(u)
  return programs.values()


def _tabulate(programs: Sequence[_Program]) -> list[str]:
  """Lines of a table of the programs that take longest."""
  if not programs:
    return []
  import pandas as pd  # slow, and not needed for --help
  longest = sorted(programs, key=lambda p: -p.seconds)[:_SHOWN]
  table = pd.DataFrame([{
      'shapes': p.shapes, 'networks': f'{p.networks:,}', 'at once': p.width,
      'images': _count(p.images), 'time': say.time(p.seconds)}
      for p in longest], [p.name for p in longest])
  others = len(programs) - len(longest)
  return [table.rename_axis(columns='program').to_string(
              col_space={c: len(c) + 1 for c in table}),
          *([f'... and {others} shorter ones'] if others else [])]


def _count(n: float) -> str:
  for unit, size in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
    if n >= size:
      return f'{n / size:.1f} {unit}'
  return str(n)
