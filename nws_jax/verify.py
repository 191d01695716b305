"""Tells whether a zoo is what it says, by other ways than it was made.

  python -m nws_jax.verify --zoo=runs/zoo
      compares every checksum, draws the population and its splits again, and
      measures some reloaded networks on their images
  python -m nws_jax.verify --zoo=runs/zoo --replay=7
      trains network 7 again, alone in a program of the same plan, and compares
      it epoch by epoch: bit for bit on CPU

A line a check; exit code 1 if any fails.
"""

from absl import flags

from nws_jax import checks, cli, errors, options

_FLAGS = flags.FlagValues()
_ZOO = options.define_path('zoo', 'runs/zoo', 'The zoo to verify.', _FLAGS)
_NETWORKS = flags.DEFINE_integer(
    'networks', 16, 'How many networks to measure again, evenly spread.',
    flag_values=_FLAGS)
_REPLAY = flags.DEFINE_integer(
    'replay', None, 'Id of a network to train again, instead of the checks.',
    flag_values=_FLAGS)
_DATA_DIR = options.define_path(
    'data_dir', None, 'Where the full image sets are, if they have moved.',
    _FLAGS)


def main():
  from nws_jax import api, replay
  if _NETWORKS.value < 0:
    raise errors.Wrong(f'--networks={_NETWORKS.value} is not possible; '
                       'allowed: whole numbers from 0.')
  zoo = api.Zoo(_ZOO.value)
  if _REPLAY.value is None:
    verify(zoo, _NETWORKS.value, _DATA_DIR.value)
  else:
    replay.replay(zoo, _REPLAY.value, _DATA_DIR.value)


def verify(zoo, networks=16, data_dir=None):
  """Makes all checks of an `api.Zoo`, a line each on stdout.

  Args:
    zoo: the zoo.
    networks: how many to measure again.
    data_dir: where the full image sets are; None is what config.json says.

  Raises:
    errors.Wrong: the images are not here.
    errors.Damaged: a check failed; names each that did.
  """
  todo = {'checksums': checks.check_checksums,
          'records': checks.check_records,
          'splits': checks.check_splits,
          'figures': checks.check_figures}
  if 'converted_from' not in zoo.config:  # no recipe, and no known images
    recipe = checks.read_recipe(zoo, data_dir)
    sets = checks.load_sets(recipe)
    todo |= {
        'environment': checks.describe_environment,
        'population': lambda zoo: checks.check_population(zoo, recipe),
        'images': lambda zoo: checks.check_images(zoo, sets),
        'accuracies': lambda zoo: checks.check_accuracies(
            zoo, recipe, sets, checks.choose(zoo, networks))}
  else:
    print('population, images and accuracies are not known: the zoo was '
          'converted from another format')
  failed = {}
  for name, check in todo.items():
    try:
      said = check(zoo)
    except errors.Damaged as e:
      failed.setdefault(str(e), name)  # several checks may meet the same
      said = 'FAILED'
    print(f'{name:<12}{said}', flush=True)
  if failed:
    raise errors.Damaged(
        '\n'.join(f'{name}: {said}' for said, name in failed.items()))


if __name__ == '__main__':
  cli.run(main, _FLAGS)
