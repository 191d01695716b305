"""The checks of `nws_jax.verify`.

A check takes an open zoo. It returns a line about what it found, or raises
`errors.Damaged`.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nws_jax import errors, evaluation
from nws_jax.store import agreement

if TYPE_CHECKING:
  from nws_jax import api
  from nws_jax.zoo import images
  from nws_jax.zoo import recipe as recipes


def read_recipe(zoo: 'api.Zoo', data_dir: str | None = None
                ) -> 'recipes.Recipe':
  """Reads the recipe in a zoo's config.json.

  Args:
    zoo: the zoo.
    data_dir: folder of the full image sets; None: the one in config.json.

  Raises:
    Damaged: config.json holds no whole recipe.
  """
  from nws_jax.zoo import recipe as recipes
  recipe = recipes.from_record(zoo.config)
  if data_dir is not None:
    recipe = dataclasses.replace(recipe, data_dir=data_dir)
  return recipe


def load_sets(recipe: 'recipes.Recipe') -> 'dict[str, images.ImageSet]':
  """Loads a zoo's image sets, in the order in which its programs have them."""
  from nws_jax.zoo import images
  return {name: images.load(name, recipe.dataset_source,
                            recipe.data_dir or None)
          for name in dict(recipe.choices)['dataset']}


def choose(zoo: 'api.Zoo', count: int) -> list[int]:
  """Chooses `count` networks, evenly spread; all if there are no more."""
  ids = zoo.members['id'].to_numpy()
  return ids[np.unique(np.linspace(
      0, len(ids) - 1, min(count, len(ids))).astype(int))].tolist()


def check_checksums(zoo: 'api.Zoo') -> str:
  """Every table, record and vector has the digest that was recorded for it."""
  count = zoo.verify()
  tables = zoo.members, zoo.metrics, zoo.layers  # reading compares digests
  return (f'{count:,} vectors, {len(tables)} tables and those of '
          f'{zoo.members["unit"].nunique()} units are as they were written')


def check_records(zoo: 'api.Zoo') -> str:
  """Config, plan, units and tables agree, and what they name exists."""
  planned = agreement.read_planned(zoo.path, zoo.config) or {}
  agreement.check(zoo.path, zoo.config, planned)
  if 'converted_from' not in zoo.config:
    from nws_jax.zoo import plan
    plan.check_descriptions(zoo.path, plan.read(plan_path(zoo)))
  return f'config, plan, units and tables agree about {len(planned)} units'


def check_splits(zoo: 'api.Zoo') -> str:
  """All networks of a setting are in one split and fold."""
  sides = zoo.members.groupby('setting')[['split', 'fold']].nunique()
  for setting in sides.index[(sides > 1).any(axis=1)]:
    raise errors.Damaged(f'setting {setting} is in two splits or folds in '
                         'members.csv.')
  if not zoo.members['id'].is_unique:
    raise errors.Damaged('members.csv names a network twice.')
  counts = zoo.members['split'].value_counts()
  return f'{len(sides)} settings, each in one split; networks: ' + ', '.join(
      f'{counts.get(s, 0)} {s}' for s in ('train', 'valid', 'test'))


def check_figures(zoo: 'api.Zoo') -> str:
  """The accuracies in members.csv are those of each last evaluation."""
  last = zoo.metrics.groupby('id').tail(1).set_index('id')
  for name in ('train_accuracy', 'valid_accuracy', 'test_accuracy'):
    written = zoo.members.set_index('id')[name]
    apart = written.index[~np.isclose(
        written, last.loc[written.index, name], 0, 0, equal_nan=True)]
    for id in apart:
      raise errors.Damaged(
          f'network {id} has {name}={written[id]} in members.csv, but '
          f'{last.loc[id, name]} at its last evaluation in metrics.csv.')
  return (f'{len(zoo.metrics):,} evaluations; members.csv has the last of each '
          'network')


def check_population(zoo: 'api.Zoo', recipe: 'recipes.Recipe') -> str:
  """Every row is as the recipe draws it, in the unit that the plan names."""
  from nws_jax.zoo import plan
  from nws_jax.zoo import recipe as recipes
  drawn = {row['id']: {name: value for name, value in row.items()
                       if name != 'family'}  # config.json has it
           for row in recipes.rows(recipe)}
  units = {id: unit.name for unit in plan.read(plan_path(zoo)).units
           for id in unit.ids}
  for member in zoo.members.to_dict('records'):
    id = member['id']
    for name, value in {**drawn.get(id, {'id': None}),
                        'unit': units.get(id)}.items():
      if member[name] != value:
        raise errors.Damaged(
            f'network {id} has {name}={member[name]!r} in members.csv, but '
            f'by config.json and plan.json it is {value!r}.')
  return (f'{len(zoo.members)} of {recipe.networks} networks exist; their '
          'properties, splits and folds are as drawn again')


def describe_environment(zoo: 'api.Zoo') -> str:
  """Says in which environments the networks were trained, and how this one
  differs; `--replay` shows whether the difference matters."""
  from nws_jax.zoo import provenance
  lines: list[str] = []
  for unit in zoo.members['unit'].unique():
    lines += map(str, provenance.compare(zoo.config, unit))
  entries = zoo.config.get('environments', [])
  if not entries:
    return 'not recorded but for package versions' + ''.join(
        f'; {line}' for line in dict.fromkeys(lines))
  return f'{len(entries)} recorded; ' + (
      '; '.join(dict.fromkeys(lines)) or 'this is the same')


def check_images(zoo: 'api.Zoo', sets: 'Mapping[str, images.ImageSet]'
                 ) -> str:
  """The images here are those that the networks were trained on."""
  from nws_jax.zoo import images
  written = zoo.config.get('images', {})
  for name, image_set in sets.items():
    if written.get(name) != images.digest(image_set):
      raise errors.Damaged(f'the images of {name} here are not those of this '
                           'zoo: its config.json has another digest. Prepare '
                           'them again.')
  return f'{", ".join(sets)}: the images that the networks were trained on'


def check_accuracies(zoo: 'api.Zoo', recipe: 'recipes.Recipe',
                     sets: 'Mapping[str, images.ImageSet]', ids: Sequence[int]
                     ) -> str:
  """Reloaded networks have the validation and test accuracies of metrics.csv.

  The plain Flax modules of the networks are evaluated, after the last epoch
  and after one of the others.

  Args:
    zoo: the zoo.
    recipe: of the zoo.
    sets: its image sets.
    ids: the networks to evaluate.
  """
  members = {m['id']: m for m in zoo.members.to_dict('records')}
  if recipe.eval_augmentation:  # only the trainer draws augmented images
    ids = [id for id in ids if not members[id]['augmentation']]
  figures = num_images = apart = unsure = 0
  for n, id in enumerate(ids):
    kept, rows = zoo.epochs(id), read_figures(zoo, id)
    for epoch in sorted({kept[-1], kept[n % len(kept)]}):
      full = epoch == len(rows) - 1 and zoo.is_done(id)
      for split, pixels, labels in evaluation.choose_images(
          recipe, sets, members[id], full):
        least, count, most = evaluation.count_right(
            zoo, id, epoch, pixels, labels, recipe.eval_bn == 'batch')
        stored = rows[epoch][f'{split}_accuracy'] * len(labels)
        if not least - 0.5 < stored < most + 0.5:
          raise errors.Damaged(
              f'network {id}, epoch {epoch}: by metrics.csv {stored:.0f} of '
              f'{len(labels)} {split} images are right, but {count} were found '
              f'({most - least} are a matter of rounding).')
        figures, num_images = figures + 1, num_images + len(labels)
        apart += abs(round(stored) - count)
        unsure += most - least
  return (f'{figures} figures of {len(ids)} networks, by Flax: {apart} of '
          f'{num_images:,} images differ, {unsure} may by rounding')


def read_figures(zoo: 'api.Zoo', id: int) -> list[dict[str, Any]]:
  """Returns a network's rows of metrics.csv, one for each epoch from 0 on."""
  return zoo.metrics[zoo.metrics['id'] == id].to_dict('records')


def plan_path(zoo: 'api.Zoo') -> str:
  return os.path.join(zoo.path, 'plan.json')
