"""Trains one network of a zoo again: behind `nws_jax.verify --replay=ID`."""

import numpy as np

from nws_jax import checks, errors


def replay(zoo, id, data_dir=None):
  """Trains a network again and compares it, a line an epoch on stdout.

  The program is that of the plan, with all other slots empty.

  Args:
    zoo: `api.Zoo`.
    id: the network.
    data_dir: where the full image sets are; None is what config.json says.

  Raises:
    errors.Wrong: there is no such network, its images are not here, or a bit
      differs in another environment than the network was trained in.
    errors.Damaged: a bit differs where none may: on CPU, as the plan was.
  """
  kept = zoo.epochs(id)
  if 'converted_from' in zoo.config:
    raise errors.Wrong(f'{zoo.path} was converted from another format, which '
                       'does not tell how to train its networks again.')
  from nws_jax.zoo import plan, provenance
  recipe = checks.read_recipe(zoo, data_dir)
  sets = checks.load_sets(recipe)
  checks.check_images(zoo, sets)
  made = plan.read(checks.plan_path(zoo))
  unit = next((u for u in made.units if id in u.ids), None)
  if unit is None:
    raise errors.Damaged(f'plan.json of {zoo.path} does not name network {id}.')
  stored = checks.read_figures(zoo, id)
  different, elsewhere = [], None
  for epoch, (platform, vector_P, figures) in enumerate(train_alone(
      recipe, sets, made, unit, id, len(stored), zoo.is_done(id))):
    if elsewhere is None:  # jax has started as the plan wants it
      elsewhere = [d for d in provenance.compare(zoo.config, unit.name)
                   if d.decides]
    said = compare(vector_P, zoo.vector(id, epoch) if epoch in kept else None,
                   figures, stored[epoch])
    print(f'network {id}, epoch {epoch} of {len(stored) - 1}: '
          f'{said or "equal, bit for bit"}', flush=True)
    different += [f'epoch {epoch}: {said}'] * bool(said)
  if different and platform == made.platform == 'cpu':
    if elsewhere:
      raise errors.Wrong(
          f'network {id} cannot be repeated bit for bit here, which says '
          f'nothing against {zoo.path}: {"; ".join(map(str, elsewhere))}. To '
          f'compare bits, {", and ".join(d.fix for d in elsewhere)}.')
    raise errors.Damaged(f'network {id} became another one when it was trained '
                         f'again in the same environment; {different[0]}.')


def train_alone(recipe, sets, made, unit, id, evaluations, done):
  """Yields (platform, vector [P], {figure: value}) after each epoch, from 0.

  Args:
    recipe: `recipe.Recipe`.
    sets: its image sets.
    made: `plan.Plan`.
    unit: the network's `plan.Unit`.
    id: the network.
    evaluations: how many there are.
    done: test figures after the last are of all images.
  """
  from nws_jax.zoo import dataset, families, inputs, population, runtime
  from nws_jax.zoo import recipe as recipes
  platform, _ = runtime.start(made.devices)  # nothing used jax before
  import jax
  devices = jax.devices()
  stage = population.set_stage(
      dataset.pack(sets.values(), recipe.test_part), recipe.seed, made.form,
      devices[:made.devices if made.devices <= len(devices) else 1])
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
    yield platform, vector_P[place], figures


def compare(vector_P, stored_P, figures, stored):
  """What differs, in words: weights, and one figure. Empty if no bit does.

  Args:
    vector_P: the weights.
    stored_P: the stored ones; None if they were not kept.
    figures: {name: value}.
    stored: the stored ones, and others.
  """
  said = []
  if stored_P is not None and vector_P.tobytes() != stored_P.tobytes():
    gap_P = np.abs(vector_P - stored_P)
    said.append(f'{(gap_P != 0).sum():,} of {gap_P.size:,} weights differ, by '
                f'up to {gap_P.max():.3g}')
  said += [f'{name} is {value:.9g}, not {stored[name]:.9g}'
           for name, value in figures.items()
           if not np.array_equal(value, stored[name], equal_nan=True)][:1]
  return '; '.join(said)
