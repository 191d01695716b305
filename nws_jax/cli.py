"""How every command starts and ends: flags, messages, exit codes.

Exit codes: 0 success; 2 the request is wrong; 1 what exists is damaged, or the
run failed; 130 interrupted (`interrupts`); 141 the reader of the output has
closed its end. absl and ml_collections would exit with 1, sometimes with a
traceback; whatever they raise while flags are parsed becomes one line and exit
code 2.
"""

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from absl import flags, logging

from nws_jax import (
  environment,
  errors,
  interrupts,
  options,
  paths,
  say,
  streams,
)

_NO_READER = 141  # what a shell reports of a process that SIGPIPE ended


def run(main: Callable[..., None], flag_values: flags.FlagValues,
        config: str | None = None, positional: bool = False) -> NoReturn:
  """Parses the command line, calls `main()`, and exits with an exit code.

  Args:
    main: the command.
    flag_values: the command's own flags. (Several commands may be imported
      together.)
    config: name of the packaged config to use if the command line has no
      --config. (As the flag's own default it would be read before errors can
      be caught.)
    positional: whether `main` takes the arguments that are not flags.
  """
  name = main.__module__
  if name == '__main__':  # python -m nws_jax.zoo -> nws_jax.zoo
    name = getattr(sys.modules['__main__'].__spec__, 'name', name)
  name = name.removesuffix('.__main__')
  streams.occupy()
  interrupts.listen(name)
  was_open = streams.prepare()
  flags.FLAGS.mark_as_parsed()  # flags of libraries keep their defaults
  logging.set_verbosity(logging.ERROR)  # of libraries; we print
  code = (_guard(name, lambda: _run(main, flag_values, config, positional))
          or _guard(name, lambda: streams.finish(was_open)))
  streams.drop()
  sys.exit(code)


def _run(main: Callable[..., None], flag_values: flags.FlagValues,
         config: str | None, positional: bool) -> None:
  if {'--help', '-h', '-help'} & set(sys.argv[1:]):
    print(_help(main, flag_values))
    return
  rest = _parse(flag_values, config, positional)
  ignored = environment.pin()
  if ignored:
    print(ignored, file=sys.stderr)
  main(*rest)


def _parse(flag_values: flags.FlagValues, config: str | None,
           positional: bool) -> list[str]:
  """Parses the command line; returns the arguments that are not flags."""
  for argument in sys.argv[1:]:
    if not paths.is_text(argument):
      raise errors.Wrong(f'{argument!r} holds bytes that are not text; '
                         'rename the file or folder.')
  if 'config' in flag_values and not any(
      re.fullmatch(r'--?config(=.*)?', a, re.DOTALL) for a in sys.argv[1:]):
    if config is None:
      raise errors.Wrong('--config is missing; name a file and preset, for '
                         'example --config=configs/zoo.py:smoke.')
    # ml_collections reads sys.argv, too.
    sys.argv.insert(1, f'--config={options.packaged(config)}')
  try:
    rest = flag_values(sys.argv)
  except errors.Wrong:
    raise
  except Exception as e:  # absl and ml_collections raise many types
    raise errors.Wrong(_reason(e)) from e
  if len(rest) > 1 and not positional:
    raise errors.Wrong(f'unexpected argument {rest[1]!r}; options start with '
                       '--. See --help.')
  return rest[1:]


def _guard(name: str, do: Callable[[], object]) -> int:
  """Calls `do()` and returns the exit code; prints one line about an error."""
  error: Exception
  try:
    do()
    return 0
  except errors.Wrong as e:
    error, message, code = e, str(e), 2
  except errors.Damaged as e:
    error, message, code = e, str(e), 1
  except BrokenPipeError:  # for example of `| head`
    return _NO_READER
  except OSError as e:
    reason = f'{e.strerror or e}: {e.filename or ""}'.rstrip(': ')
    error, message, code = e, (
        f'{reason}. {say.advise(e)} and run the same command again.'), 1
  except Exception as e:
    no_device = environment.explain()
    error, message = e, no_device or _describe_bug(e)
    code = 2 if no_device else 1
  with contextlib.suppress(OSError):  # stderr may be closed
    if os.environ.get('NWS_JAX_TRACEBACK'):
      traceback.print_exception(error)
    print(f'{name}: {message}', file=sys.stderr)
  return code


def _describe_bug(error: Exception) -> str:
  """One line about an error that the program does not expect."""
  frame = traceback.extract_tb(error.__traceback__)[-1]
  return (f'unexpected {type(error).__name__}: {say.first(error)} '
          f'({os.path.basename(frame.filename)}, line {frame.lineno}). This is '
          'a bug in the program; NWS_JAX_TRACEBACK=1 shows the traceback.')


def _help(main: Callable[..., None], flag_values: flags.FlagValues) -> str:
  module = sys.modules[main.__module__]
  lines = [(module.__doc__ or '').strip(), '', 'Options:']
  for name in sorted(flag_values):
    flag = flag_values[name]
    default = '' if flag.default is None else f' (default: {flag.default})'
    lines += [f'  --{flag.name}', f'      {flag.help}{default}']
  return '\n'.join(lines)


def _reason(error: Exception) -> str:
  """What a flag parser raised, in one line."""
  if isinstance(error, (AttributeError, KeyError)):  # by a locked config
    key, *near = re.findall(
        r'(?:Did you mean "|lookup: |^\W*(?!\W*Attribute))([\w.]+)', str(error))
    return f'the config has no key {key!r}.' + ''.join(
        f' Did you mean {n!r}?' for n in near)
  lines = [x.strip() for x in str(error).splitlines() if x.strip()]
  text = lines[-1] if lines else type(error).__name__
  for prefix in ('nws_jax.errors.Wrong: ', 'ValueError: ', 'KeyError: '):
    text = text.removeprefix(prefix)
  return text
