"""Writes a zoo in the published format, or opens published data as a zoo.

  python -m nws_jax.convert --from=zoo:runs/zoo --to=nws:runs/nws
      a folder per network and tables of them, as the published code reads them
  python -m nws_jax.convert --from=nws:DIR --to=zoo:runs/published
      DIR holds nws_main_train.csv, nws_main_test.csv and the networks' folders

The formats are zoo (docs/contract.md) and nws (arXiv 2002.05688). One network
is read at a time. The same command resumes an interrupted conversion.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from absl import flags

from nws_jax import bars, cli, errors, paths, published, say
from nws_jax.formats import nws
from nws_jax.store import agreement, folder, locks, schema, tables, whole

if TYPE_CHECKING:
  from nws_jax import api

_FLAGS = flags.FlagValues()
_FROM = flags.DEFINE_string('from', None, 'What to read: FORMAT:FOLDER.',
    flag_values=_FLAGS)
_TO = flags.DEFINE_string(
    'to', None, 'What to write: FORMAT:FOLDER; new, empty, or to be resumed.',
    flag_values=_FLAGS)
_MIN_ACCURACY = flags.DEFINE_float(
    'min_accuracy', 0.0, 'From a zoo: leave out networks whose test accuracy '
    'is below.', flag_values=_FLAGS)


def main() -> None:
  source, place = _parse('from', _FROM.value)
  target, out = _parse('to', _TO.value)
  if source == target:
    raise errors.Wrong(f'--from and --to are both {source}: there is nothing '
                       'to convert.')
  if not 0 <= _MIN_ACCURACY.value <= 1:
    raise errors.Wrong(f'--min_accuracy={_MIN_ACCURACY.value} is not possible; '
                       'allowed: from 0 to 1.')
  if source == 'zoo':
    to_nws(place, out, _MIN_ACCURACY.value)
  elif _MIN_ACCURACY.value:
    raise errors.Wrong('--min_accuracy is for --from=zoo alone; to leave out '
                       'networks of a zoo when reading it, see '
                       'python -m nws_jax.meta --help.')
  else:
    from_nws(place, out)


def to_nws(place: str, out: str, min_accuracy: float = 0.0) -> None:
  """Writes a zoo's networks in the published format; reports on stdout.

  Args:
    place: the zoo's folder.
    out: folder for the tables and the networks' folders, named by their ids.
    min_accuracy: networks of a lower test accuracy are left out.

  Raises:
    errors.Wrong: nothing can be converted, or `out` holds something else.
    errors.Damaged: the zoo is damaged, or there is no room.
  """
  from nws_jax import api
  zoo = api.Zoo(place)
  family = published.find_family(zoo.config)
  if family != published.FAMILY:
    raise errors.Wrong(
        f'{place} cannot be written in the published format, which is for the '
        f'family {published.FAMILY} only; its family is {family}.')
  if zoo.extent is not None:
    print(f'{place}: {zoo.extent.tell()}')
  members = zoo.members.to_dict('records')
  kept = [m for m in members
          if not min_accuracy or m['test_accuracy'] >= min_accuracy]
  if not kept:
    raise errors.Wrong(f'--min_accuracy={min_accuracy} leaves out all '
                       f'{len(members)} networks.')
  figures = {id: rows.to_dict('records') for id, rows in
             zoo.metrics.sort_values(['id', 'epoch']).groupby('id')}
  epochs = {m['id']: _pick_epochs(zoo, m['id'], figures[m['id']])
            for m in kept}
  part = {} if zoo.extent is None else {'part': zoo.extent.record()}
  with _hold(out):
    _claim(out, 'nws.json', {
        'zoo': zoo.digest, 'min_accuracy': min_accuracy, **part})
    places = {m['id']: os.path.join(os.path.abspath(out), f'{m["id"]:05d}')
             for m in kept}
    left = [m for m in kept if not os.path.exists(places[m['id']])]
    for m in left:  # what an interrupted run left takes room
      shutil.rmtree(f'{places[m["id"]]}.part', ignore_errors=True)
    _check_room(out, sum(
        8 * m['num_weights'] * len(epochs[m['id']]) for m in left))
    with bars.make(len(kept), initial=len(kept) - len(left),
                   desc='convert', unit=' networks') as bar:
      for m in left:
        nws.write_run(places[m['id']], m, figures[m['id']],
                      zoo.vectors([m['id']], epochs[m['id']])[0])
        bar.update()
    for side in nws.SIDES:
      mine = [(m, places[m['id']]) for m in kept if m['split'] == side]
      path = os.path.join(out, f'nws_{side}.csv')
      tables.write_text(path, nws.split_csv(mine))
      print(f'{path}: {len(mine)} networks')
  if min_accuracy:
    print(f'left out {len(members) - len(kept)} of {len(members)} networks, '
          f'whose test accuracy is below {min_accuracy}')
  others = sorted({name for m in kept for name in nws.unpublished(m)})
  if others:
    print(f'not all published choices: {", ".join(others)}; the published '
          'reader takes other values for its last one')
  lost = sorted({name for m in kept for name in nws.unwritten(m)})
  if lost:
    print(f'not written, since the format lacks them: {", ".join(lost)}')


def from_nws(place: str, out: str, stack_bytes: int | None = None) -> None:
  """Writes published networks as a zoo; reports on stdout.

  Args:
    place: folder of the tables; the networks' folders are under it.
    out: the zoo's folder.
    stack_bytes: size of the vectors that are held at a time, about a quarter
      of the peak memory; `nws_zoo.STACK_BYTES` if None.

  Raises:
    errors.Wrong: there are no networks, or `out` holds something else.
    errors.Damaged: a file is missing, short or out of place; names it.
  """
  from nws_jax.formats import nws_read, nws_zoo
  paths.check_saving(out, '--to')
  runs = nws_read.list_runs(place)
  if not runs:
    raise errors.Wrong(f'the tables in {place} name no network.')
  units = nws_zoo.plan(runs, stack_bytes or nws_zoo.STACK_BYTES)
  sides = nws_zoo.list_sides(runs)
  with _hold(out):
    _claim(out, 'config.json', {'converted_from': {
        'format': 'nws', 'units': [u.name for u in units],
        'tables': {name: tables.hash_text(tables.read_text(
            os.path.join(place, name)))
                   for name in nws_read.list_tables(place)}}})
    agreement.check(out, tables.read_json(os.path.join(out, 'config.json')),
                    {u.name: set(u.ids) for u in units})
    left = [u for u in units if folder.progress(out, u.name) is None]
    for u in left:  # what an interrupted run left takes room
      shutil.rmtree(os.path.dirname(folder.snapshot_path(out, u.name, 1)),
                    ignore_errors=True)
    sizes = {u.name: sum(len(runs[i].snapshots) for i in u.ids) for u in units}
    total, todo = sum(sizes.values()), sum(sizes[u.name] for u in left)
    _check_room(out, sum(
        4 * u.layout.num_weights * sizes[u.name] for u in left))
    with bars.make(total, initial=total - todo, desc='convert',
                   unit=' snapshots') as bar:
      for unit in left:
        nws_zoo.write_unit(out, unit, runs, sides, bar.update)
    whole.rebuild(out)
  flat = sum(len(u.ids) for u in units if u.layout.is_flat)
  print(f'{out}: {len(runs)} networks, {total:,} snapshots')
  print('evaluation, too, updated the running statistics of published networks '
        '(docs/recipe.md, 17); to read without them: --exclude=mean,variance')
  if flat:
    print(f'the vectors of {flat} of them do not fit the architecture in their '
          'table: these have vectors only, no Flax variables')


def _parse(flag: str, value: str | None) -> tuple[str, str]:
  """FORMAT:FOLDER -> (format, folder)."""
  formats = ('zoo', 'nws')
  kind, _, path = (value or '').partition(':')
  if kind not in formats or not path:
    raise errors.Wrong(f'--{flag}={value or ""} is not possible; give '
                       'FORMAT:FOLDER, such as zoo:runs/zoo. Formats: '
                       f'{", ".join(formats)}.')
  return kind, paths.expand(path, f'--{flag}')


def _pick_epochs(zoo: 'api.Zoo', id: int, figures: Sequence[Mapping[str, Any]]
                 ) -> list[int]:
  """The epochs to write: evenly spread, as the published reader assumes."""
  epochs = [figures[n]['epoch']
            for n in schema.pick(len(figures), nws.SNAPSHOTS)]
  missing = sorted(set(epochs) - set(zoo.epochs(id)))
  if missing:
    raise errors.Wrong(
        f'network {id} cannot be written: the format needs its weights after '
        f'epoch {missing[0]}, but the zoo keeps those after '
        f'{", ".join(map(str, zoo.epochs(id))) or "none"}.')
  return epochs


def _hold(out: str) -> AbstractContextManager[None]:
  """Locks a folder; a second process waits, and then finds what is done."""
  return locks.hold(os.path.join(out, 'lock'), wait=True)


def _claim(out: str, name: str, record: dict[str, Any]) -> None:
  """Writes a record to a new folder, or checks that it has an equal one.

  Raises:
    errors.Wrong: the folder cannot be read, or holds something else.
  """
  path = os.path.join(out, name)
  try:
    others = folder.list_held(out)
  except OSError as e:
    raise errors.Wrong(f'{out} cannot be read: {e.strerror}. Name another '
                       'folder with --to.') from e
  if name in others:
    if tables.read_json(path) != record:
      raise errors.Wrong(f'{out} holds something else, or was converted from '
                         'something else. Name another folder with --to.')
  elif others:
    raise errors.Wrong(f'{out} is not empty: it holds {others[0]!r}. Name '
                       'another folder with --to.')
  else:
    tables.write_json(path, record)


def _check_room(out: str, num_bytes: int) -> None:
  free = shutil.disk_usage(out).free
  if free < num_bytes:
    raise errors.Damaged(
        f'{out} has no room: {say.size(num_bytes)} are needed, '
        f'{say.size(free)} are free. Make room and run the same command again, '
        'or name a folder on another disk with --to.')


if __name__ == '__main__':
  cli.run(main, _FLAGS)
