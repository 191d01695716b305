"""From an open zoo to what meta-classifiers share: vectors and their layout."""

import numpy as np

from nws_jax import errors

WHOLE_UP_TO = 40_000  # longest vector that is one window unless told
LOCAL = 5000  # the published window


def choose_epochs(zoo, ids, wanted):
  """The epochs to read of every network, as many of each: {id: (epochs)}.

  Args:
    zoo: `nws_jax.api.Zoo`.
    ids: networks.
    wanted: last, all, an epoch or first:last, both included.

  Raises:
    errors.Wrong: a network does not have them, or they are not as many.
  """
  kept = {id: zoo.epochs(id) for id in ids}
  if wanted == 'last':
    chosen = {id: epochs[-1:] for id, epochs in kept.items()}
  elif wanted == 'all':
    chosen = kept
  else:
    first, last = (wanted.split(':') * 2)[:2]
    span = range(int(first), int(last) + 1)
    chosen = {id: tuple(e for e in epochs if e in span)
              for id, epochs in kept.items()}
  counts = {len(epochs) for epochs in chosen.values()}
  if counts == {0} or len(counts) > 1:
    common = sorted(set.intersection(*map(set, kept.values())))
    raise errors.Wrong(
        f'epochs={wanted} is not possible: these {len(ids)} networks have '
        f'{min(counts)} to {max(counts)} such snapshots each, they must have '
        'as many, and one at least. What all of them have: '
        f'{", ".join(map(str, common)) or "none"}; or use last.')
  return chosen


def choose_window(members, window):
  """Length of a window, 0 being the default.

  Raises:
    errors.Wrong: it is longer than a vector.
  """
  shortest = int(members['num_weights'].min())
  if not window:
    whole = (members['architecture'].nunique() == 1
             and shortest <= WHOLE_UP_TO)
    return shortest if whole else min(LOCAL, shortest)
  if window > shortest:
    raise errors.Wrong(f'window={window} does not fit: the shortest vector has '
                       f'{shortest} weights. Give at most that, or 0.')
  return window


def read_weights(zoo, members, epochs):
  """The networks' vectors after their epochs: float32 [M, E, P].

  Vectors of different lengths are padded with zeros. What is not finite, in
  networks that diverged, becomes 0.
  """
  ids = members['id'].to_numpy()
  lengths_M = members['num_weights'].to_numpy()
  weights_MxExP = np.zeros(
      (len(ids), len(next(iter(epochs.values()))), lengths_M.max()), np.float32)
  alike = {}  # (epochs, length) -> rows
  for row, (id, length) in enumerate(zip(ids, lengths_M)):
    alike.setdefault((epochs[id], length), []).append(row)
  for (some, length), rows in alike.items():
    weights_MxExP[rows, :, :length] = zoo.vectors(ids[rows], some)
  return np.nan_to_num(weights_MxExP, copy=False, posinf=0, neginf=0)


def read_layout(layers, members):
  """Which tensor every value belongs to.

  Tensors of one layer and name are one part, whatever the architecture; parts
  ascend along every vector (conv1_1 < ... < fc1 < ... < output, by name).

  Returns:
    (parts_AxP int32, layout_M int32, names [(layer, tensor)] of the parts).
  """
  architectures = list(dict.fromkeys(members['architecture']))
  layers = layers[layers['architecture'].isin(architectures)]
  tensors = list(dict.fromkeys(layers['tensor']))
  names = sorted(set(zip(layers['layer'], layers['tensor'])),
                 key=lambda n: (n[0], tensors.index(n[1])))
  parts_AxP = np.full(
      (len(architectures), int(layers['stop'].max())), len(names), np.int32)
  for row in layers.itertuples():
    parts_AxP[architectures.index(row.architecture), row.start:row.stop] = (
        names.index((row.layer, row.tensor)))
  layout_M = np.array([architectures.index(a) for a in members['architecture']])
  return parts_AxP, layout_M.astype(np.int32), names
