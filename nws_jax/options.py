"""The kinds of options that commands share: paths, and a config file."""

import importlib.machinery
import importlib.util
import os
import pathlib
import re
import sys
import traceback

from absl import flags
from ml_collections import config_dict, config_flags

from nws_jax import errors, paths, say

_ROOT = pathlib.Path(__file__).parent


def define_path(name, default, help, flag_values):
  """An option for a file or folder: its value is what `paths.expand` makes.

  Every option that takes a path is one of these.
  """
  return flags.DEFINE(_Path(name), name, default, help, flag_values,
                      flags.ArgumentSerializer())


class _Path(flags.ArgumentParser):

  def __init__(self, name):
    self._name = name

  def parse(self, argument):
    return paths.expand(argument, f'--{self._name}')


def define_config(example, flag_values):
  """The option --config; its value is what `load` makes, locked.

  Args:
    example: a file and preset, for its help.
    flag_values: of the command.
  """
  flag = config_flags.DEFINE_config_file(
      'config', None, f'Config file and preset, as {example}. Keys are set by '
      '--config.key=value.', flag_values=flag_values)
  flag_values[flag.name].parser = _Config()  # it says in words what is wrong
  return flag


class _Config(flags.ArgumentParser):

  def parse(self, argument):
    return load(argument).lock()


def packaged(name):
  """Path of the configs/<name>.py that came with the package."""
  installed = _ROOT / 'configs' / f'{name}.py'
  return installed if installed.exists() else (
      _ROOT.parent / 'configs' / f'{name}.py')  # of a clone


def load(argument):
  """The ConfigDict that a config file makes.

  Args:
    argument: FILE or FILE:PRESET. configs/zoo.py and configs/meta.py may be
      given where they are not: those of the package are taken.

  Raises:
    errors.Wrong: there is no such file or preset, or it makes no config.
  """
  path, *preset = re.split(r':(?=[^/]*$)', str(argument), maxsplit=1)
  path = _find(paths.expand(path, '--config'))

  def refuse(reason):
    return errors.Wrong(f'--config={argument} makes no config: {reason}.')

  loader = importlib.machinery.SourceFileLoader('nws_jax_config', path)
  module = importlib.util.module_from_spec(
      importlib.util.spec_from_loader(loader.name, loader))
  try:
    loader.exec_module(module)
    make = getattr(module, 'get_config', None)
    config = make(*preset) if make else None
  except errors.Wrong:
    raise
  except (Exception, SystemExit) as e:  # it is code, and may do anything
    raise refuse(_describe(e, path)) from e
  if make is None:
    raise refuse('it has no function get_config; see configs/zoo.py')
  if not isinstance(config, config_dict.ConfigDict):
    raise refuse(f'its get_config returns a {type(config).__name__}, not an '
                 'ml_collections.ConfigDict')
  return config


def _find(path):
  """The config file at a path, or the package's own of that name."""
  if os.path.exists(path) and not os.path.isdir(path):
    return path
  own = packaged(pathlib.Path(path).stem)
  if os.path.normpath(path) == f'configs/{own.name}' and own.exists():
    print(f'{path} is not in this folder: using the one of the package, {own}',
          file=sys.stderr)
    return str(own)
  raise errors.Wrong(f'--config={path}: there is no such file.')


def _describe(error, path):
  """What went wrong in a file, and in which of its lines."""
  lines = [f.lineno for f in traceback.extract_tb(error.__traceback__)
           if f.filename == path]
  if isinstance(error, SyntaxError) and error.filename == path:
    lines.append(error.lineno)
  where = f'line {lines[-1]}: ' if lines else ''
  name = type(error).__name__
  said = say.first(error)
  return where + (said if said.startswith(name) else f'{name}: {said}')
