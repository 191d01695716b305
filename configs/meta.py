"""How a property is read from the weights.

  python -m nws_jax.meta --target=batch_size
      the fast classifier on whole vectors (published CNN where there is a
      GPU); default zoo of 192 networks, two CPU cores: 32 s with its
      controls; 0.46 per network, interval +-0.07, at a chance of 0.33
  python -m nws_jax.meta --target=batch_size --ablate=layer,epoch
      6 layers x 11 epochs: about a minute; nothing at epoch 0, 0.62 in fc1
      after the first epoch, 0.55 to 0.60 in the output layer after each
  python -m nws_jax.meta --target=optimizer --config=configs/meta.py:published
      the published CNN on windows of 5,000 weights of the last snapshot: some
      minutes on two cores
  python -m nws_jax.meta --target=optimizer --config=configs/meta.py:smoke
      a look at how it goes: a few steps
"""

import ml_collections

from nws_jax import errors


def _default():
  c = ml_collections.ConfigDict()
  c.seed = 0  # every draw follows from it
  # Weights a window holds. 0: the whole vector where all networks share an
  # architecture of at most 40,000 weights, else 5,000.
  c.window = 0
  c.epochs = 'last'  # snapshots: last, all, one epoch, or first:last of them
  # majority, logistic, svm, boosting, fast, cnn, transformer, equivariant; auto
  # is fast on CPU and cnn elsewhere.
  c.classifier = 'auto'

  # Who is read.
  c.diverged = False  # whether diverged networks are read too
  c.min_accuracy = 0.0  # leaves out networks below this test accuracy
  c.balance = False  # as many networks of every class, the first ones by id
  # What of them, and as what.
  c.exclude = ''  # tensors that are not looked at, as 'mean,variance'
  c.bins = 0  # quantiles that a continuous target is cut into; 0: regressed
  c.hold_out = ''  # 'dataset=digits': learns from all others, is tested there

  # Training of the meta-classifier: Adam, stopped by the validation networks.
  # 0: 3e-3 for fast, and 1e-3, as published, for the others
  c.learning_rate = 0.0
  c.batch_size = 64
  # updates at most, rounded up to whole rounds; 0 if passes tell
  c.steps = 600
  c.passes = 0  # times that every training snapshot is used; 0 if steps tell
  c.cnn_steps = 0  # updates of cnn in --ladder on CPU; 0 leaves it out there
  c.round_steps = 10  # updates between two looks at the validation networks
  c.patience = 10  # such looks without a better loss, then it stops
  # Of each snapshot, to train fast and the rungs on statistics on; others draw
  # anew at each step.
  c.windows_drawn = 16

  # Deciding and its intervals.
  # Models, each from its own start, whose outputs are averaged: of fast and
  # cnn; the others have one.
  c.members = 5
  c.grid_members = 2  # the same of each cell of a grid
  c.windows_per_network = 16  # evenly spaced ones, of each snapshot
  c.bootstrap = 1000  # resamples of the settings
  c.seeds = 1  # meta-seeds, seed and those after it, whose figures are pooled
  # What else could explain the number: none, all, default (all but shuffled)
  # or a list of epoch_0, no_statistics, accuracy_matched, updates_matched,
  # weight_norm, num_weights, shuffled.
  c.controls = 'default'
  # runs on shuffled labels, for a p-value; 0: 19 if controls name shuffled
  c.permutations = 0
  return c


def _smoke():
  c = _default()
  c.classifier = 'fast'
  c.steps = 60
  c.members = c.grid_members = 1
  c.bootstrap = 100
  c.permutations = 1
  c.controls = 'none'
  return c


def _published():
  c = _default()
  c.classifier = 'cnn'
  c.learning_rate = 1e-3
  c.window = 5000
  c.balance = True
  c.steps, c.passes = 0, 50
  c.members = c.grid_members = 1
  c.patience = 1_000_000  # it was not stopped early
  c.windows_per_network = 64
  return c


PRESETS = {'default': _default, 'smoke': _smoke, 'published': _published}


def get_config(preset='default'):
  if preset not in PRESETS:
    raise errors.Wrong(f'configs/meta.py has no preset {preset!r}; there are '
                       f'{", ".join(PRESETS)}.')
  return PRESETS[preset]()
