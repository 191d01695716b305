"""How a property is predicted from the weights.

  python -m nws_jax.meta --target=batch_size
      the fast classifier on whole vectors (on a GPU the published CNN); on
      the default zoo of 192 networks, two CPU cores: 32 s with controls;
      accuracy per network 0.46 +- 0.07, chance 0.33
  python -m nws_jax.meta --target=batch_size --ablate=layer,epoch
      6 layers x 11 epochs: about a minute; chance at epoch 0, 0.62 from fc1
      after the first epoch, 0.55 to 0.60 from the output layer after each
  python -m nws_jax.meta --target=optimizer --config=configs/meta.py:published
      the published CNN on windows of 5,000 weights of the last snapshot: a few
      minutes on two cores
  python -m nws_jax.meta --target=optimizer --config=configs/meta.py:smoke
      a quick trial: 60 steps, one model, one control
"""

import ml_collections

from nws_jax import errors


def _default() -> ml_collections.ConfigDict:
  c = ml_collections.ConfigDict()
  c.seed = 0  # determines every draw
  # Weights per window. 0: the whole vector if all networks share an
  # architecture of at most 40,000 weights, else 5,000.
  c.window = 0
  c.epochs = 'last'  # snapshots: last, all, one epoch, or first:last of them
  # majority, logistic, svm, boosting, fast, cnn, transformer, equivariant; auto
  # is fast on CPU and cnn elsewhere.
  c.classifier = 'auto'

  # Networks.
  c.diverged = False  # whether to include diverged networks
  c.min_accuracy = 0.0  # leaves out networks below this test accuracy
  c.balance = False  # equally many networks of each class, the first by id
  # Inputs and targets.
  c.exclude = ''  # tensors to leave out, for example 'mean,variance'
  c.bins = 0  # quantile bins of a continuous target; 0: regression
  c.hold_out = ''  # 'dataset=digits': tests on that level, trains on the others

  # Training of the meta-classifier, by Adam with early stopping.
  # 0: 3e-3 for fast, and 1e-3, as published, for the others
  c.learning_rate = 0.0
  c.batch_size = 64
  # Most updates, rounded up to whole rounds; 0: given by passes
  c.steps = 600
  c.passes = 0  # passes over the training snapshots; 0: given by steps
  c.round_steps = 10  # updates between evaluations on validation networks
  c.patience = 10  # evaluations without a lower loss before training stops
  # Windows drawn once per snapshot to train fast and the classifiers on
  # statistics; the others draw anew at each step.
  c.windows_drawn = 16

  # Predictions and their intervals.
  # Models in the ensembles of fast and cnn, whose outputs are averaged; the
  # other classifiers have one.
  c.members = 5
  c.grid_members = 2  # the same for each cell of a grid
  c.windows_per_network = 16  # test windows per snapshot, evenly spaced
  c.bootstrap = 1000  # bootstrap resamples of the settings
  c.seeds = 1  # seeds (seed, seed + 1, ...) whose predictions are pooled
  # Controls for what else could explain the score: none, all, default (all but
  # shuffled), or a list of epoch_0, no_statistics, accuracy_matched,
  # updates_matched, weight_norm, num_weights, shuffled.
  c.controls = 'default'
  # Runs of the control shuffled, on permuted labels; p is at least 1 / (1 + 19)
  c.permutations = 19
  return c


def _smoke() -> ml_collections.ConfigDict:
  c = _default()
  c.classifier = 'fast'
  c.steps = 60
  c.members = c.grid_members = 1
  c.bootstrap = 100
  c.controls = 'shuffled'
  c.permutations = 1
  return c


def _published() -> ml_collections.ConfigDict:
  c = _default()
  c.classifier = 'cnn'
  c.learning_rate = 1e-3
  c.window = 5000
  c.balance = True
  c.steps, c.passes = 0, 50
  c.members = c.grid_members = 1
  c.patience = 1_000_000  # no early stopping
  c.windows_per_network = 64
  return c


PRESETS = {'default': _default, 'smoke': _smoke, 'published': _published}


def get_config(preset: str = 'default') -> ml_collections.ConfigDict:
  if preset not in PRESETS:
    raise errors.Wrong(f'configs/meta.py has no preset {preset!r}; there are '
                       f'{", ".join(PRESETS)}.')
  return PRESETS[preset]()
