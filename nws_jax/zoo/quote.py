"""What a population will take, for who decides whether to train it."""

from nws_jax import published, say
from nws_jax.zoo import conv, opening, price

_SHOWN = 24  # programs; the longest ones
_HEAD = ('program', 'shapes', 'networks', 'at once', 'images', 'time')


def text(recipe, rows, left, machine, images_each, disk):
  """A table of the programs, and a few lines on time, memory and disk.

  Args:
    recipe: `recipe.Recipe`.
    rows: `recipe.rows`.
    left: units of the plan that are not done.
    machine: `price.Machine`.
    images_each: {image set: images of an epoch}.
    disk: bytes that may be taken.
  """
  epochs = opening.expect_epochs(recipe)
  lines, total_images, seconds = [], 0, 0.0
  for units in _by_program(left):
    unit = units[0]
    ids = [id for u in units for id in u.ids]
    images = sum(images_each[rows[id]['dataset']] // unit.batch_size
                 * unit.batch_size for id in ids) * epochs
    time = price.estimate_seconds(
        unit.arch, unit.batch_size, len(ids), machine,
        price.Work(images / epochs / len(ids), epochs))
    lines.append((time, (
        unit.name.rsplit('-', 1)[0], len(unit.archs), f'{len(ids):,}',
        unit.width, _count(images), say.time(time))))
    total_images, seconds = total_images + images, seconds + time
  programs, compile = len(lines), price.compile_seconds(machine)
  archs = {row['id']: published.architecture(row) for row in rows}
  kept, peak = price.count_disk(left, archs, epochs, recipe.keep)
  memory = max((u.width * price.count_bytes(u.arch, u.batch_size,
                                            machine.platform)
                for u in left), default=0)
  hidden = recipe.compile_ahead and programs > 1
  lines.sort(key=lambda x: -x[0])
  return '\n'.join([
      *_align([_HEAD] + [line for _, line in lines[:_SHOWN]]),
      *[f'... and {programs - _SHOWN} shorter ones'] * (programs > _SHOWN), '',
      f'{sum(len(u.ids) for u in left):,} of {len(rows):,} networks are left, '
      f'in {programs} programs on {machine.devices} {machine.platform} '
      f'device{"s" * (machine.devices > 1)}',
      'dots    convolutions are '
      + conv.describe(conv.find_form(
          price.choose_form(machine.platform), recipe.convolution,
          recipe.precision)),
      f'images  {_count(total_images)}, if networks train for {epochs} epochs'
      + (f' (early stopping: from 19 to {recipe.epochs})'
         if recipe.early_stopping and recipe.epochs > 19 else ''),
      f'time    about {say.time(seconds)} of training, and '
      f'{say.time(programs * compile)} of compilation'
      + (', all but the first beside it' if hidden else ''),
      f'memory  about {say.size(memory)} for the networks, of '
      f'{say.size(machine.memory)} that may be used',
      f'disk    {say.size(kept)} of snapshots, at most {say.size(peak)} more '
      f'while they are made, of {say.size(disk)}'])


def _by_program(units):
  programs = {}
  for u in units:
    programs.setdefault((u.archs, u.batch_size), []).append(u)
  return programs.values()


def _align(rows):
  widths = [max(len(str(row[n])) for row in rows) for n in range(len(_HEAD))]
  return ['  '.join(str(x).rjust(w) if n else str(x).ljust(w)
                    for n, (x, w) in enumerate(zip(row, widths)))
          for row in rows]


def _count(n):
  for unit, size in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
    if n >= size:
      return f'{n / size:.1f} {unit}'
  return str(n)
