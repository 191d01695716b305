"""A zoo from Python: tables, weights, networks and images put together."""

import functools
import os

import numpy as np

from nws_jax import errors
from nws_jax.store import folder, stacks, tables, vectors, whole


class Zoo:
  """A zoo folder, opened for reading; see docs/contract.md.

  Reading one network or one window reads that and no more. A zoo whose run
  goes on can be read: it holds what was committed when its tables were first
  used.

  Raises:
    errors.Wrong: the folder is not a zoo, or nothing in it is finished.
    errors.Damaged: what is read is not what was written.
  """

  def __init__(self, path):
    self.path = os.fspath(path)
    whole.check(self.path)
    self._digests = {}  # unit -> {snapshot: digest of each network}

  @functools.cached_property
  def config(self):
    return tables.read_json(os.path.join(self.path, 'config.json'))

  @functools.cached_property
  def members(self):
    """One row a network."""
    return whole.read_table(self.path, 'members.csv')

  @functools.cached_property
  def metrics(self):
    """One row a network and evaluation."""
    return whole.read_table(self.path, 'metrics.csv')

  @functools.cached_property
  def layers(self):
    """One row an architecture, layer and tensor."""
    return whole.read_table(self.path, 'layers.csv')

  @functools.cached_property
  def digest(self):
    """One digest of all labels, figures and weights; times are left out."""
    return whole.read_checksums(self.path)['zoo']

  def epochs(self, id):
    """The epochs of which a network's weights are kept, ascending."""
    self._member(id)
    return tuple(self._kept.get(int(id), ()))

  def architecture(self, id):
    """A network's `space.Architecture`; `vectors.Flat` if it is not known."""
    return vectors.architecture(self._member(id))

  def vector(self, id, epoch):
    """A network's weights after an epoch, float32 [P], digest checked."""
    return self.vectors([id], [epoch])[0, 0]

  def vectors(self, ids, epochs, start=0, stop=None):
    """Values start to stop - 1 of networks after epochs.

    Args:
      ids: networks, in any order.
      epochs: epochs, in any order, kept of every one of them.
      start: first value, in the published order.
      stop: one behind the last value; None is the end of vectors that are all
        of one length.

    Returns:
      float32 [len(ids), len(epochs), stop - start]. Whole vectors are compared
      with their digests.
    """
    ids, epochs = [int(i) for i in ids], [int(e) for e in epochs]
    stop = self._check_window(ids, start, stop)
    for id in ids:
      self._check_epochs(id, epochs)
    values_NxExL = np.empty((len(ids), len(epochs), stop - start), np.float32)
    places = {}  # (unit, snapshot) -> [(place in ids, in epochs, network)]
    for i, id in enumerate(ids):
      for e, epoch in enumerate(epochs):
        snapshot = self._member(id)['unit'], self._kept[id][epoch]
        places.setdefault(snapshot, []).append((i, e, id))
    for (unit, number), some in places.items():
      i, e, mine = map(list, zip(*some))
      values_NxExL[i, e] = self._read(unit, number, mine, start, stop)
    return values_NxExL

  def variables(self, id, epoch):
    """A network as Flax variables: {'params': ..., 'batch_stats': ...}."""
    arch = self._check_layers(id)
    return vectors.to_variables(self.vector(id, epoch), arch)

  def apply(self, id, epoch, images_uint8):
    """Logits float32 [N, 20] of images uint8 [N, 32, 32, 3].

    Batch norm uses the running statistics.
    """
    from nws_jax.zoo import cnn
    return np.asarray(cnn.predict(
        self._check_layers(id), self._member(id)['activation'],
        self.vector(id, epoch), images_uint8))

  def images(self, dataset, split):
    """(uint8 [N, 32, 32, 3], int32 [N]) of a set, as the networks saw it."""
    from nws_jax.zoo import images
    if 'converted_from' in self.config:
      raise errors.Wrong(f'{self.path} was converted from another format, '
                         'which does not tell the images its networks saw: '
                         'load them with nws_jax.zoo.images.load.')
    try:
      source, place = self.config['dataset_source'], self.config['data_dir']
    except KeyError as e:
      raise tables.damaged(
          os.path.join(self.path, 'config.json'), f'it has no {e}') from e
    data = images.load(dataset, source, place or None)
    splits = [f.removesuffix('_images') for f in data._fields
              if f.endswith('_images')]
    if split not in splits:
      raise errors.Wrong(f'split={split!r} is not possible; allowed: '
                         f'{", ".join(splits)}.')
    return getattr(data, f'{split}_images'), getattr(data, f'{split}_labels')

  def verify(self, ids=None):
    """Compares the digests of all kept weights, of some networks or of all.

    Of all: of the units' tables and records too.

    Returns:
      How many vectors were read.

    Raises:
      errors.Damaged: names the first thing that is not what was written.
    """
    if ids is None:
      whole.verify(self.path)
      ids = self.members['id']
    places, count = {}, 0
    for id in map(int, ids):
      unit = self._member(id)['unit']
      for number in self._kept.get(id, {}).values():
        places.setdefault((unit, number), []).append(id)
    for (unit, number), mine in places.items():
      count += len(self._read(unit, number, mine))
    return count

  def _member(self, id):
    row = self._rows.get(int(id))
    if row is None:
      ids = self.members['id']
      raise errors.Wrong(f'no network {id} in {self.path}; it has '
                         f'{len(ids)}, ids {ids.min()} to {ids.max()}.')
    return row

  @functools.cached_property
  def _rows(self):
    return {row['id']: row for row in self.members.to_dict('records')}

  @functools.cached_property
  def _kept(self):
    """{id: {epoch: snapshot}}, epochs ascending."""
    kept = self.metrics[self.metrics['snapshot'].notna()]
    result = {}
    for id, epoch, number in sorted(
        zip(kept['id'], kept['epoch'], kept['snapshot'])):
      result.setdefault(id, {})[epoch] = int(number)
    return result

  @functools.cached_property
  def _stacks(self):
    """{(unit, snapshot): ids of its networks, ascending}."""
    result = {}
    for id in sorted(self._kept):
      for number in self._kept[id].values():
        result.setdefault((self._rows[id]['unit'], number), []).append(id)
    return result

  def _check_window(self, ids, start, stop):
    """Returns `stop`, which must lie in all of the networks' vectors."""
    lengths = {int(self._member(id)['num_weights']) for id in ids} or {0}
    least = min(lengths)
    if stop is None:
      if len(lengths) > 1:
        raise errors.Wrong(
            f'these networks have vectors of different lengths, {least} to '
            f'{max(lengths)}: give a stop of at most {least}.')
      stop = least
    if not 0 <= start <= stop <= least:
      raise errors.Wrong(f'there are no values {start} to {stop} in all of '
                         f'these networks; 0 <= start <= stop <= {least}.')
    return stop

  def _check_epochs(self, id, epochs):
    kept = self._kept.get(id, {})
    missing = [e for e in epochs if e not in kept]
    if missing:
      raise errors.Wrong(f'no weights of network {id} after epoch '
                         f'{missing[0]} are kept; kept: '
                         f'{", ".join(map(str, kept)) or "none"}.')

  def _check_layers(self, id):
    """Returns the network's architecture, which must be known."""
    arch = self.architecture(id)
    if isinstance(arch, vectors.Flat):
      raise errors.Wrong(f'the architecture of network {id} is not known: it '
                         'is a vector and no more. Use vector or vectors.')
    return arch

  def _read(self, unit, number, ids, start=0, stop=None):
    """[values of each network] in a snapshot of their unit."""
    stack = self._stacks[unit, number]
    rows = np.searchsorted(stack, ids).tolist()
    path = folder.snapshot_path(self.path, unit, number)
    found = stacks.read(
        path, [self.architecture(id) for id in stack], rows, start, stop)
    for id, row, values in zip(ids, rows, found):
      if len(values) == self._member(id)['num_weights']:
        stacks.check(path, id, values, self._read_digests(unit, number), row)
    return found

  def _read_digests(self, unit, number):
    """Those of a snapshot's networks, as the unit's record has them."""
    if number not in self._digests.get(unit, {}):  # a run may have gone on
      record = folder.progress(self.path, unit) or {'digests': {}}
      self._digests[unit] = record['digests']
    return self._digests[unit].get(number, [])
