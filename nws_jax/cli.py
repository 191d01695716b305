"""How every command starts and ends: flags, messages, exit codes.

0 done, 2 what was asked is wrong, 1 what exists is damaged or the run failed,
130 interrupted. absl and ml_collections would exit 1, some with a traceback;
everything they raise while flags are read becomes one line and exit code 2.
"""

import errno
import os
import re
import signal
import sys

from absl import flags, logging

from nws_jax import errors


def run(main, flag_values, config=None):
  """Parses the command line, calls `main()`, exits with its outcome's code.

  Args:
    main: the command.
    flag_values: its `flags.FlagValues`, its own: several commands may be
      imported together.
    config: file that --config names where the command line does not. (As the
      flag's own default it would be read before errors can be caught.)
  """
  if config and not any(
      re.fullmatch(r'--?config(=.*)?', a, re.DOTALL) for a in sys.argv[1:]):
    sys.argv.insert(1, f'--config={config}')
  name = main.__module__
  if name == '__main__':  # python -m nws_jax.zoo -> nws_jax.zoo
    name = sys.modules['__main__'].__spec__.name
  name = name.removesuffix('.__main__')
  flags.FLAGS.mark_as_parsed()  # those of libraries keep their defaults
  logging.set_verbosity(logging.ERROR)  # libraries; ours are plain messages
  try:
    code = _run(main, flag_values, name, sys.argv)
  except KeyboardInterrupt:
    print(f'{name}: interrupted', file=sys.stderr, flush=True)
    sys.stdout.flush()
    # All is closed and saved that can be. The device's work and a compiler's,
    # which an ordinary exit waits for, may take minutes and is of no use.
    os._exit(130)
  sys.stdout.flush()
  sys.exit(code)


def _run(main, flag_values, name, argv):
  if {'--help', '-h', '-help'} & set(argv[1:]):
    print(_help(main, flag_values))
    return 0
  try:
    rest = flag_values(argv)
    if len(rest) > 1 and not getattr(main, 'positional', False):
      raise errors.Wrong(f'unexpected argument {rest[1]!r}; options start '
                         'with --. See --help.')
  except errors.Wrong as e:
    return _say(name, e, 2)
  except Exception as e:  # ml_collections raises anything a config file does
    return _say(name, _reason(e), 2)
  signal.signal(signal.SIGTERM, _interrupt)
  try:
    main(*rest[1:])
  except errors.Wrong as e:
    return _say(name, e, 2)
  except errors.Damaged as e:
    return _say(name, e, 1)
  except BrokenPipeError:  # the reader of our output left: `| head`
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
  except OSError as e:
    if os.environ.get('NWS_JAX_TRACEBACK'):
      raise
    fix = ('. Make room on the disk and run the same command again.'
           if e.errno in (errno.ENOSPC, errno.EDQUOT) else '')
    return _say(name, f'{e.strerror or e}: {e.filename or ""}'.rstrip(': ')
                + fix, 1)
  return 0


def _interrupt(signum, frame):
  raise KeyboardInterrupt


def _say(name, message, code):
  print(f'{name}: {message}', file=sys.stderr)
  return code


def _help(main, flag_values):
  module = sys.modules[main.__module__]
  lines = [(module.__doc__ or '').strip(), '', 'Options:']
  for name in sorted(flag_values):
    flag = flag_values[name]
    default = '' if flag.default is None else f' (default: {flag.default})'
    lines += [f'  --{flag.name}', f'      {flag.help}{default}']
  return '\n'.join(lines)


def config(flag, flag_values):
  """The config a flag names.

  Raises:
    errors.Wrong: it names none, or one that cannot be read.
  """
  if flag.value is None:
    raise errors.Wrong('--config is missing; name a file and preset, as '
                       '--config=configs/zoo.py:smoke.')
  try:
    flag.value.keys()
  except OSError as e:  # ml_collections keeps it until the value is used
    from ml_collections import config_flags
    path = config_flags.get_config_filename(flag_values[flag.name])
    raise errors.Wrong(f'--config={path}: there is no such file.') from e
  return flag.value


def _reason(error):
  """One line of what a flag parser raised, without its traceback."""
  if isinstance(error.__cause__, errors.Wrong):
    return str(error.__cause__)
  if isinstance(error, (AttributeError, KeyError)):  # of a locked config
    key, *near = re.findall(r'(?:Did you mean "|^\W*)(\w+)', str(error))
    return f'the config has no key {key!r}.' + ''.join(
        f' Did you mean {n!r}?' for n in near)
  lines = [x.strip() for x in str(error).splitlines() if x.strip()]
  text = lines[-1] if lines else type(error).__name__
  for prefix in ('nws_jax.errors.Wrong: ', 'ValueError: ', 'KeyError: '):
    text = text.removeprefix(prefix)
  return text
