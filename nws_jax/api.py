"""A zoo from Python: tables, weights, networks and images put together."""

import contextlib
import functools
import numbers
import operator
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from nws_jax import errors, paths, space
from nws_jax.layout import Layout
from nws_jax.store import (
  extent,
  forks,
  kept,
  layers,
  moment,
  snapshots,
  tables,
)

if TYPE_CHECKING:
  import flax.linen as nn

  from nws_jax.zoo.families import interface


class Zoo:
  """A zoo folder, opened for reading; see docs/contract.md.

  Reading one network or one window reads that and no more. A zoo whose run
  goes on can be read: it is what was committed when it was opened.

  Raises:
    errors.Wrong: the folder is not a zoo, or nothing in it is finished.
    errors.Damaged: what is read is not what was written.
  """

  def __init__(self, path):
    self.path = paths.expand(path)
    paths.check_reading(self.path, 'the path')
    self._moment = moment.read(self.path)

  @property
  def config(self):
    return self._moment.config

  @functools.cached_property
  def members(self):
    """One row a network."""
    return self._moment.table('members.csv')

  @functools.cached_property
  def metrics(self):
    """One row a network and evaluation."""
    return self._moment.table('metrics.csv')

  @functools.cached_property
  def layers(self):
    """One row an architecture, layer and tensor."""
    return self._moment.table('layers.csv')

  @property
  def properties(self) -> space.Properties:
    """The table of the properties that its networks have."""
    return self._moment.properties

  @property
  def _family(self) -> 'interface.Family':
    from nws_jax.zoo import families
    name = self.config.get('family', 'cnn')
    if name not in families.FAMILIES:
      raise errors.Wrong(
          f'{self.path} is a zoo of the family {name!r}, which this version '
          f'does not know; it has {", ".join(families.FAMILIES)}. Its weights '
          'can be read, but its networks cannot be run.')
    return families.FAMILIES[name]

  @property
  def digest(self):
    """One digest of all labels, figures and weights; times are left out."""
    return self._moment.checksums['zoo']

  @functools.cached_property
  def extent(self):
    """What there is of a zoo that is not whole: `extent.Extent`; else None."""
    return extent.find(self._moment)

  def is_done(self, id):
    """Whether the network's unit had ended: test figures are of all images."""
    return self._moment.record(self._member(id)['unit'])['done']

  def epochs(self, id):
    """The epochs of which a network's weights are kept, ascending."""
    return self._epochs.get(self._member(id)['id'], ())

  def digests(self, id: int) -> dict[int, str]:
    """{epoch: digest} of a network's kept weights, as its unit recorded them.

    Reads no weights.
    """
    row = self._member(id)
    self._moment.record(row['unit'])
    unit = self._units[row['unit']]
    return {epoch: unit.find((row['id'], epoch))[-1]
            for epoch in self.epochs(id)}

  def architecture(self, id: int) -> 'interface.Architecture | None':
    """What fixes a network's shapes; None if it is not known."""
    row = self._member(id)
    return (None if self._layouts[row['architecture']].is_flat
            else self._family.architecture(row))

  def layout(self, id: int) -> Layout:
    """Where the tensors lie in a network's vector."""
    return self._layouts[self._member(id)['architecture']]

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
      float32 [len(ids), len(epochs), stop - start], compared with checksums.
    """
    ids, epochs = _check_all('ids', ids), _check_all('epochs', epochs)
    start, stop = self._check_window(ids, start, stop)
    for id in ids:
      self._check_epochs(id, epochs)
    values_NxExL = np.empty((len(ids), len(epochs), stop - start), np.float32)
    places = {}  # (unit, snapshot) -> [(row, column, network, epoch)]
    for i, id in enumerate(ids):
      for e, epoch in enumerate(epochs):
        places.setdefault(self._place(id, epoch), []).append((i, e, id, epoch))
    for (unit, _), some in places.items():
      i, e, *pairs = map(list, zip(*some))
      values_NxExL[i, e] = self._read(unit, list(zip(*pairs)), start, stop)
    return values_NxExL

  def variables(self, id, epoch):
    """A network as Flax variables: {'params': ..., 'batch_stats': ...}."""
    self._check_layers(id)
    return self.layout(id).to_variables(self.vector(id, epoch))

  def apply(self, id, epoch, images_uint8):
    """Logits float32 [N, K] of images uint8 [N, height, width, channels].

    Batch norm uses the running statistics.

    Raises:
      errors.Wrong: the images are others (divided by 255, channels first, ...).
    """
    from nws_jax.zoo import images
    arch = self._check_layers(id)
    images_uint8 = images.check_input(
        images_uint8, self._family.image_shape)
    forks.use('JAX')
    return np.asarray(self._family.predict(
        arch, self._member(id), self.vector(id, epoch), images_uint8))

  def module(self, id: int) -> 'nn.Module':
    """The network as a plain Flax module, without dropout, for `variables`."""
    return self._family.module(self._check_layers(id), self._member(id))

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
      moment.verify(self._moment)
      ids = self.members['id']
    places, count = {}, 0
    for id in ids:
      for epoch in self.epochs(id):
        places.setdefault(self._place(id, epoch), []).append((id, epoch))
    for (unit, _), pairs in places.items():
      count += len(self._read(unit, pairs))
    return count

  def _member(self, id):
    row = self._rows.get(_check_whole('id', id))
    if row is None:
      ids = self.members['id']
      raise errors.Wrong(f'no network {id} in {self.path}; it has '
                         f'{len(ids)}, ids {ids.min()} to {ids.max()}.')
    return row

  @functools.cached_property
  def _rows(self):
    return {row['id']: row for row in self.members.to_dict('records')}

  @functools.cached_property
  def _layouts(self) -> dict[str, Layout]:
    return layers.read(self.layers, os.path.join(self.path, 'layers.csv'))

  @functools.cached_property
  def _units(self):
    """{unit: the `kept.Kept` of it}."""
    return kept.list_units(
        self.metrics, {id: row['unit'] for id, row in self._rows.items()},
        self._moment.records)

  @functools.cached_property
  def _epochs(self):
    """{id: the epochs kept, ascending}."""
    result = {}
    for unit in self._units.values():
      for id, epoch in sorted(unit.places):
        result.setdefault(id, []).append(epoch)
    return {id: tuple(epochs) for id, epochs in result.items()}

  def _place(self, id, epoch):
    """(unit, snapshot) of what is kept."""
    unit = self._member(id)['unit']
    return unit, self._units[unit].places[id, epoch]

  def _read(self, unit, pairs, start=0, stop=None):
    """[values of each (network, epoch)] in one unit."""
    self._moment.record(unit)
    ids = {id for number in self._units[unit].stacks.values() for id in number}
    return kept.read(
        self.path, unit, self._units[unit],
        {id: self.layout(id) for id in ids}, pairs,
        snapshots.Window(start, stop))

  def _check_window(self, ids, start, stop):
    """(start, stop), which must lie in all of the networks' vectors."""
    start = _check_whole('start', start)
    lengths = {int(self._member(id)['num_weights']) for id in ids} or {0}
    least = min(lengths)
    if stop is None:
      if len(lengths) > 1:
        raise errors.Wrong(
            f'these networks have vectors of different lengths, {least} to '
            f'{max(lengths)}: give a stop of at most {least}.')
      stop = least
    stop = _check_whole('stop', stop)
    if not 0 <= start <= stop <= least:
      raise errors.Wrong(f'there are no values {start} to {stop} in all of '
                         f'these networks; 0 <= start <= stop <= {least}.')
    return start, stop

  def _check_epochs(self, id, epochs):
    there = self.epochs(id)
    missing = [e for e in epochs if e not in there]
    if missing:
      raise errors.Wrong(f'no weights of network {id} after epoch '
                         f'{missing[0]} are kept; kept: '
                         f'{", ".join(map(str, there)) or "none"}.')

  def _check_layers(self, id):
    """Returns the network's architecture, which must be known."""
    arch = self.architecture(id)
    if arch is None:
      raise errors.Wrong(f'the architecture of network {id} is not known: it '
                         'is a vector and no more. Use vector or vectors.')
    return arch


def _check_all(name, values):
  """Whole numbers as a list of ints."""
  if not isinstance(values, Iterable):
    raise errors.Wrong(f'{name}={values!r} is not possible: it must be a list '
                       'of whole numbers.')
  return [_check_whole(name, value) for value in values]


def _check_whole(name, value):
  """A whole number as an int; NumPy's, and 7.0, are some, True is not."""
  if not isinstance(value, (bool, np.bool_)):
    with contextlib.suppress(TypeError):
      return operator.index(value)
    if isinstance(value, numbers.Real) and value == value // 1:
      return int(value)
  raise errors.Wrong(f'{name}={value!r} is not possible: it must be a whole '
                     'number.')
