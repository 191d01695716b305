"""Checks that a zoo is what its records say.

  python -m nws_jax.verify --zoo=runs/zoo
      Compares every checksum, draws the population and its splits again, and
      evaluates some networks on their images.
  python -m nws_jax.verify --zoo=runs/zoo --replay=7
      Trains network 7 again, alone in a program of the same plan, and compares
      it epoch by epoch: bit for bit on CPU.

Prints one line for each check; the exit code is 1 if any fails.
"""

from typing import TYPE_CHECKING

from absl import flags

from nws_jax import checks, cli, errors, options

if TYPE_CHECKING:
  from nws_jax import api

_FLAGS = flags.FlagValues()
_ZOO = options.define_path('zoo', 'runs/zoo', 'The zoo to verify.', _FLAGS)
_NETWORKS = flags.DEFINE_integer(
    'networks', 16, 'How many networks to evaluate again, evenly spread.',
    flag_values=_FLAGS)
_REPLAY = flags.DEFINE_integer(
    'replay', None, 'Id of a network to train again instead of the checks.',
    flag_values=_FLAGS)
_DATA_DIR = options.define_path(
    'data_dir', None, 'Folder of the full image sets, if they have moved.',
    _FLAGS)


def main() -> None:
  from nws_jax import api, replay
  if _NETWORKS.value < 0:
    raise errors.Wrong(f'--networks={_NETWORKS.value} is not possible; '
                       'allowed: whole numbers from 0.')
  zoo = api.Zoo(_ZOO.value)
  if _REPLAY.value is None:
    verify(zoo, _NETWORKS.value, _DATA_DIR.value)
  else:
    replay.replay(zoo, _REPLAY.value, _DATA_DIR.value)


def verify(zoo: 'api.Zoo', networks: int = 16,
           data_dir: str | None = None) -> None:
  """Runs all checks of a zoo, and prints a line for each.

  Args:
    zoo: the zoo.
    networks: how many networks to evaluate again.
    data_dir: folder of the full image sets; None is the one in config.json.

  Raises:
    errors.Wrong: the images are not available.
    errors.Damaged: a check failed; names each that did.
  """
  todo = {'checksums': checks.check_checksums,
          'records': checks.check_records,
          'splits': checks.check_splits,
          'figures': checks.check_figures}
  if 'converted_from' not in zoo.config:
    recipe = checks.read_recipe(zoo, data_dir)
    sets = checks.load_sets(recipe)
    todo |= {
        'environment': checks.describe_environment,
        'population': lambda zoo: checks.check_population(zoo, recipe),
        'images': lambda zoo: checks.check_images(zoo, sets),
        'accuracies': lambda zoo: checks.check_accuracies(
            zoo, recipe, sets, checks.choose(zoo, networks))}
  else:
    print('population, images and accuracies are not checked: the zoo was '
          'converted from another format, which does not record them')
  failed: dict[str, str] = {}  # {message: name of the check}
  for name, check in todo.items():
    try:
      outcome = check(zoo)
    except errors.Damaged as e:
      failed.setdefault(str(e), name)  # several checks may find the same fault
      outcome = 'FAILED'
    print(f'{name:<12}{outcome}', flush=True)
  if failed:
    raise errors.Damaged(
        '\n'.join(f'{name}: {message}' for message, name in failed.items()))


if __name__ == '__main__':
  cli.run(main, _FLAGS)
