"""The table of controls: a new one is an entry here."""

from nws_jax.meta.answers.controls import (
  labels,
  matching,
  numbers,
  parts,
  roles,
  snapshots,
)
from nws_jax.meta.answers.controls.control import (
  Control,
  allow_all,
  count_one,
  need_networks,
)

CONTROLS: dict[str, Control] = {c.name: c for c in (
    Control(
        'majority', roles.GUESSES, 'always', labels.count_none,
        labels.need_classes, labels.guess),
    Control(
        'shuffled', roles.PERMUTES, 'named', labels.count_permutations,
        allow_all, labels.permute),
    Control(
        'epoch_0', roles.KNOWS_LITTLE, 'default', count_one, need_networks,
        snapshots.read_untrained),
    Control(
        'no_statistics', roles.TAKES_AWAY, 'default', count_one, allow_all,
        parts.drop_statistics),
    Control(
        'accuracy_matched', roles.TAKES_AWAY, 'default', count_one,
        matching.need_other_classes, matching.match_accuracy),
    Control(
        'updates_matched', roles.TAKES_AWAY, 'default', count_one,
        need_networks, snapshots.read_equal_updates),
    Control(
        'weight_norm', roles.KNOWS_LITTLE, 'default', count_one, allow_all,
        numbers.take_norm),
    Control(
        'num_weights', roles.KNOWS_LITTLE, 'default', count_one, allow_all,
        numbers.take_count),
)}
