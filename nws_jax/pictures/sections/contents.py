"""Which sections the page has, and in which order."""

from typing import Any, Mapping, NamedTuple, Sequence

import pandas as pd

from nws_jax.pictures import collection
from nws_jax.pictures.page import blocks
from nws_jax.pictures.sections import (
    ablations,
    calibration,
    controls,
    explanations,
    overview,
    population,
    readings,
    reproduction,
    training,
    transfer,
    weight_map,
)


class Zoo(NamedTuple):
  """The tables and the config of a zoo; see docs/contract.md."""
  members: pd.DataFrame
  metrics: pd.DataFrame
  layers: pd.DataFrame
  config: Mapping[str, Any]
  digest: str


class Commands(NamedTuple):
  read: str  # of meta, for this zoo
  all: Sequence[str]  # that make all of it again


def describe(zoo: Zoo, found: collection.Collection,
             commands: Commands) -> list[blocks.Section]:
  """All sections that have something to say."""
  own, digest, read = found.keep_own(zoo.digest), zoo.digest, commands.read
  sections = [
      overview.describe(own.results, own.grids),
      population.describe(zoo.members, zoo.metrics,
                          zoo.config.get('dataset_source', 'unknown')),
      training.describe(zoo.members, zoo.metrics),
      readings.describe(found.results, digest, read),
      controls.describe(found.results, read),
      calibration.describe(found.results),
      ablations.describe(found.grids, digest, read),
      transfer.describe(found.grids, digest, read),
      explanations.describe(found.explanations, digest, zoo.layers, read),
      weight_map.describe(found.explanations, digest, zoo.members, read),
      reproduction.describe(zoo.config, commands.all)]
  return [s for s in sections if s is not None]
