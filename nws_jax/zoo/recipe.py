"""A population: the typed form of a config, and the rows drawn from it."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from nws_jax import errors, keys, paths, published, space
from nws_jax.zoo import families, images
from nws_jax.zoo.families import interface

EVAL_BN = ('running', 'batch')
PRECISIONS = ('float32', 'tf32', 'bfloat16')  # see families.layers.DOTS
FLAGS = (True, False)
# The least and the greatest value of each count. The greatest ones are far
# above those of any published zoo, and still so small that a row, or an array,
# for each fits into memory.
BOUNDS = {
    'seed': (0, 2**31 - 1), 'networks': (1, 100_000),
    'replicates': (1, 100_000),
    'epochs': (1, 100_000), 'early_stopping': (0, 100_000),
    'test_part': (1, 1_000_000), 'networks_per_program': (1, 100_000),
    'keep': (2, 100_000),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
  """A population, and how it is trained; configs/zoo.py explains the keys."""
  seed: int
  networks: int
  replicates: int
  sampling: str  # of `space.SAMPLINGS`
  epochs: int
  dataset_source: str
  data_dir: str
  lr_decay: float
  early_stopping: int  # validation drops that stop a network; 0: never
  eval_bn: str
  precision: str
  test_part: int
  networks_per_program: int  # 0: chosen for the machine
  keep: int  # snapshots kept of each network, evenly spread; 0: all
  eval_augmentation: bool
  disk_gb: float  # 0: all that is free
  compile_ahead: bool
  merge: bool
  choices: tuple[tuple[str, tuple[Any, ...]], ...]  # ((property, values), ...),
  #   in the order of the family's properties
  convolution: str = 'auto'  # of the family's `forms`
  family: str = published.FAMILY  # of `families.FAMILIES`

  def record(self) -> dict[str, Any]:
    """Returns what config.json holds of it; see `from_record`."""
    result = dataclasses.asdict(self)
    result['choices'] = {name: list(v) for name, v in self.choices}
    return result


def from_config(config: Mapping[str, Any]) -> Recipe:
  """Checks a config, and makes a `Recipe` of it.

  Raises:
    Wrong: a value is not possible; names the first such key.
  """
  def refuse(key: str, allowed: str) -> NoReturn:
    raise errors.impossible(key, config[key], allowed)

  def whole(key: str) -> int:
    v, (low, high) = config[key], BOUNDS[key]
    if not (_is_whole(v) and low <= v <= high):
      refuse(key, f'whole numbers from {low} to {high}')
    return v

  def number(key: str, test: Callable[[float], bool], allowed: str) -> float:
    v = config[key]
    if not (_is_whole(v) or isinstance(v, float)) or not (
        math.isfinite(v) and test(v)):
      refuse(key, allowed)
    return float(v)

  def word(key: str, allowed: Sequence[Any]) -> Any:
    if config[key] not in allowed:
      refuse(key, ', '.join(map(str, allowed)))
    return config[key]

  def whole_or(key: str, other: str) -> int:
    """Reads a whole number, or the word `other`, for which it returns 0.

    From the command line a number comes as a string too.
    """
    v, (low, high) = config[key], BOUNDS[key]
    if v == other:
      return 0
    if not ((_is_whole(v) or re.fullmatch(r'[0-9]{1,9}', str(v)))
            and low <= int(v) <= high):
      refuse(key, f'{other}, or a whole number from {low} to {high}')
    return int(v)

  names = [f.name for f in dataclasses.fields(Recipe) if f.name != 'choices']
  kind = published.find_family(config)
  if kind not in list(families.FAMILIES):
    refuse('family', ', '.join(families.FAMILIES))
  family = families.FAMILIES[kind]
  keys.check(config, names + list(map(_key, family.properties)),
             'configs/zoo.py')
  choices = _choices(config, family)
  source = word('dataset_source', tuple(images.SOURCES))
  _check_source(dict(choices)['dataset'], source)
  return Recipe(
      seed=whole('seed'), networks=whole('networks'),
      replicates=whole('replicates'),
      sampling=word('sampling', space.SAMPLINGS),
      epochs=whole('epochs'),
      dataset_source=source, data_dir=config['data_dir'] and paths.expand(
          config['data_dir'], 'data_dir'),
      lr_decay=number('lr_decay', lambda v: 0 < v <= 1, 'above 0, up to 1 (1 '
                      'is a constant learning rate)'),
      early_stopping=whole('early_stopping'),
      eval_bn=word('eval_bn', EVAL_BN),
      precision=word('precision', PRECISIONS), test_part=whole('test_part'),
      networks_per_program=whole_or('networks_per_program', 'auto'),
      keep=whole_or('keep', 'all'),
      eval_augmentation=word('eval_augmentation', FLAGS),
      disk_gb=number('disk_gb', lambda v: v >= 0, 'finite numbers from 0 (0 is '
                     'what is free)'),
      compile_ahead=word('compile_ahead', FLAGS), merge=word('merge', FLAGS),
      choices=choices, convolution=word('convolution', family.forms),
      family=family.name)


def _is_whole(v: Any) -> bool:
  return isinstance(v, int) and not isinstance(v, bool)


def _choices(config: Mapping[str, Any], family: interface.Family
             ) -> tuple[tuple[str, tuple[Any, ...]], ...]:
  """Checks the properties' values in a config; see `Recipe.choices`."""
  result = []
  for p in family.properties:
    values = _words(config[_key(p)])
    space.check(p, values)
    result.append((p.name, tuple(map(float, values)) if p.continuous
                   else values))
  return tuple(result)


def _key(p: space.Property) -> str:
  """The key of a property in a config."""
  return 'datasets' if p.name == 'dataset' else p.name


def _check_source(names: Sequence[str], source: str) -> None:
  """Raises `Wrong` if a source lacks some of the named image sets."""
  has = images.SOURCES[source]
  missing = [n for n in names if n not in has]
  if missing:
    kept = [n for n in names if n in has] or has
    raise errors.Wrong(
        f'{", ".join(missing)} cannot be had from dataset_source={source!r}, '
        f'which has {", ".join(has)}. Restrict them, as '
        f'--config.datasets={",".join(kept)}, or use '
        + ' or '.join(f'--config.dataset_source={s}'
                      for s in images.SOURCES if s != source) + '.')


def from_record(record: Mapping[str, Any]) -> Recipe:
  """Makes a recipe of the content of a config.json; see `Recipe.record`.

  Raises:
    Damaged: a key is missing, or its value is not possible.
  """
  # Older zoos did not record these.
  record = {'convolution': 'banded',
            'family': published.find_family(record), **record}
  try:
    properties = families.of_record(record).properties
    values = {f.name: record[f.name] for f in dataclasses.fields(Recipe)}
    values['choices'] = tuple((p.name, tuple(values['choices'][p.name]))
                              for p in properties)
    for p, (_, allowed) in zip(properties, values['choices']):
      space.check(p, allowed)
  except (KeyError, TypeError, errors.Wrong) as e:
    raise errors.Damaged(f'config.json holds no whole recipe: {e}') from e
  return Recipe(**values)


def _words(values: Any) -> tuple[Any, ...]:
  """Returns the values of a key as a tuple.

  The command line may give them as one string, separated by commas.
  """
  if isinstance(values, (list, tuple)):
    if len(values) == 1 and isinstance(values[0], str):
      return tuple(v.strip() for v in values[0].split(','))
    return tuple(values)
  return (values,)


def rows(recipe: Recipe) -> list[dict[str, Any]]:
  """Draws a population.

  Returns:
    One row of members.csv for each network, with what is known before
    training. The row of a network depends on nothing but the seed, its id and
    the choices.
  """
  settings = -(-recipe.networks // recipe.replicates)
  family = families.FAMILIES[recipe.family]
  drawn = space.sample(
      family.properties, recipe.seed, range(settings), dict(recipe.choices),
      recipe.sampling)
  sides = [space.side(recipe.seed, setting) for setting in range(settings)]
  result = []
  for id in range(recipe.networks):
    setting, replicate = divmod(id, recipe.replicates)
    row, (split, fold) = drawn[setting], sides[setting]
    arch = family.architecture(row)
    layout = family.layout(arch)
    result.append({
        'id': id, 'family': family.name, 'setting': setting,
        'replicate': replicate,
        'seed': recipe.seed, 'split': split, 'fold': fold,
        'architecture': arch.name, **row, 'lr_decay': recipe.lr_decay,
        'epochs': recipe.epochs, 'num_weights': layout.num_weights,
        'num_weights_conv': layout.num_weights_conv})
  return result
