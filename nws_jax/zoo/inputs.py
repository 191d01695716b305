"""Rows of a recipe, as what a program is compiled for and what it takes."""

import numpy as np

from nws_jax.zoo import families, optimizers, train


def static_of(recipe, unit, form):
  """What the program of a unit is compiled for, `train.Static`, if networks
  are mapped by `form`."""
  # Images are measured alone but for statistics and draws of their batch.
  family, choices = families.of(unit.arch), dict(recipe.choices)
  alone = recipe.eval_bn == 'running' and not recipe.eval_augmentation
  return train.Static(
      arch=unit.arch, batch_size=unit.batch_size, lr_decay=recipe.lr_decay,
      eval_bn=recipe.eval_bn, eval_augmentation=recipe.eval_augmentation,
      eval_batch=(train.EVAL_FEW if alone and form == 'map'
                  else train.EVAL_BATCH),
      patience=recipe.early_stopping,
      options=family.options(choices), dtype='float32',
      form=family.find_form(form, recipe.convolution, recipe.precision),
      augmentations=choices['augmentation'],
      optimizers=choices['optimizer'])


def networks(recipe, rows, width, arch):
  """`train.Network` of NumPy arrays [M] for some rows; the rest is empty.

  Args:
    recipe: `recipe.Recipe`.
    rows: of `recipe.rows`; None is an empty slot.
    width: M.
    arch: the program's.
  """
  choices = dict(recipe.choices)
  rows = list(rows) + [None] * (width - len(rows))
  active = np.asarray([row is not None for row in rows])
  some = next(row for row in rows if row is not None)
  rows = [row or some for row in rows]

  def column(name, options=None, dtype=np.int32):
    return np.asarray([options.index(r[name]) if options else r[name]
                       for r in rows], dtype)

  return train.Network(
      id=column('id'),
      dataset=column('dataset', choices['dataset']),
      learning_rate=column('learning_rate', dtype=np.float32),
      weight_decay=column('weight_decay', dtype=np.float32),
      augmentation=column('augmentation', dtype=bool),
      optimizer=column('optimizer', list(optimizers.RULES)),
      active=active, own=families.of(arch).settings(choices, rows, arch))
