"""The optimizers: one table of update rules, keyed by the words of a property.

A new optimizer is one entry of `RULES` and its word in `space`. Its rule may
be any pure function of the gradient, its slots, the learning rate and the
step; a transformation of optax fits, if the slots and the step hold its state:

  def lion(gradient_P, slots, rate, step):
    update_P, state = optax.scale_by_lion().update(
        gradient_P, optax.ScaleByLionState(step, slots['m_P']))
    return -rate * update_P, {'m_P': state.mu}

AdamW is 'adam' with the property weight_decay, which is decoupled from the
gradient and the same for all optimizers (`train.update`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nws_jax import space

Slots = dict[str, jax.Array]  # {name: state of the optimizer, [P]}


@dataclasses.dataclass(frozen=True)
class Rule:
  """One optimizer.

  `update` maps (gradient_P, slots, rate, step, **coefficients) to (what to add
  to the weights [P], slots); `step` counts from 0. Rules with the same `update`
  run as one whose coefficients are a network's own.
  """
  update: Callable[..., tuple[jax.Array, Slots]]
  slots: Mapping[str, float]  # {name: initial value}
  coefficients: Mapping[str, float | bool] = dataclasses.field(
      default_factory=dict)


_B1, _B2 = 0.9, 0.999  # of Adam


def _moments(gradient_P: jax.Array, slots: Slots, rate: jax.Array,
             step: jax.Array, **own: jax.Array) -> tuple[jax.Array, Slots]:
  """TensorFlow 1's Adam, RMSProp and momentum (docs/recipe.md, section 6).

    m <- b1 m + gain g       s <- b2 s + (1 - b2) g^2
    w <- w - rate m / (sqrt(s + inner) + outer)

  `own` are the coefficients of the network's optimizer. Adam corrects the rate
  for m and s being 0 at first; momentum does not divide.
  """
  dtype = gradient_P.dtype
  m = own['b1'] * slots['m_P'] + own['gain'] * gradient_P
  s = own['b2'] * slots['s_P'] + (1 - own['b2']) * jnp.square(gradient_P)
  t = (step + 1).astype(dtype)
  # -expm1(t log b) is 1 - b^t without its cancellation at small t.
  correction = jnp.sqrt(-jnp.expm1(t * jnp.log(dtype.type(_B2)))) / (
      -jnp.expm1(t * jnp.log(dtype.type(_B1))))
  rate = rate * jnp.where(own['corrects'], correction, 1)
  root = jnp.sqrt(s + own['inner']) + own['outer']
  return (-rate * m / jnp.where(own['divides'], root, 1),
          {'m_P': m, 's_P': s})


def _nesterov(gradient_P: jax.Array, slots: Slots, rate: jax.Array,
              step: jax.Array) -> tuple[jax.Array, Slots]:
  """Nesterov momentum, as in optax and TensorFlow."""
  m = 0.95 * slots['m_P'] + gradient_P
  return -rate * (0.95 * m + gradient_P), {'m_P': m}


def _lion(gradient_P: jax.Array, slots: Slots, rate: jax.Array,
          step: jax.Array) -> tuple[jax.Array, Slots]:
  """Lion (Chen et al., arXiv 2302.06675): every weight moves by the rate."""
  m = slots['m_P']
  delta = -rate * jnp.sign(0.9 * m + 0.1 * gradient_P)
  return delta, {'m_P': 0.99 * m + 0.01 * gradient_P}


RULES = {
    'adam': Rule(_moments, {'m_P': 0.0, 's_P': 0.0}, dict(
        b1=_B1, gain=0.1, b2=_B2, inner=0.0, outer=1e-8, corrects=True,
        divides=True)),
    'rmsprop': Rule(_moments, {'m_P': 0.0, 's_P': 1.0}, dict(
        b1=0.0, gain=1.0, b2=0.9, inner=1e-10, outer=0.0, corrects=False,
        divides=True)),
    'momentum': Rule(_moments, {'m_P': 0.0, 's_P': 0.0}, dict(
        b1=0.95, gain=1.0, b2=1.0, inner=0.0, outer=0.0, corrects=False,
        divides=False)),
    'nesterov': Rule(_nesterov, {'m_P': 0.0}),
    'lion': Rule(_lion, {'m_P': 0.0}),
}
space.check_table(space.OPTIMIZER, RULES)


def slot_names(names: Sequence[str]) -> list[str]:
  """The slots of a program whose networks use these optimizers."""
  return sorted({slot for name in names for slot in RULES[name].slots})


def init(vector_P: jax.Array, optimizer: jax.Array,
         names: Sequence[str]) -> Slots:
  """The slots of a network before its first update.

  Args:
    vector_P: its weights.
    optimizer: index of its optimizer in `RULES`.
    names: the optimizers that networks of the program use.
  """
  def start(slot: str) -> jax.Array:
    values = [rule.slots.get(slot, 0.0) for rule in RULES.values()]
    return jnp.asarray(values, vector_P.dtype)[optimizer]
  return {slot: jnp.full_like(vector_P, start(slot))
          for slot in slot_names(names)}


def update(gradient_P: jax.Array, slots: Slots, optimizer: jax.Array,
           rate: jax.Array, step: jax.Array, names: Sequence[str]
           ) -> tuple[jax.Array, Slots]:
  """(what to add to the weights [P], slots) of one network.

  `lax.switch` chooses the network's rule: a real branch where networks are
  mapped one after another. Where they run side by side (`vmap`), all rules of
  the program are evaluated and one is selected, which costs little beside the
  dots since rules are elementwise. The three published optimizers share one
  rule, which needs no switch.

  Args:
    gradient_P: the gradient of its loss.
    slots: as `init` made them for the same `names`.
    optimizer: index of its optimizer in `RULES`.
    rate: its learning rate.
    step: updates made before, from 0.
    names: the optimizers that networks of the program use.
  """
  rules = list(RULES.values())
  formulas = list(dict.fromkeys(RULES[name].update for name in names))

  def pick(values: Sequence[Any]) -> jax.Array:
    return jnp.asarray(values)[optimizer]

  def branch(formula: Callable[..., tuple[jax.Array, Slots]]) -> Callable:
    # Values of rules with another formula are never picked.
    some = next(r for r in rules if r.update is formula).coefficients
    chosen = {c: pick([r.coefficients.get(c, value) for r in rules])
              for c, value in some.items()}
    chosen = {c: x if x.dtype == bool else x.astype(gradient_P.dtype)
              for c, x in chosen.items()}

    def run(slots: Slots) -> tuple[jax.Array, Slots]:
      delta_P, new = formula(gradient_P, slots, rate, step, **chosen)
      return delta_P, slots | new
    return run

  branches = [branch(f) for f in formulas]
  if len(branches) == 1:
    return branches[0](slots)
  index = pick([formulas.index(r.update) if r.update in formulas else 0
                for r in rules])
  return jax.lax.switch(index, branches, slots)
