"""Holds rules 1 to 4 and 8 of docs/architecture.md by reading imports."""

import ast
import pathlib
import re

import pytest

import nws_jax

ROOT = pathlib.Path(nws_jax.__file__).parent
FREE = ('(space|layout|published|environment|errors|keys|paths|bars|say|'
        'toom_cook)')
BASE = rf'nws_jax(\.{FREE})?'
# Who may import what of nws_jax, at any place in a file. Commands may import
# anything but for rule 1.
APART = (
    (r'nws_jax\.zoo(\..*)?', r'(?!nws_jax\.meta\b).*'),
    (r'nws_jax\.meta(\..*)?', r'(?!nws_jax\.zoo\b).*'),
)
ROOMS = (
    (rf'nws_jax\.{FREE}', BASE),
    (r'nws_jax\.store\.(tables|disks|schema)',
     rf'{BASE}|nws_jax\.store\.(disks|schema)'),
    (r'nws_jax\.store\..*', rf'{BASE}|nws_jax\.store(\..*)?'),
    (r'nws_jax\.zoo\..*', rf'{BASE}|nws_jax\.(store|zoo)(\..*)?'),
    (r'nws_jax\.meta\..*', rf'{BASE}|nws_jax\.(store|meta)(\..*)?'),
    (r'nws_jax\.pictures\..*',
     rf'{BASE}|nws_jax\.store(\.(tables|schema|folder|sealed|whole))?|nws_jax\.pictures(\..*)?'),
    (r'nws_jax\.formats\..*', rf'{BASE}|nws_jax\.(store|formats)(\..*)?'),
)
# The layers of meta: each room may import those before it, and itself; the last
# ones are above all, and so are command modules.
LAYERS = (('figures',), ('data',), ('classifiers',), ('training',),
          ('settings',), ('request',), ('running',), ('answers',),
          ('explain', 'identify'),
          ('making', 'price', 'summary', '__main__'))
JAX = {'jax', 'jaxlib', 'flax', 'optax', 'orbax', 'tensorstore'}
WITHOUT_JAX = (r'nws_jax\.(space|layout|published|errors|pictures\..*)|'
               r'nws_jax\.store\.(tables|schema|folder|locks|sealed|layers|whole)')
BORDER = {'absl', 'argparse', 'datetime', 'ml_collections', 'time'}
HEAVY = {'matplotlib', 'orbax', 'pandas', 'scipy', 'sklearn', 'skops',
         'tensorflow', 'tensorflow_datasets', 'torch'}


class Module:
  """What one file imports: anywhere, and when it is itself imported."""

  def __init__(self, name, source, names):
    tree = ast.parse(source)
    self.all = _imports(ast.walk(tree), names)
    self.early = _imports(_outside_functions(tree), names)
    last = name.rsplit('.', 1)[-1]
    self.command = (name.count('.') == 1 and name != 'nws_jax.space'
                    or last in ('__main__', 'driver', 'opening', 'ledger',
                                'making', 'probe', 'progress', 'provenance')
                    or re.search(r"^if __name__ == '__main__'", source, re.M))


def _outside_functions(node):
  for child in ast.iter_child_nodes(node):
    if not (isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
            or isinstance(child, ast.If)
            and getattr(child.test, 'id', '') == 'TYPE_CHECKING'):
      yield child
      yield from _outside_functions(child)


def _imports(nodes, names):
  found = set()
  for node in nodes:
    if isinstance(node, ast.Import):
      found |= {a.name for a in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, 'relative import'
      for a in node.names:
        whole = f'{node.module}.{a.name}'
        found.add(whole if whole in names else node.module)
  return found


def read(root):
  """{dotted name: Module} of a package's files."""
  files = {}
  for path in root.rglob('*.py'):
    parts = (root.name,) + path.relative_to(root).with_suffix('').parts
    files['.'.join(parts).removesuffix('.__init__')] = path
  return {name: Module(name, path.read_text(), files)
          for name, path in files.items()}


def reach(modules, name):
  """Everything imported by importing `name`, through our own modules."""
  seen, todo = set(), {name}
  while todo:
    name = todo.pop()
    seen.add(name)
    if name in modules:
      parents = {name[:m.start()] for m in re.finditer(r'\.', name)}
      todo |= (modules[name].early | parents) - seen
  return {n.split('.')[0] for n in seen}


def rank(name):
  """The layer of meta that a module is in; None outside of meta."""
  room = name.removeprefix('nws_jax.meta.').split('.')[0]
  if not name.startswith('nws_jax.meta.'):
    return None
  return next((n for n, rooms in enumerate(LAYERS) if room in rooms), None)


def upward(name, imported):
  """Sentences, one for each import of meta that leads up a layer."""
  room = '.'.join(name.split('.')[:3])
  for n in sorted(imported):
    if (rank(n) is not None and not n.startswith(room)
        and not (rank(name) is not None and (
            rank(n) < rank(name) or rank(name) == len(LAYERS) - 1))):
      yield f'{name} must not import {n}: it lies in a layer above'


def violations(modules):
  """Sentences, one for each import that breaks a rule."""
  for name, module in modules.items():
    ours = {n for n in module.all if n.split('.')[0] == 'nws_jax'}
    others = {n.split('.')[0] for n in module.all - ours}
    for who, allowed in APART + (() if module.command else ROOMS):
      if re.fullmatch(who, name):
        for n in sorted(ours):
          if not re.fullmatch(allowed, n):
            yield f'{name} must not import {n}'
    if rank(name) is not None:
      yield from upward(name, ours)
    elif re.fullmatch(r'nws_jax\.meta\..*', name):
      yield f'{name} is in no layer of meta'
    if 'nws_jax.api' in ours and not (module.command or name == 'nws_jax'):
      yield f'{name} must not import nws_jax.api: only commands do'
    if re.fullmatch(WITHOUT_JAX, name):
      for n in sorted(reach(modules, name) & JAX):
        yield f'{name} must not need {n}'
    if not module.command:
      for n in sorted(others & BORDER):
        yield f'{name} must not import {n}: only commands do'
    else:
      for n in sorted(reach(modules, name) & HEAVY):
        yield f'{name} must import {n} where it is used, for --help'


def test_rules_hold():
  assert list(violations(read(ROOT))) == []


@pytest.mark.parametrize('name, line, problem', [
    ('zoo/train', 'from nws_jax.meta.data import a',
     'import nws_jax.meta.data.a'),
    ('zoo/__main__', 'import nws_jax.meta', 'must not import nws_jax.meta'),
    ('meta/data/a', 'def f():\n  from nws_jax import zoo',
     'import nws_jax.zoo'),
    ('meta/data/a', 'def f():\n  from nws_jax.meta import request',
     'a layer above'),
    ('meta/request', 'from nws_jax.meta.answers import a', 'a layer above'),
    ('meta/fit', 'import json', 'in no layer'),
    ('meta/__main__', 'from nws_jax.zoo import cnn', 'import nws_jax.zoo.cnn'),
    ('meta/data/a', 'from nws_jax import api', 'import nws_jax.api'),
    ('store/layers', 'from nws_jax.zoo import cnn', 'import nws_jax.zoo.cnn'),
    ('store/layers', 'from nws_jax import cli', 'must not import nws_jax.cli'),
    ('store/tables', 'from nws_jax.store import layers', 'store.layers'),
    ('store/tables', 'import jax.numpy as jnp', 'must not need jax'),
    ('pictures/page', 'from nws_jax.store import snapshots', 'snapshots'),
    ('pictures/page', 'from nws_jax.pictures import a', 'must not need fl'),
    ('formats/nws', 'from nws_jax.zoo import cnn', 'import nws_jax.zoo.cnn'),
    ('space', 'from nws_jax.store import layers', 'import nws_jax.store.lay'),
    ('zoo/train', 'from absl import flags', 'must not import absl'),
    ('zoo/train', 'def f():\n  import time', 'must not import time'),
    ('zoo/__main__', 'import pandas as pd', 'must import pandas where'),
    ('report', 'from nws_jax.pictures import b', 'must import matplotlib'),
])
def test_broken_rules_are_found(tmp_path, name, line, problem):
  files = {
      '__init__': '', 'space': '', 'errors': '', 'api': '', 'cli': '',
      'report': '', 'zoo/__init__': '', 'zoo/cnn': '', 'zoo/__main__': '',
      'zoo/train': '', 'store/__init__': '', 'store/tables': '',
      'store/layers': '', 'store/snapshots': '', 'meta/__init__': '',
      'meta/data/__init__': '',
      'meta/data/a': '', 'meta/answers/__init__': '', 'meta/answers/a': '',
      'meta/request': '', 'meta/__main__': '', 'pictures/__init__': '',
      'pictures/page': '', 'pictures/b': 'import matplotlib',
      'formats/nws': ''}
  def check(files):
    for file, text in files.items():
      path = tmp_path / 'nws_jax' / f'{file}.py'
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(text)
    return list(violations(read(tmp_path / 'nws_jax')))
  assert check(files) == []
  files['pictures/a'] = ''
  if 'import a' in line:
    files['pictures/a'] = 'import flax'
  found = check(files | {name: line})
  assert [v for v in found if problem in v], found


def test_lazy_imports_are_no_burden(tmp_path):
  path = tmp_path / 'nws_jax'
  path.mkdir()
  (path / 'report.py').write_text('def main():\n  import pandas\n')
  assert list(violations(read(path))) == []
