"""What a population is: the typed form of a config, and its rows."""

import dataclasses
import math

from nws_jax import errors, space
from nws_jax.store import vectors

SOURCES = ('embedded', 'tfds')
EVAL_BN = ('running', 'batch')
PRECISIONS = ('float32',)


@dataclasses.dataclass(frozen=True)
class Recipe:
  """A population and how it is trained; see configs/zoo.py for the keys."""
  seed: int
  networks: int
  replicates: int
  sampling: str  # of `space.SAMPLINGS`
  epochs: int
  dataset_source: str
  data_dir: str
  lr_decay: float
  early_stopping: int  # validation drops that stop a network; 0: none
  eval_bn: str
  precision: str
  test_part: int
  networks_per_program: int  # 0: chosen by the plan
  choices: tuple  # ((property, values), ...), in the order of the table

  def record(self):
    """As JSON keeps it."""
    result = dataclasses.asdict(self)
    result['choices'] = {name: list(v) for name, v in self.choices}
    return result


def from_config(config):
  """Checks a config and makes it a `Recipe`.

  Raises:
    errors.Wrong: names the first key whose value is not possible.
  """
  def whole(key, low, high=2 ** 31 - 1):
    v = config[key]
    if not low <= v <= high:
      raise errors.Wrong(f'{key}={v} is not possible; allowed: whole numbers '
                         f'from {low} to {high}.')
    return v

  def word(key, allowed):
    if config[key] not in allowed:
      raise errors.Wrong(f'{key}={config[key]!r} is not possible; allowed: '
                         f'{", ".join(allowed)}.')
    return config[key]

  choices = []
  for p in space.PROPERTIES:
    key = 'datasets' if p.name == 'dataset' else p.name
    values = _words(config[key])
    if p.continuous and all(type(v) in (int, float) for v in values):
      values = tuple(map(float, values))
    space.check(p.name, values)
    choices.append((p.name, values))
  decay = float(config.lr_decay)
  if not (math.isfinite(decay) and 0 < decay <= 1):
    raise errors.Wrong(f'lr_decay={decay} is not possible; allowed: above 0, '
                       'up to 1 (1 is a constant learning rate).')
  width = config.networks_per_program
  if width != 'auto' and not (str(width).isdigit() and int(width) > 0):
    raise errors.Wrong(f'networks_per_program={width!r} is not possible; '
                       'allowed: auto, or a whole number from 1.')
  return Recipe(
      seed=whole('seed', 0), networks=whole('networks', 1),
      replicates=whole('replicates', 1),
      sampling=word('sampling', space.SAMPLINGS),
      epochs=whole('epochs', 1, 100_000),
      dataset_source=word('dataset_source', SOURCES),
      data_dir=config.data_dir, lr_decay=decay,
      early_stopping=whole('early_stopping', 0),
      eval_bn=word('eval_bn', EVAL_BN),
      precision=word('precision', PRECISIONS), test_part=whole('test_part', 1),
      networks_per_program=0 if width == 'auto' else int(width),
      choices=tuple(choices))


def from_record(record):
  """The recipe of a config.json, read back: inverse of `Recipe.record`.

  Raises:
    errors.Damaged: something is missing, or is no possible value.
  """
  try:
    values = {f.name: record[f.name] for f in dataclasses.fields(Recipe)}
    values['choices'] = tuple((p.name, tuple(values['choices'][p.name]))
                              for p in space.PROPERTIES)
    for name, allowed in values['choices']:
      space.check(name, allowed)
  except (KeyError, TypeError, errors.Wrong) as e:
    raise errors.Damaged(f'config.json holds no whole recipe: {e}') from e
  return Recipe(**values)


def _words(values):
  """A key's values: a tuple, or words parted by commas from the command."""
  if isinstance(values, (list, tuple)):
    if len(values) == 1 and isinstance(values[0], str):
      return tuple(v.strip() for v in values[0].split(','))
    return tuple(values)
  return (values,)


def rows(recipe):
  """The population: one dict a network, what is known before training.

  Row `id` depends on (seed, id) and the choices alone.
  """
  choices, result = dict(recipe.choices), []
  for id in range(recipe.networks):
    setting, replicate = divmod(id, recipe.replicates)
    row = space.sample(recipe.seed, setting, choices, recipe.sampling)
    split, fold = space.side(recipe.seed, setting)
    arch = space.architecture(row)
    result.append({
        'id': id, 'setting': setting, 'replicate': replicate,
        'seed': recipe.seed, 'split': split, 'fold': fold,
        'architecture': arch.name, **row, 'lr_decay': recipe.lr_decay,
        'epochs': recipe.epochs, 'num_weights': vectors.num_weights(arch),
        'num_weights_conv': vectors.num_weights_conv(arch)})
  return result
