"""What `nws_jax.verify` looks at: each check says what it found, or raises.

A check takes an open zoo (`api.Zoo`) and returns a sentence.
"""

import dataclasses
import functools
import os
from typing import Any

import numpy as np

from nws_jax import errors, space
from nws_jax.store import agreement

# If its label's logit is closer to the best other one than this share of the
# largest, rounding decides about an image: two right ways were up to 3e-4
# apart in networks of the default zoo.
ROUNDING = 1e-3
_SPLIT = 1  # stream of a network's draws in zoo/train.py


def read_recipe(zoo, data_dir=None):
  """The `Recipe` in a zoo's config.json; raises `Damaged` if it is none."""
  from nws_jax.zoo import recipe as recipes
  recipe = recipes.from_record(zoo.config)
  if data_dir is not None:
    recipe = dataclasses.replace(recipe, data_dir=data_dir)
  return recipe


def load_sets(recipe):
  """{name: `images.ImageSet`}, in the order of the zoo's programs."""
  from nws_jax.zoo import images
  return {name: images.load(name, recipe.dataset_source,
                            recipe.data_dir or None)
          for name in dict(recipe.choices)['dataset']}


def choose(zoo, count):
  """Ids of `count` networks, evenly spread; all if there are no more."""
  ids = zoo.members['id'].to_numpy()
  return ids[np.unique(np.linspace(
      0, len(ids) - 1, min(count, len(ids))).astype(int))].tolist()


def check_checksums(zoo):
  """Every table, record and vector has the digest written for it."""
  count = zoo.verify()
  tables = zoo.members, zoo.metrics, zoo.layers  # compared when they are read
  return (f'{count:,} vectors, {len(tables)} tables and those of '
          f'{zoo.members["unit"].nunique()} units are as they were written')


def check_records(zoo: Any) -> str:
  """Config, plan, units and tables say the same; what they name is there."""
  planned = agreement.read_planned(zoo.path, zoo.config) or {}
  agreement.check(zoo.path, zoo.config, planned)
  if 'converted_from' not in zoo.config:
    from nws_jax.zoo import plan
    plan.check_descriptions(zoo.path, plan.read(plan_path(zoo)))
  return f'config, plan, units and tables agree about {len(planned)} units'


def check_splits(zoo):
  """No setting, and no network, is on two sides."""
  sides = zoo.members.groupby('setting')[['split', 'fold']].nunique()
  for setting in sides.index[(sides > 1).any(axis=1)]:
    raise errors.Damaged(f'setting {setting} is on two sides in members.csv.')
  if not zoo.members['id'].is_unique:
    raise errors.Damaged('members.csv names a network twice.')
  counts = zoo.members['split'].value_counts()
  return f'{len(sides)} settings, none on two sides; networks: ' + ', '.join(
      f'{counts.get(s, 0)} {s}' for s in ('train', 'valid', 'test'))


def check_figures(zoo):
  """A network's accuracies are those of its last evaluation."""
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


def check_population(zoo, recipe):
  """Every row is the one that config.json draws, in the unit of plan.json."""
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
            f'config.json and plan.json make it {value!r}.')
  return (f'{len(zoo.members)} of {recipe.networks} networks are there, their '
          'properties, splits and folds are as drawn again')


def describe_environment(zoo: Any) -> str:
  """In which environments the networks were trained, and what is otherwise
  here; whether that matters is for `--replay` to say."""
  from nws_jax.zoo import provenance
  lines = []
  for unit in zoo.members['unit'].unique():
    lines += map(str, provenance.compare(zoo.config, unit))
  entries = zoo.config.get('environments', [])
  if not entries:
    return 'not recorded but for package versions' + ''.join(
        f'; {line}' for line in dict.fromkeys(lines))
  return f'{len(entries)} recorded; ' + (
      '; '.join(dict.fromkeys(lines)) or 'this is the same')


def check_images(zoo: Any, sets: dict[str, Any]) -> str:
  """The images here are those that the networks saw."""
  from nws_jax.zoo import images
  written = zoo.config.get('images', {})
  for name, image_set in sets.items():
    if written.get(name) != images.digest(image_set):
      raise errors.Damaged(f'the images of {name} here are not those of this '
                           'zoo: another digest is in its config.json. Prepare '
                           'them again.')
  return f'{", ".join(sets)}: as the networks saw them'


def check_accuracies(zoo, recipe, sets, ids):
  """Reloaded networks have the validation and test accuracies of metrics.csv.

  Two epochs of each network: the last, and one of the others; measured by the
  plain Flax module.
  """
  members = {m['id']: m for m in zoo.members.to_dict('records')}
  if recipe.eval_augmentation:  # of images that only the trainer draws
    ids = [id for id in ids if not members[id]['augmentation']]
  figures = images = apart = unsure = 0
  for n, id in enumerate(ids):
    kept, rows = zoo.epochs(id), read_figures(zoo, id)
    for epoch in sorted({kept[-1], kept[n % len(kept)]}):
      full = epoch == len(rows) - 1 and zoo.is_done(id)
      for split, pixels, labels in choose_images(
          recipe, sets, members[id], full):
        least, count, most = count_right(zoo, members[id], epoch, pixels,
                                         labels, recipe.eval_bn == 'batch')
        stored = rows[epoch][f'{split}_accuracy'] * len(labels)
        if not least - 0.5 < stored < most + 0.5:
          raise errors.Damaged(
              f'network {id}, epoch {epoch}: by metrics.csv {stored:.0f} of '
              f'{len(labels)} {split} images are right, but {count} were found '
              f'({most - least} are a matter of rounding).')
        figures, images = figures + 1, images + len(labels)
        apart += abs(round(stored) - count)
        unsure += most - least
  return (f'{figures} figures of {len(ids)} networks, by Flax: {apart} of '
          f'{images:,} images differ, {unsure} may by rounding')


def read_figures(zoo, id):
  """A network's rows of metrics.csv: one an epoch, from 0."""
  return zoo.metrics[zoo.metrics['id'] == id].to_dict('records')


def plan_path(zoo):
  return os.path.join(zoo.path, 'plan.json')


def choose_images(recipe, sets, member, full):
  """Yields (split, images, labels) that an evaluation of a network looked at.

  The validation images are drawn again by the recipe's words: one random word
  an image, sorted by class and word; of each class the first nine in ten are
  for training. Test images are a part, evenly spread, and all if `full`.
  """
  import jax

  from nws_jax.zoo import images
  own = sets[member['dataset']]
  key = jax.random.fold_in(jax.random.fold_in(
      jax.random.key(recipe.seed), member['id']), _SPLIT)
  longest = max(max(len(s.train_labels), len(s.test_labels))
                for s in sets.values())
  words_N = np.asarray(jax.random.bits(key, (longest,)))
  order_N = np.lexsort((words_N[:len(own.train_labels)], own.train_labels))
  valid = []
  for label in range(space.NUM_CLASSES):
    mine = order_N[own.train_labels[order_N] == label]
    valid.append(mine[images.cut(len(mine)):])
  valid = np.concatenate(valid)
  yield 'valid', own.train_images[valid], own.train_labels[valid]
  count = len(own.test_labels)
  test = np.linspace(0, count - 1, min(recipe.test_part, count)).astype(int)
  if full:
    test = np.concatenate([test, np.setdiff1d(np.arange(count), test)])
  yield 'test', own.test_images[test], own.test_labels[test]


def count_right(zoo, member, epoch, images_NxHxWxC, labels_N, batch_statistics):
  """(least, count, most) images that a reloaded network gets right.

  Between least and most is what rounding may decide. By batch statistics that
  is all of the last batch too, which the trainer fills up with other images.
  Logits that are not finite, of a network that diverged, are counted as the
  trainer does; so are they where Flax and `api.Zoo.apply` agree.
  """
  from nws_jax.zoo import train
  batch = train.EVAL_BATCH
  net = _compile(zoo.module(member['id']), batch_statistics)
  variables = zoo.variables(member['id'], epoch)
  least = count = most = 0
  for n in range(0, len(labels_N), batch):
    labels = labels_N[n:n + batch]
    at = np.arange(n, n + batch) % len(labels_N)
    logits_BxK = np.asarray(net(variables, images_NxHxWxC[at]))[:len(labels)]
    own = np.arange(logits_BxK.shape[1]) == labels[:, None]
    with np.errstate(invalid='ignore', over='ignore'):
      gap_B = logits_BxK[own] - np.where(own, -np.inf, logits_BxK).max(-1)
    slack_B = ROUNDING * np.abs(logits_BxK).max(-1)
    if batch_statistics and len(labels) < batch:
      slack_B[:] = np.inf
    right_B = logits_BxK.argmax(-1) == labels  # NaN is the greatest
    least_B, most_B = gap_B > slack_B, gap_B >= -slack_B
    lost_B = ~np.isfinite(logits_BxK).all(-1)
    if lost_B.any():  # what overflows, and to what, depends on the form
      other_B = ~right_B if batch_statistics else zoo.apply(
          member['id'], epoch, images_NxHxWxC[at]).argmax(-1)[
              :len(labels)] == labels
      least_B = np.where(lost_B, right_B & other_B, least_B)
      most_B = np.where(lost_B, right_B | other_B, most_B)
    least += int(least_B.sum())
    count += int(right_B.sum())
    most += int(most_B.sum())
  return least, count, most


@functools.lru_cache(maxsize=None)
def _compile(net, batch_statistics):
  """(variables, uint8 images [B, H, W, C]) -> logits [B, K]."""
  import jax

  @jax.jit
  def logits(variables, images):
    x = images.astype(np.float32) / 255
    if batch_statistics:
      return net.apply(variables, x, train=True, mutable=['batch_stats'])[0]
    return net.apply(variables, x)
  return logits
