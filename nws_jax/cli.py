"""How every command starts and ends: flags, messages, exit codes.

0 done, 2 what was asked is wrong, 1 what exists is damaged or the run failed,
130 interrupted (`interrupts`), 141 nobody reads the output. absl and
ml_collections would exit 1, some with a traceback; everything they raise while
flags are read becomes one line and exit code 2.
"""

import contextlib
import os
import re
import sys
import traceback

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

_NO_READER = 141  # as the shell has it of who is ended by SIGPIPE


def run(main, flag_values, config=None):
  """Parses the command line, calls `main()`, exits with its outcome's code.

  Args:
    main: the command.
    flag_values: its `flags.FlagValues`, its own: several commands may be
      imported together.
    config: name of the packaged config that --config is where the command line
      has none. (As the flag's own default it would be read before errors can
      be caught.)
  """
  name = main.__module__
  if name == '__main__':  # python -m nws_jax.zoo -> nws_jax.zoo
    name = sys.modules['__main__'].__spec__.name
  name = name.removesuffix('.__main__')
  streams.occupy()
  interrupts.listen(name)
  was_open = streams.prepare()
  flags.FLAGS.mark_as_parsed()  # those of libraries keep their defaults
  logging.set_verbosity(logging.ERROR)  # libraries; ours are plain messages
  code = (_guard(name, lambda: _run(main, flag_values, config))
          or _guard(name, lambda: streams.finish(was_open)))
  streams.drop()
  sys.exit(code)


def _run(main, flag_values, config):
  if {'--help', '-h', '-help'} & set(sys.argv[1:]):
    print(_help(main, flag_values))
    return
  rest = _parse(main, flag_values, config)
  ignored = environment.pin()
  if ignored:
    print(ignored, file=sys.stderr)
  main(*rest)


def _parse(main, flag_values, config):
  """Reads the command line; returns what is no flag."""
  for argument in sys.argv[1:]:
    if not paths.is_text(argument):
      raise errors.Wrong(f'{argument!r} holds bytes that are no text; give '
                         'files and folders other names.')
  if 'config' in flag_values and not any(
      re.fullmatch(r'--?config(=.*)?', a, re.DOTALL) for a in sys.argv[1:]):
    if config is None:
      raise errors.Wrong('--config is missing; name a file and preset, as '
                         '--config=configs/zoo.py:smoke.')
    # ml_collections reads this list, too.
    sys.argv.insert(1, f'--config={options.packaged(config)}')
  try:
    rest = flag_values(sys.argv)
  except errors.Wrong:
    raise
  except Exception as e:  # absl and ml_collections raise anything
    raise errors.Wrong(_reason(e)) from e
  if len(rest) > 1 and not getattr(main, 'positional', False):
    raise errors.Wrong(f'unexpected argument {rest[1]!r}; options start with '
                       '--. See --help.')
  return rest[1:]


def _guard(name, do):
  """Calls `do()`: the exit code of what it raises, of which one line tells."""
  try:
    do()
    return 0
  except errors.Wrong as e:
    error, said, code = e, str(e), 2
  except errors.Damaged as e:
    error, said, code = e, str(e), 1
  except BrokenPipeError:  # the reader of our output left, as `| head` does
    return _NO_READER
  except OSError as e:
    said = f'{e.strerror or e}: {e.filename or ""}'.rstrip(': ')
    error, said, code = e, (
        f'{said}. {say.advise(e)} and run the same command again.'), 1
  except Exception as e:
    reason = environment.explain()
    # All else is a fault of ours.
    error, said, code = e, reason or _confess(e), 2 if reason else 1
  with contextlib.suppress(OSError):  # nobody reads stderr
    if os.environ.get('NWS_JAX_TRACEBACK'):
      traceback.print_exception(error)
    print(f'{name}: {said}', file=sys.stderr)
  return code


def _confess(error):
  """One line about an error that nobody thought of."""
  frame = traceback.extract_tb(error.__traceback__)[-1]
  return (f'unexpected {type(error).__name__}: {say.first(error)} '
          f'({os.path.basename(frame.filename)}, line {frame.lineno}). This is '
          'a fault of the program; NWS_JAX_TRACEBACK=1 shows where it is.')


def _help(main, flag_values):
  module = sys.modules[main.__module__]
  lines = [(module.__doc__ or '').strip(), '', 'Options:']
  for name in sorted(flag_values):
    flag = flag_values[name]
    default = '' if flag.default is None else f' (default: {flag.default})'
    lines += [f'  --{flag.name}', f'      {flag.help}{default}']
  return '\n'.join(lines)


def _reason(error):
  """One line of what a flag parser raised."""
  if isinstance(error, (AttributeError, KeyError)):  # of a locked config
    key, *near = re.findall(
        r'(?:Did you mean "|lookup: |^\W*(?!\W*Attribute))([\w.]+)', str(error))
    return f'the config has no key {key!r}.' + ''.join(
        f' Did you mean {n!r}?' for n in near)
  lines = [x.strip() for x in str(error).splitlines() if x.strip()]
  text = lines[-1] if lines else type(error).__name__
  for prefix in ('nws_jax.errors.Wrong: ', 'ValueError: ', 'KeyError: '):
    text = text.removeprefix(prefix)
  return text
