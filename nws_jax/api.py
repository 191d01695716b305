"""The Python interface to a zoo: its tables, weights, networks and images."""

import functools
import itertools
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from nws_jax import arguments, errors, paths, published, space
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
  import pandas as pd

  from nws_jax.zoo.families import interface


class Zoo:
  """A zoo folder, opened for reading; see docs/contract.md.

  To read one network or one window reads nothing else. A zoo can be read while
  it trains: this shows what was committed when it was opened.

  Raises:
    errors.Wrong: the folder is not a zoo, or nothing in it is finished.
    errors.Damaged: what is read is not what was written.
  """

  def __init__(self, path: str | os.PathLike[str]) -> None:
    self.path = paths.expand(path)
    paths.check_reading(self.path, 'the path')
    self._moment = moment.read(self.path)

  @property
  def config(self) -> dict[str, Any]:
    """The content of config.json."""
    return self._moment.config

  @functools.cached_property
  def members(self) -> 'pd.DataFrame':
    """One row per network."""
    return self._moment.table('members.csv')

  @functools.cached_property
  def metrics(self) -> 'pd.DataFrame':
    """One row per network and evaluation."""
    return self._moment.table('metrics.csv')

  @functools.cached_property
  def layers(self) -> 'pd.DataFrame':
    """One row per architecture, layer and tensor."""
    return self._moment.table('layers.csv')

  @property
  def properties(self) -> space.Properties:
    """The properties that its networks have."""
    return self._moment.properties

  @property
  def _family(self) -> 'interface.Family':
    from nws_jax.zoo import families
    name = published.find_family(self.config)
    if name not in families.FAMILIES:
      raise errors.Wrong(
          f'{self.path} is a zoo of the family {name!r}, which this version '
          f'does not know; it has {", ".join(families.FAMILIES)}. Its weights '
          'can be read, but its networks cannot be run.')
    return families.FAMILIES[name]

  @property
  def digest(self) -> str:
    """One digest of all labels, figures and weights, but not of times."""
    return self._moment.checksums['zoo']

  @functools.cached_property
  def extent(self) -> extent.Extent | None:
    """Which part of the zoo exists; None if it is whole."""
    return extent.find(self._moment)

  def is_done(self, id: int) -> bool:
    """Whether the network's unit has finished training. If so, the last test
    figures are of all test images."""
    return self._moment.record(self._member(id)['unit'])['done']

  def epochs(self, id: int) -> tuple[int, ...]:
    """The epochs after which a network's weights are kept, ascending."""
    return self._epochs.get(self._member(id)['id'], ())

  def digests(self, id: int) -> dict[int, str]:
    """{epoch: digest} of a network's kept weights, as recorded by its unit.

    Reads no weights.
    """
    row = self._member(id)
    self._moment.record(row['unit'])
    unit = self._units[row['unit']]
    places = {epoch: unit.find((row['id'], epoch)) for epoch in self.epochs(id)}
    return {epoch: place.digest for epoch, place in places.items() if place}

  def architecture(self, id: int) -> 'interface.Architecture | None':
    """The architecture of a network; None if it is not known."""
    row = self._member(id)
    return (None if self._layouts[row['architecture']].is_flat
            else self._family.architecture(row))

  def layout(self, id: int) -> Layout:
    """Where the tensors lie in a network's vector."""
    return self._layouts[self._member(id)['architecture']]

  def vector(self, id: int, epoch: int) -> np.ndarray:
    """A network's weights after an epoch, float32 [P]; checks the digest."""
    return self.vectors([id], [epoch])[0, 0]

  def vectors(self, ids: Iterable[int], epochs: Iterable[int],
              start: int = 0, stop: int | None = None) -> np.ndarray:
    """A window of the weights of networks after epochs; compares checksums.

    Args:
      ids: networks, in any order.
      epochs: epochs, in any order, all of them kept of every network.
      start: first value, in the published order.
      stop: exclusive end; None for the end of the vectors, which must then have
        equal lengths.

    Returns:
      float32 [len(ids), len(epochs), stop - start].

    Raises:
      errors.Wrong: a network does not exist, an epoch is not kept, or a vector
        is shorter than `stop`.
      errors.Damaged: the weights are not what was written.
    """
    ids = arguments.check_all('ids', ids)
    epochs = arguments.check_all('epochs', epochs)
    start, stop = self._check_window(ids, start, stop)
    for id in ids:
      self._check_epochs(id, epochs)
    values_NxExL = np.empty((len(ids), len(epochs), stop - start), np.float32)
    pairs = list(itertools.product(ids, epochs))
    values_KxL = values_NxExL.reshape(len(pairs), stop - start)  # a view
    for unit, some in self._group(pairs):
      values_KxL[some] = self._read(
          unit, [pairs[k] for k in some], start, stop)
    return values_NxExL

  def variables(self, id: int, epoch: int) -> dict[str, Any]:
    """A network as Flax variables: {'params': ..., 'batch_stats': ...}."""
    self._check_layers(id)
    return self.layout(id).to_variables(self.vector(id, epoch))

  def apply(self, id: int, epoch: int, images_uint8: np.ndarray) -> np.ndarray:
    """Logits float32 [N, K] of images uint8 [N, height, width, channels].

    Batch norm uses the running statistics.

    Raises:
      errors.Wrong: the images have another form (divided by 255, channels
        first, ...).
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

  def images(self, dataset: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 32, 32, 3] and labels int32 [N] of a set, as the
    networks saw them."""
    from nws_jax.zoo import images
    if 'converted_from' in self.config:
      raise errors.Wrong(f'{self.path} was converted from another format, '
                         'which does not record the images its networks saw: '
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
      raise errors.impossible('split', split, ', '.join(splits))
    return getattr(data, f'{split}_images'), getattr(data, f'{split}_labels')

  def verify(self, ids: Iterable[int] | None = None) -> int:
    """Compares the digests of all kept weights.

    Args:
      ids: networks; None for all of them, and for the tables and records of
        the units, too.

    Returns:
      The number of vectors read.

    Raises:
      errors.Damaged: something is not what was written; names the first.
    """
    if ids is None:
      moment.verify(self._moment)
      ids = self.members['id']
    pairs = [(id, epoch) for id in ids for epoch in self.epochs(id)]
    return sum(len(self._read(unit, [pairs[k] for k in some]))
               for unit, some in self._group(pairs))

  def _member(self, id: Any) -> dict[str, Any]:
    row = self._rows.get(arguments.check_whole('id', id))
    if row is None:
      ids = self.members['id']
      raise errors.Wrong(f'no network {id} in {self.path}; it has '
                         f'{len(ids)}, ids {ids.min()} to {ids.max()}.')
    return row

  @functools.cached_property
  def _rows(self) -> dict[int, dict[str, Any]]:
    return {row['id']: row for row in self.members.to_dict('records')}

  @functools.cached_property
  def _layouts(self) -> dict[str, Layout]:
    return layers.read(self.layers, os.path.join(self.path, 'layers.csv'))

  @functools.cached_property
  def _units(self) -> dict[str, kept.Kept]:
    """{unit: what it keeps}."""
    return kept.list_units(
        self.metrics, {id: row['unit'] for id, row in self._rows.items()},
        self._moment.records)

  @functools.cached_property
  def _epochs(self) -> dict[int, tuple[int, ...]]:
    """{id: the epochs kept, ascending}."""
    result: dict[int, list[int]] = {}
    for unit in self._units.values():
      for id, epoch in sorted(unit.places):
        result.setdefault(id, []).append(epoch)
    return {id: tuple(epochs) for id, epochs in result.items()}

  def _group(self, pairs: list[kept.Pair]) -> list[tuple[str, list[int]]]:
    """(unit, indices of its pairs) of each snapshot that keeps some."""
    groups: dict[tuple[str, int], list[int]] = {}
    for k, pair in enumerate(pairs):
      unit = self._member(pair[0])['unit']
      groups.setdefault((unit, self._units[unit].places[pair]), []).append(k)
    return [(unit, some) for (unit, _), some in groups.items()]

  def _read(self, unit: str, pairs: list[kept.Pair], start: int = 0,
            stop: int | None = None) -> list[np.ndarray]:
    """The values of each (network, epoch), all of one unit."""
    self._moment.record(unit)
    ids = {id for number in self._units[unit].stacks.values() for id in number}
    return kept.read(
        self.path, unit, self._units[unit],
        {id: self.layout(id) for id in ids}, pairs,
        snapshots.Window(start, stop))

  def _check_window(self, ids: list[int], start: Any, stop: Any
                    ) -> tuple[int, int]:
    """(start, stop), checked to lie in all of the networks' vectors."""
    start = arguments.check_whole('start', start)
    lengths = {int(self._member(id)['num_weights']) for id in ids} or {0}
    least = min(lengths)
    if stop is None:
      if len(lengths) > 1:
        raise errors.Wrong(
            f'these networks have vectors of different lengths, {least} to '
            f'{max(lengths)}: give a stop of at most {least}.')
      stop = least
    stop = arguments.check_whole('stop', stop)
    if not 0 <= start <= stop <= least:
      raise errors.Wrong(f'there are no values {start} to {stop} in all of '
                         f'these networks; 0 <= start <= stop <= {least}.')
    return start, stop

  def _check_epochs(self, id: int, epochs: list[int]) -> None:
    there = self.epochs(id)
    missing = [e for e in epochs if e not in there]
    if missing:
      raise errors.Wrong(f'no weights of network {id} after epoch '
                         f'{missing[0]} are kept; kept: '
                         f'{", ".join(map(str, there)) or "none"}.')

  def _check_layers(self, id: int) -> Any:
    """The network's architecture, checked to be known."""
    arch = self.architecture(id)
    if arch is None:
      raise errors.Wrong(f'the architecture of network {id} is not known: it '
                         'is only a vector. Use vector or vectors.')
    return arch
