"""Makes a page with pictures of a zoo and of what was read from its weights.

python -m nws_jax.report --zoo=runs/zoo --meta=runs/meta --out=runs/report

The page, index.html, works offline: its pictures are part of it. Beside it lie
the pictures as PNG files and their numbers as CSV files.
"""

import os
import pathlib
import shlex
import sys
from typing import Any, Callable, Mapping, NamedTuple, Sequence

from absl import flags

from nws_jax import cli, errors, options, say
from nws_jax.store import extent, locks, moment, sealed, tables

_FLAGS = flags.FlagValues()
_ZOO = options.define_path('zoo', 'runs/zoo', 'The zoo to show.', _FLAGS)
_META = options.define_path(
    'meta', 'runs/meta', 'Results of python -m nws_jax.meta.', _FLAGS)
_OUT = options.define_path(
    'out', 'runs/report', 'Folder of the page.', _FLAGS)
_HEADLINE = options.define_path(
    'headline', None, 'Instead of the page, make one picture with the main '
    'results, as this PNG file.', _FLAGS)
_TABLE = options.define_path(
    'table', None, 'Instead of the page, write the table of all properties '
    '(how much, what else explains it, where, when), as this Markdown file.',
    _FLAGS)


class _Single(NamedTuple):
  """A file that is made instead of the page, and what makes its content."""
  path: pathlib.Path
  make: Callable[[pathlib.Path, pathlib.Path], bytes]


def main() -> None:
  zoo, meta = pathlib.Path(_ZOO.value), pathlib.Path(_META.value)
  part = extent.find(moment.read(str(zoo)))
  if part is not None:
    print(f'{zoo}: {part.tell()}')
  if _FLAGS['meta'].present and not meta.is_dir():
    raise errors.Wrong(f'--meta={meta} is not a folder. Give the --workdir of '
                       'python -m nws_jax.meta.')
  singles = _list_singles()
  out = pathlib.Path(_OUT.value)
  for folder in [s.path.parent for s in singles] or [out]:
    _prepare(folder)
  _warn_of_left_out(meta)
  for single in singles:
    tables.write_bytes(single.path, single.make(zoo, meta))
    print(single.path)
  if not singles:
    files = make_page(zoo, meta)
    with locks.hold(out / 'lock', wait=True):  # all files are of one report
      for name, content in files.items():
        tables.write_bytes(out / name, content)
    print(f'Report: {out / "index.html"} '
          f'({say.size(len(files["index.html"]))}, open it in a browser)')


def _list_singles() -> list[_Single]:
  """What --headline and --table ask for; raises `Wrong` for other suffixes."""
  singles = []
  for flag, suffix, make in ((_HEADLINE, '.png', make_headline),
                             (_TABLE, '.md', make_table)):
    if flag.value:
      path = pathlib.Path(flag.value)
      if path.suffix != suffix:
        raise errors.Wrong(f'--{flag.name}={path} does not end in {suffix}. '
                           'Give a file name that does.')
      singles.append(_Single(path, make))
  return singles


def _warn_of_left_out(meta: pathlib.Path) -> None:
  if not meta.is_dir():
    print(f'{meta} does not exist: no results are shown', file=sys.stderr)
  for path in sealed.list_unfinished(meta):
    print(f'{path} is left out, because it is not finished. If no process is '
          'making it, run its command again, or remove it.', file=sys.stderr)


def make_page(zoo: pathlib.Path, meta: pathlib.Path) -> dict[str, bytes]:
  """{file name: content} of the page; see `nws_jax.pictures.page.render`.

  Raises:
    errors.Wrong: there is no such zoo.
    errors.Damaged: a file of it, or of a result, is not what was written.
  """
  from nws_jax.pictures import collection, theme  # slow to import
  from nws_jax.pictures.page import render
  from nws_jax.pictures.sections import contents
  there = moment.read(str(zoo))
  part = extent.find(there)
  shown = contents.Zoo(
      there.table('members.csv'), there.table('metrics.csv'),
      there.table('layers.csv'), there.config, there.checksums['zoo'])
  found = collection.read(meta, shown.digest, _load_defaults('meta'))
  commands = contents.Commands(
      _command('meta', zoo=zoo, workdir=meta),
      _list_commands(zoo, meta, shown.config, [
          _Request(r.flags, r.config)
          for r in (*found.results, *found.grids)]))
  with theme.style():
    return render.build(
        f'{len(shown.members):,} networks, and what their weights tell',
        f'A report on {zoo}' + (f': {part.tell()}' if part else ''),
        contents.describe(shown, found, commands))


def make_headline(zoo: pathlib.Path, meta: pathlib.Path) -> bytes:
  """PNG of the picture with the main results, of this zoo alone."""
  from nws_jax.pictures import collection, headline, theme  # slow to import
  there = moment.read(str(zoo))
  digest = there.checksums['zoo']
  own = collection.read(meta, digest, _load_defaults('meta')).keep_own(digest)
  with theme.style():
    return theme.to_png(headline.draw(
        there.table('members.csv'), own.results, own.grids))


def make_table(zoo: pathlib.Path, meta: pathlib.Path) -> bytes:
  """Markdown of the table of all properties, of this zoo alone.

  Raises:
    errors.Wrong: nothing was read from this zoo.
  """
  from nws_jax.pictures import collection, overview  # slow to import
  there = moment.read(str(zoo))
  digest = there.checksums['zoo']
  part = extent.find(there)
  own = collection.read(meta, digest, _load_defaults('meta')).keep_own(digest)
  table = overview.tabulate(own.results, own.grids)
  if not len(table):
    raise errors.Wrong(f'{meta} has no result on {zoo}. Make one: '
                       f'{_command("meta", zoo=zoo, workdir=meta)} '
                       '--target=optimizer --controls')
  note = f'{part.tell()}\n\n' if part else ''
  return (note + overview.to_markdown(table)).encode()


# Keys of config.json that are no keys of a config, or that change no draw.
_NOT_ASKED = ('networks_per_program', 'disk_gb', 'compile_ahead', 'revision',
              'created')


class _Request(NamedTuple):
  """What was asked of meta: flags, and keys of its config."""
  flags: Mapping[str, Any]
  config: Mapping[str, Any]


def _list_commands(zoo: pathlib.Path, meta: pathlib.Path,
                   config: Mapping[str, Any],
                   requests: Sequence[_Request]) -> list[str]:
  """The commands that make the zoo, the results and this page again."""
  keys = {k: v for k, v in config.items()
          if not isinstance(v, dict) and v is not None and k not in _NOT_ASKED}
  if keys.get('keep') == 0:  # a recipe's number for it
    keys['keep'] = 'all'
  for name, values in config.get('choices', {}).items():
    keys['datasets' if name == 'dataset' else name] = tuple(values)
  read = [_command('meta', zoo=zoo, workdir=meta, **r.flags,
                   **_find_changed('meta', r.config)) for r in requests]
  return [_command('zoo', config='configs/zoo.py', workdir=zoo,
                   **_find_changed('zoo', keys)),
          *dict.fromkeys(read), _command('report', zoo=zoo, meta=meta)]


def _find_changed(name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
  """The keys that differ from configs/<name>.py, as flags."""
  defaults = _load_defaults(name)
  return {f'config.{k}': v for k, v in keys.items()
          if k != 'classifier' and (k not in defaults or defaults[k] != v)}


def _load_defaults(name: str) -> Mapping[str, Any]:
  return options.load(options.packaged(name))


def _command(module: str, **flag_values: Any) -> str:
  """A command line; the values of a tuple are separated by commas."""
  flat = {k: ','.join(map(str, v)) if isinstance(v, tuple) else str(v)
          for k, v in flag_values.items()}
  return ' '.join([f'python -m nws_jax.{module}',
                   *(f'--{k}={shlex.quote(v)}' for k, v in flat.items())])


def _prepare(path: pathlib.Path) -> None:
  """Creates a folder before anything is drawn; raises `Wrong` if it cannot."""
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise errors.Wrong(f'{path} cannot be created: {e.strerror}. Name another '
                       'folder.') from e
  if not os.access(path, os.W_OK):
    raise errors.Wrong(f'{path} cannot be written to. Name another folder.')


if __name__ == '__main__':
  cli.run(main, _FLAGS)
