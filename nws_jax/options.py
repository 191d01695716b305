"""The types of options that commands share: paths, and a config file."""

import importlib.machinery
import importlib.util
import os
import pathlib
import re
import sys
import traceback
from typing import Any

from absl import flags
from ml_collections import config_dict, config_flags

from nws_jax import errors, paths, say

_ROOT = pathlib.Path(__file__).parent


def define_path(name: str, default: str | None, help: str,
                flag_values: flags.FlagValues) -> flags.FlagHolder:
  """Defines an option for a file or folder; its value is an expanded path.

  Every option that takes a path is defined here.
  """
  return flags.DEFINE(_Path(name), name, default, help, flag_values,
                      flags.ArgumentSerializer())


class _Path(flags.ArgumentParser):

  def __init__(self, name: str) -> None:
    self._name = name

  def parse(self, argument: Any) -> str:
    return paths.expand(argument, f'--{self._name}')


def define_config(example: str, flag_values: flags.FlagValues
                  ) -> flags.FlagHolder:
  """Defines the option --config; its value is a locked ConfigDict.

  Args:
    example: a file and preset, for its help.
    flag_values: the options of the command.
  """
  flag = config_flags.DEFINE_config_file(
      'config', None, f'Config file and preset, for example {example}. '
      '--config.key=value sets a key.', flag_values=flag_values)
  flag_values[flag.name].parser = _Config()  # its errors are sentences
  return flag


class _Config(flags.ArgumentParser):

  def parse(self, argument: Any) -> config_dict.ConfigDict:
    return load(argument).lock()


def packaged(name: str) -> pathlib.Path:
  """Path of the configs/<name>.py that came with the package."""
  installed = _ROOT / 'configs' / f'{name}.py'
  return installed if installed.exists() else (
      _ROOT.parent / 'configs' / f'{name}.py')  # in a clone


def load(argument: Any) -> config_dict.ConfigDict:
  """The ConfigDict that a config file returns.

  Args:
    argument: FILE or FILE:PRESET. configs/zoo.py and configs/meta.py may be
      named in any folder: the package's own are used where there are none.

  Raises:
    errors.Wrong: there is no such file or preset, or it returns no config.
  """
  path, *preset = re.split(r':(?=[^/]*$)', str(argument), maxsplit=1)
  path = _find(paths.expand(path, '--config'))

  def refuse(reason: str) -> errors.Wrong:
    return errors.Wrong(f'--config={argument} is not a config: {reason}.')

  loader = importlib.machinery.SourceFileLoader('nws_jax_config', path)
  spec = importlib.util.spec_from_loader(loader.name, loader)
  assert spec is not None  # it is None for a missing loader alone
  module = importlib.util.module_from_spec(spec)
  try:
    loader.exec_module(module)
    make = getattr(module, 'get_config', None)
    config = make(*preset) if make else None
  except errors.Wrong:
    raise
  except (Exception, SystemExit) as e:  # the file may run any code
    raise refuse(_describe(e, path)) from e
  if make is None:
    raise refuse('it has no function get_config; see configs/zoo.py')
  if not isinstance(config, config_dict.ConfigDict):
    raise refuse(f'its get_config returns a {type(config).__name__}, not an '
                 'ml_collections.ConfigDict')
  return config


def _find(path: str) -> str:
  """The config file at a path, or the package's own of that name."""
  if os.path.exists(path) and not os.path.isdir(path):
    return path
  own = packaged(pathlib.Path(path).stem)
  if os.path.normpath(path) == f'configs/{own.name}' and own.exists():
    print(f'{path} is not in this folder; using the one of the package, {own}',
          file=sys.stderr)
    return str(own)
  raise errors.Wrong(f'--config={path}: there is no such file.')


def _describe(error: BaseException, path: str) -> str:
  """What went wrong in a config file, and in which line."""
  lines = [f.lineno for f in traceback.extract_tb(error.__traceback__)
           if f.filename == path]
  if isinstance(error, SyntaxError) and error.filename == path:
    lines.append(error.lineno)
  where = f'line {lines[-1]}: ' if lines else ''
  name = type(error).__name__
  text = say.first(error)
  return where + (text if text.startswith(name) else f'{name}: {text}')
