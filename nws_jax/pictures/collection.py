"""All that a folder of meta holds, in the order in which it counts."""

import os
from typing import Any, Mapping, NamedTuple

from nws_jax.pictures import explanations, ranking, records, results


class Collection(NamedTuple):
  """Each list is in `ranking.order`."""
  results: list[records.Result]
  grids: list[records.Ablation]
  explanations: list[records.Explanation]

  def keep_own(self, digest: str) -> 'Collection':
    """What was read from the zoo with this digest."""
    return Collection([r for r in self.results if r.digest == digest],
                      [r for r in self.grids if r.digest == digest],
                      [r for r in self.explanations if r.digest == digest])


def read(folder: str | os.PathLike[str], digest: str,
         defaults: Mapping[str, Any]) -> Collection:
  """Reads all records under a --workdir of meta.

  Args:
    folder: it need not exist.
    digest: of the zoo whose records come first.
    defaults: meta's default settings.

  Raises:
    errors.Damaged: a record is not what was written.
  """
  return Collection(
      ranking.order(results.read_results(folder, defaults), digest),
      ranking.order(results.read_ablations(folder, defaults), digest),
      ranking.order(explanations.read(folder, defaults), digest))
