"""The typed form of a config: how a property is read."""

import dataclasses
import math
import re
from typing import Any, Mapping

from nws_jax import errors, keys
from nws_jax.meta.classifiers import table


@dataclasses.dataclass(frozen=True)
class Settings:
  """See configs/meta.py for the keys."""
  seed: int
  window: int
  epochs: str
  classifier: str
  diverged: bool
  min_accuracy: float
  balance: bool
  bins: int
  exclude: str
  hold_out: str
  learning_rate: float
  batch_size: int
  steps: int
  passes: int
  round_steps: int
  patience: int
  windows_drawn: int
  members: int
  grid_members: int
  windows_per_network: int
  bootstrap: int
  permutations: int
  controls: str  # checked by `answers.controls.list_named`
  seeds: int


# Least and greatest of each whole number. What several of them, and the zoo,
# take together is checked where it is known: `price.check_memory`.
BOUNDS = {
    'seed': (0, 2_000_000_000), 'window': (0, 2**31 - 1),
    'batch_size': (1, 65_536), 'steps': (0, 100_000_000),
    'passes': (0, 1_000_000), 'round_steps': (1, 1_000_000),
    'patience': (1, 100_000_000),
    'windows_drawn': (1, 1000), 'windows_per_network': (1, 1000),
    'members': (1, 1000), 'grid_members': (1, 1000), 'seeds': (1, 1000),
    'bootstrap': (20, 100_000), 'permutations': (1, 10_000), 'bins': (0, 1000),
}
_TYPES = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}
_WORDS = {int: 'whole numbers', float: 'numbers', str: "text, as 'last'",
          bool: 'True and False'}


def from_config(config: Mapping[str, Any]) -> Settings:
  """Checks a config (a mapping) and makes it `Settings`.

  Raises:
    errors.Wrong: names the first key whose value is not possible.
  """
  fields = dataclasses.fields(Settings)
  keys.check(config, [f.name for f in fields], 'configs/meta.py')
  values = {f.name: config[f.name] for f in fields}
  for f in fields:
    kind = Settings.__annotations__[f.name]
    if type(values[f.name]) not in _TYPES[kind]:
      raise errors.impossible(f.name, values[f.name], _WORDS[kind])
  for key, (least, most) in BOUNDS.items():
    if not least <= values[key] <= most:
      raise errors.impossible(
          key, values[key], f'whole numbers from {least} to {most}')
  rate, accuracy = float(config['learning_rate']), float(config['min_accuracy'])
  if not (math.isfinite(rate) and rate >= 0):
    raise errors.impossible('learning_rate', rate, 'finite numbers from 0')
  if not 0 <= accuracy < 1:
    raise errors.impossible('min_accuracy', accuracy, 'from 0 to below 1')
  if values['classifier'] not in ('auto', *table.CLASSIFIERS):
    raise errors.impossible('classifier', values['classifier'],
                            ', '.join(('auto', *table.CLASSIFIERS)))
  if not re.fullmatch(r'last|all|\d+(:\d+)?', values['epochs']):
    raise errors.impossible(
        'epochs', values['epochs'], 'last, all, an epoch, or first:last')
  if values['bins'] == 1:
    raise errors.impossible('bins', 1, '0, or whole numbers from 2')
  if bool(values['steps']) == bool(values['passes']):
    raise errors.Wrong(f'steps={values["steps"]} and passes={values["passes"]}'
                       ': exactly one of them must be above 0.')
  return Settings(**{**values, 'learning_rate': rate,
                     'min_accuracy': accuracy})
