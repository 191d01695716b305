"""Turns rows of a recipe into what a program is compiled for and takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nws_jax.zoo import families, optimizers, plan, train
from nws_jax.zoo import recipe as recipes
from nws_jax.zoo.families import interface


def static_of(recipe: recipes.Recipe, unit: plan.Unit, form: str
              ) -> train.Static:
  """What the program of a unit is compiled for.

  Args:
    recipe: the zoo's recipe.
    unit: the unit.
    form: how networks are mapped, 'map' or 'vmap'.
  """
  # An image's evaluation does not depend on its batch, unless the batch decides
  # statistics or draws.
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


def networks(recipe: recipes.Recipe, rows: Sequence[dict[str, Any] | None],
             width: int, arch: interface.Shape) -> train.Network:
  """The networks of some rows, as NumPy arrays [M]; other slots are empty.

  Args:
    recipe: the zoo's recipe.
    rows: some of `recipe.rows`; None is an empty slot.
    width: M.
    arch: what the program is compiled for.
  """
  choices = dict(recipe.choices)
  slots = [*rows, *[None] * (width - len(rows))]
  active: Any = np.asarray([row is not None for row in slots])
  some = next(row for row in slots if row is not None)
  filled = [row or some for row in slots]  # an empty slot needs some values

  # NumPy, where a program has `jax.Array`.
  def column(name: str, options: Sequence[Any] | None = None,
             dtype: type = np.int32) -> Any:
    return np.asarray([options.index(r[name]) if options else r[name]
                       for r in filled], dtype)

  return train.Network(
      id=column('id'),
      dataset=column('dataset', choices['dataset']),
      learning_rate=column('learning_rate', dtype=np.float32),
      weight_decay=column('weight_decay', dtype=np.float32),
      augmentation=column('augmentation', dtype=bool),
      optimizer=column('optimizer', list(optimizers.RULES)),
      active=active, own=families.of(arch).settings(choices, filled, arch))
