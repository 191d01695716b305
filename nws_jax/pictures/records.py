"""The records that meta leaves on disk, in memory: see docs/contract.md."""

import dataclasses
import math
import pathlib
from typing import Any, Mapping

import pandas as pd

from nws_jax.pictures import measures, theme

DEFAULT = 'default'
# Settings that no longer exist, with the value that changes nothing.
_REMOVED = {'cnn_steps': 0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
  """What every record tells: of which property, classifier, zoo and config."""
  target: str
  classifier: str
  folder: pathlib.Path
  overrides: dict[str, Any]  # the settings that are not the defaults
  digest: str  # of the zoo that was read
  data: dict[str, Any]  # the whole JSON file

  @property
  def title(self) -> str:
    return f'{theme.words(self.target)}, {self.classifier}'

  @property
  def settings(self) -> str:
    """The overrides in words."""
    return ', '.join(f'{k}={v}' for k, v in self.overrides.items()) or DEFAULT

  @property
  def config(self) -> dict[str, Any]:
    return find_config(self.data)

  @property
  def flags(self) -> dict[str, Any]:
    """The flags of meta that ask for it, beside its config."""
    return {'target': self.target, 'classifier': self.classifier}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result(Record):
  """One result.json. `main` is the accuracy per network, or R²."""
  main: measures.Measure

  @property
  def scale(self) -> measures.Scale:
    return (measures.R2 if self.data['kind'] == 'regression'
            else measures.ACCURACY)

  @property
  def num_networks(self) -> float:
    """How many networks were tested; NaN where the file does not tell."""
    part = 'r2' if self.scale is measures.R2 else 'per_network'
    return self.data.get(part, {}).get('networks', math.nan)

  @property
  def controls(self) -> dict[str, Any]:
    return self.data.get('controls', {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablation(Record):
  """One ablation.csv: a row a cell of the grid over `axes`."""
  axes: tuple[str, ...]
  cells: pd.DataFrame

  @property
  def flags(self) -> dict[str, Any]:
    return {**super().flags, 'ablate': self.axes}

  @property
  def held_out(self) -> str:
    """The property whose levels were held out in turn; '' if none was."""
    return str(self.config.get('hold_out', ''))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explanation(Record):
  """One explanation.json; a table that was not written is None."""
  classes: list[str]
  attribution: pd.DataFrame | None
  attribution_position: pd.DataFrame | None
  prototypes: pd.DataFrame | None
  filters: pd.DataFrame | None
  map: pd.DataFrame | None


def find_config(data: Mapping[str, Any]) -> dict[str, Any]:
  """The settings of a record, but for removed ones that changed nothing."""
  return {k: v for k, v in data.get('config', {}).items()
          if k not in _REMOVED or _REMOVED[k] != v}


def find_number(part: Any) -> float:
  """The value in {'accuracy' or 'value': x, ...}, or the number itself."""
  if isinstance(part, dict):
    part = part.get('accuracy', part.get('value'))
  return math.nan if part is None else float(part)
