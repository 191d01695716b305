"""Makes one page with pictures of a zoo and of what was read from it.

python -m nws_jax.report --zoo=runs/zoo --meta=runs/meta --out=runs/report

The page, index.html, works offline and holds its pictures; they lie beside it
as PNG files too, and the numbers as CSV files.
"""

import os
import pathlib
import shlex
import sys

from absl import flags

from nws_jax import cli, errors, options, say
from nws_jax.store import extent, locks, moment, sealed

_FLAGS = flags.FlagValues()
_ZOO = options.define_path('zoo', 'runs/zoo', 'The zoo to show.', _FLAGS)
_META = options.define_path(
    'meta', 'runs/meta', 'Results of python -m nws_jax.meta.', _FLAGS)
_OUT = options.define_path(
    'out', 'runs/report', 'Folder of the page.', _FLAGS)
_HEADLINE = options.define_path(
    'headline', None, 'Make one picture with the main results instead, as this '
    'PNG file.', _FLAGS)
_TABLE = options.define_path(
    'table', None, 'Write the table of all properties instead (how much, what '
    'else explains it, where, when), as this Markdown file.', _FLAGS)


def main():
  zoo, meta = pathlib.Path(_ZOO.value), pathlib.Path(_META.value)
  part = extent.find(moment.read(zoo))
  if part is not None:
    print(f'{zoo}: {part.tell()}')
  if _FLAGS['meta'].present and not meta.is_dir():
    raise errors.Wrong(f'--meta={meta} is not a folder; give the --workdir of '
                       'python -m nws_jax.meta.')
  asked = []
  for flag, suffix, make in ((_HEADLINE, '.png', make_headline),
                             (_TABLE, '.md', make_table)):
    if flag.value:
      path = pathlib.Path(flag.value)
      if path.suffix != suffix:
        raise errors.Wrong(
            f'--{flag.name}={path} is not a {suffix} file name.')
      _prepare(path.parent)
      asked.append((path, make))
  out = pathlib.Path(_OUT.value)
  if not asked:
    _prepare(out)
  _tell_left_out(meta)
  for path, make in asked:
    _write(path, make(zoo, meta))
    print(path)
  if not asked:
    files = make_page(zoo, meta)
    with locks.hold(out / 'lock', wait=True):  # all files are of one report
      for name, content in files.items():
        _write(out / name, content)
    print(f'Report: {out / "index.html"} '
          f'({say.size(len(files["index.html"]))}, open it in a browser)')


def _tell_left_out(meta):
  if not meta.is_dir():
    print(f'{meta} is not there: no results are shown', file=sys.stderr)
  for path in sealed.list_unfinished(meta):
    print(f'{path} is left out: it is still being made, or was stopped; then '
          'run its command again, or remove it', file=sys.stderr)


def make_page(zoo, meta):
  """{file name: bytes} of the page; see `nws_jax.pictures.page.build`."""
  from nws_jax.pictures import (  # slow to import
    explained,
    explanations,
    grids,
    overview,
    page,
    results,
    sections,
    theme,
    trust,
  )
  there = moment.read(zoo)
  digest, config = there.checksums['zoo'], there.config
  part = extent.find(there)
  members, metrics, layers = (
      there.table(f'{name}.csv') for name in ('members', 'metrics', 'layers'))
  read = _command('meta', zoo=zoo, workdir=meta)
  usual = options.load(options.packaged('meta'))
  found, made, why = (results.order(read_all(meta, usual), digest)
                      for read_all in (results.read_results,
                                       results.read_ablations,
                                       explanations.read))
  with theme.style():
    return page.build(
        f'{len(members):,} networks, and what their weights tell',
        f'A report on {zoo}' + (f': {part.tell()}' if part else ''), [
            *filter(None, [overview.describe(*results.keep_own(
                digest, found, made))]),
            sections.describe_population(
                members, metrics, config.get('dataset_source', 'unknown')),
            sections.describe_training(members, metrics),
            sections.describe_readings(found, digest, read),
            *trust.describe_all(found, read),
            grids.describe_ablations(made, digest, read),
            grids.describe_transfer(made, digest, read),
            explained.describe_explanations(why, digest, layers, read),
            explained.describe_map(why, digest, members, read),
            sections.describe_making(
                config, _list_commands(zoo, meta, config, found + made))])


def make_headline(zoo, meta):
  """PNG bytes of the picture with the main results, of this zoo alone."""
  from nws_jax.pictures import headline, theme  # slow to import
  there = moment.read(zoo)
  with theme.style():
    return theme.to_png(headline.draw(
        there.table('members.csv'),
        *_read_own(meta, there.checksums['zoo'])))


def make_table(zoo, meta):
  """Markdown bytes of the table of all properties, of this zoo alone."""
  from nws_jax.pictures import overview  # slow to import
  there = moment.read(zoo)
  part = extent.find(there)
  table = overview.tabulate(*_read_own(meta, there.checksums['zoo']))
  if not len(table):
    raise errors.Wrong(f'{meta} has no result on {zoo}. Make one: '
                       f'{_command("meta", zoo=zoo, workdir=meta)} '
                       '--target=optimizer --controls')
  note = f'{part.tell()}\n\n' if part else ''
  return (note + overview.to_markdown(table)).encode()


def _read_own(meta, digest):
  """(results, ablations) of the zoo with this digest, in `results.order`."""
  from nws_jax.pictures import results  # slow to import
  usual = options.load(options.packaged('meta'))
  return [results.order(some, digest) for some in results.keep_own(
      digest, results.read_results(meta, usual),
      results.read_ablations(meta, usual))]


# What config.json tells beside the keys of a config, or what changes no draw.
_NOT_ASKED = ('networks_per_program', 'disk_gb', 'compile_ahead', 'revision',
              'created')


def _list_commands(zoo, meta, config, found):
  """What to type to make the zoo, the results and this page again."""
  keys = {k: v for k, v in config.items()
          if not isinstance(v, dict) and v is not None and k not in _NOT_ASKED}
  if keys.get('keep') == 0:  # as a recipe has it
    keys['keep'] = 'all'
  for name, values in config.get('choices', {}).items():
    keys['datasets' if name == 'dataset' else name] = tuple(values)
  read = [_command(
      'meta', zoo=zoo, workdir=meta, target=f.target, classifier=f.classifier,
      **({'ablate': f.axes} if hasattr(f, 'axes') else {}),
      **_find_changed('meta', f.data.get('config', {}))) for f in found]
  return [_command('zoo', config='configs/zoo.py', workdir=zoo,
                   **_find_changed('zoo', keys)),
          *dict.fromkeys(read), _command('report', zoo=zoo, meta=meta)]


def _find_changed(name, keys):
  """The keys that differ from configs/<name>.py, as flags."""
  usual = options.load(options.packaged(name))
  return {f'config.{k}': v for k, v in keys.items()
          if k != 'classifier' and (k not in usual or usual[k] != v)}


def _command(module, **given):
  """A command line; values of tuples are parted by commas."""
  flat = {k: ','.join(map(str, v)) if isinstance(v, tuple) else str(v)
          for k, v in given.items()}
  return ' '.join([f'python -m nws_jax.{module}',
                   *(f'--{k}={shlex.quote(v)}' for k, v in flat.items())])


def _prepare(path):
  """Makes a folder, before anything is drawn; raises `Wrong` if it cannot."""
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise errors.Wrong(f'{path} cannot be made: {e.strerror}. Name another '
                       'folder.') from e
  if not os.access(path, os.W_OK):
    raise errors.Wrong(f'{path} cannot be written to. Name another folder.')


def _write(path, content):
  """Writes aside, then renames: a reader never sees half a file."""
  aside = path.with_name(f'.{path.name}.{os.getpid()}')
  aside.write_bytes(content)
  os.replace(aside, path)


if __name__ == '__main__':
  cli.run(main, _FLAGS)
