"""Whether a config has the keys that are read from it, and no others."""

from nws_jax import errors


def check(config, known, example):
  """Raises `Wrong` unless a config has exactly the keys that are known.

  Args:
    config: a mapping.
    known: the keys.
    example: a config file that has them.
  """
  wrong = {'lacks': [k for k in known if k not in config],
           'has': [k for k in config if k not in known]}
  said = ' and '.join(f'{verb} {_list(keys)}'
                      for verb, keys in wrong.items() if keys)
  if said:
    raise errors.Wrong(f'the config {said}: its keys must be those of '
                       f'{example}.')


def _list(keys, most=4):
  more = f' and {len(keys) - most} more keys' if len(keys) > most else ''
  return ', '.join(map(str, keys[:most])) + more
