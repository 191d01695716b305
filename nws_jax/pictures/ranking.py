"""Which of several readings of a property the page shows.

The order never depends on time: what is made later does not replace what is
nearer to the default settings.
"""

import math
from typing import (
    Any,
    Callable,
    Generic,
    Hashable,
    Mapping,
    NamedTuple,
    Sequence,
    TypeVar,
)

from nws_jax.pictures import records

R = TypeVar('R', bound=records.Record)

CLASSIFIERS = ('majority', 'logistic', 'svm', 'boosting', 'fast', 'cnn',
               'transformer', 'equivariant')  # rungs of the ladder, from below
_DEFAULT_CLASSIFIERS = ('fast', 'cnn')  # what --classifier=auto stands for
# Settings that change what is written beside a score, but not the score.
_ASIDE = ('classifier', 'controls', 'permutations')


class Choice(NamedTuple, Generic[R]):
  """The records that are shown, and the others, each in their order."""
  shown: list[R]
  others: list[R]


def find_overrides(data: Mapping[str, Any],
                   defaults: Mapping[str, Any] | None) -> dict[str, Any]:
  """The settings of a record that differ from the defaults, where known."""
  config = records.find_config(data).items()
  return {} if defaults is None else {
      k: v for k, v in config
      if k not in _ASIDE and (k not in defaults or defaults[k] != v)}


def order(found: Sequence[R], digest: str) -> list[R]:
  """Records in the order in which they count.

  Those of the zoo with this digest come first, and among them those with the
  fewest overrides; a classifier other than the default ones is an override.
  Ties go to the newer version, then to more networks, then to more controls,
  then by the overrides in words, by the classifier and by the path.
  """
  def rank(r: R) -> tuple[Any, ...]:
    return (r.digest != digest,
            len(r.overrides) + (r.classifier not in _DEFAULT_CLASSIFIERS),
            -r.data.get('answers', 0),
            -r.data.get('networks', {}).get('read', 0),
            -len(r.data.get('controls', {})), r.settings,
            find_rung(r.classifier), str(r.folder))
  return sorted(found, key=rank)


def choose(found: Sequence[R], key: Callable[[R], Hashable]) -> Choice[R]:
  """Shows the first record of each key."""
  first: dict[Hashable, R] = {}
  others = []
  for record in found:
    if first.setdefault(key(record), record) is not record:
      others.append(record)
  return Choice(list(first.values()), others)


def choose_each(found: Sequence[R]) -> Choice[R]:
  """Shows the first record of each property and classifier."""
  return choose(found, lambda r: (r.target, r.classifier))


def choose_best(found: Sequence[R]) -> list[R]:
  """The first record of each property."""
  return choose(found, lambda r: r.target).shown


def sort_by_gain(found: Sequence[records.Result]) -> list[records.Result]:
  """Properties from the best read to the worst, their classifiers likewise."""
  best: dict[str, float] = {}
  for r in found:
    best[r.target] = max(best.get(r.target, -math.inf), r.main.gain)
  return sorted(found, key=lambda r: (-best[r.target], r.target, -r.main.gain))


def find_rung(classifier: str) -> int:
  return (CLASSIFIERS.index(classifier) if classifier in CLASSIFIERS
          else len(CLASSIFIERS))
