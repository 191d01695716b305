"""Trains one network of a zoo again, for `nws_jax.verify --replay=ID`."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nws_jax import checks, errors

if TYPE_CHECKING:
  from nws_jax import api
  from nws_jax.zoo import images, plan, recipe


class Epoch(NamedTuple):
  """A network after an epoch."""
  platform: str  # cpu, gpu or tpu: where it was trained
  vector_P: np.ndarray  # float32
  figures: dict[str, float]  # as in metrics.csv


def replay(zoo: 'api.Zoo', id: int, data_dir: str | None = None) -> None:
  """Trains a network again and compares it; prints a line per epoch.

  The program is that of the plan, with all other slots empty.

  Args:
    zoo: the zoo.
    id: the network.
    data_dir: folder of the full image sets; None: as in config.json.

  Raises:
    errors.Wrong: there is no such network, its images are not available, or
      bits differ in an environment other than that of its training.
    errors.Damaged: bits differ in the same environment, on CPU.
  """
  kept = zoo.epochs(id)
  if 'converted_from' in zoo.config:
    raise errors.Wrong(f'{zoo.path} was converted from another format, which '
                       'does not record how its networks were trained.')
  from nws_jax.zoo import plan, provenance
  recipe = checks.read_recipe(zoo, data_dir)
  sets = checks.load_sets(recipe)
  checks.check_images(zoo, sets)
  made = plan.read(checks.plan_path(zoo))
  unit = next((u for u in made.units if id in u.ids), None)
  if unit is None:
    raise errors.Damaged(f'plan.json of {zoo.path} does not name network {id}.')
  stored = checks.read_figures(zoo, id)
  different, elsewhere, platform = [], None, ''
  for epoch, trained in enumerate(train_alone(
      recipe, sets, made, id, len(stored), zoo.is_done(id))):
    platform = trained.platform
    if elsewhere is None:  # jax has started with the devices of the plan
      elsewhere = [d for d in provenance.compare(zoo.config, unit.name)
                   if d.decides]
    difference = compare(
        trained.vector_P, zoo.vector(id, epoch) if epoch in kept else None,
        trained.figures, stored[epoch])
    print(f'network {id}, epoch {epoch} of {len(stored) - 1}: '
          f'{difference or "equal, bit for bit"}', flush=True)
    if difference:
      different.append(f'epoch {epoch}: {difference}')
  if different and platform == made.platform == 'cpu':
    if elsewhere:
      raise errors.Wrong(
          f'network {id} cannot be repeated bit for bit here, which is no '
          f'fault of {zoo.path}: {"; ".join(map(str, elsewhere))}. To '
          f'compare bits, {", and ".join(d.fix for d in elsewhere)}.')
    raise errors.Damaged(f'network {id} differs when it is trained again in '
                         f'the same environment; {different[0]}.')


def train_alone(recipe: 'recipe.Recipe', sets: 'dict[str, images.ImageSet]',
                made: 'plan.Plan', id: int, evaluations: int, done: bool
                ) -> Iterator[Epoch]:
  """Trains a network; yields it after each epoch, from 0 on.

  Args:
    recipe: the zoo's recipe.
    sets: its image sets, by name.
    made: its plan, which has the network.
    id: the network.
    evaluations: how many epochs to yield.
    done: whether the last test figures are of all test images.
  """
  from nws_jax.zoo import dataset, families, inputs, population, runtime
  from nws_jax.zoo import recipe as recipes
  platform, _ = runtime.start(made.devices)  # nothing used jax before
  import jax
  devices = jax.devices()
  stage = population.set_stage(
      dataset.pack(sets.values(), recipe.test_part), recipe.seed, made.form,
      devices[:made.devices if made.devices <= len(devices) else 1])
  unit = next(u for u in made.units if id in u.ids)
  row = recipes.rows(recipe)[id]
  networks_M = inputs.networks(recipe, [row], unit.width, unit.arch)
  program = population.build(
      inputs.static_of(recipe, unit, made.form), stage, networks_M)
  place = unit.place(families.architecture(row))
  placed, state = stage.place((networks_M, program.blank()))
  state = program.reset(placed, state, stage.place(networks_M.active))
  for epoch in range(evaluations):
    state, metrics = program.epoch(placed, state)
    figures = {name: float(m[0]) for name, m in metrics._asdict().items()}
    vector_P = np.array(state.vector_P[0])
    if done and epoch == evaluations - 1:
      frozen = state._replace(  # a buffer of its own: all are donated
          stopped=stage.place(np.zeros(unit.width, np.int32)))
      full = program.epoch(placed, frozen, full=True)[1]
      figures |= {'test_loss': float(full.test_loss[0]),
                  'test_accuracy': float(full.test_accuracy[0])}
    yield Epoch(platform, vector_P[place], figures)


def compare(vector_P: np.ndarray, stored_P: np.ndarray | None,
            figures: Mapping[str, float], stored: Mapping[str, Any]) -> str:
  """Describes differences: of weights, and of the first figure that differs.

  Args:
    vector_P: the weights.
    stored_P: the stored weights; None if they were not kept.
    figures: {name: value}.
    stored: {name: value} of the stored figures, and of others.

  Returns:
    The description; empty if all bits are equal.
  """
  differences = []
  if stored_P is not None and vector_P.tobytes() != stored_P.tobytes():
    gap_P = np.abs(vector_P - stored_P)
    differences.append(
        f'{(gap_P != 0).sum():,} of {gap_P.size:,} weights differ, by '
        f'up to {gap_P.max():.3g}')
  differences += [
      f'{name} is {value:.9g}, not {stored[name]:.9g}'
      for name, value in figures.items()
      if not np.array_equal(value, stored[name], equal_nan=True)][:1]
  return '; '.join(differences)
