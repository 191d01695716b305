"""How a request is run: its weights; the places and trials of its models."""

import functools
from typing import Any, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta import request as requests
from nws_jax.meta.classifiers import interface
from nws_jax.meta.data import reading, regions, windows
from nws_jax.meta.training import cross_validation, fit, measure


def load(request: requests.Request,
         epochs: dict[int, tuple[int, ...]] | None = None) -> windows.Source:
  """Reads the weights onto the device.

  Args:
    request: `request.Request`.
    epochs: id -> epochs to read, in place of the request's.
  """
  layout = reading.read_layout(request.layers, request.rows)
  weights_MxExP = reading.read_weights(
      request.zoo, request.networks, epochs or request.epochs)
  if len(request.rows) > len(weights_MxExP):  # a row a snapshot
    weights_MxExP = weights_MxExP.reshape(
        len(request.rows), 1, weights_MxExP.shape[-1])
  return windows.Source(
      jnp.asarray(weights_MxExP), jnp.asarray(layout.parts_AxP),
      jnp.asarray(layout.layout_M))


def make_place(request: requests.Request, source: windows.Source,
               seed: int | None = None) -> regions.Place:
  """The place of whole vectors, for the first or another seed."""
  s = request.settings
  lengths_M = request.rows['num_weights'].to_numpy().astype(np.int32)
  return regions.Place(
      source, regions.Region(np.zeros_like(lengths_M), lengths_M),
      regions.WindowSpec(
          request.window, s.windows_per_network, s.windows_drawn,
          layout=not request.target.fixes_shapes, tensors=request.tensors),
      request.pairs_Mx2, s.seed if seed is None else seed)


def make_trial(request: requests.Request,
               **changed: Any) -> cross_validation.Trial:
  """The trial that is asked for, with some fields changed."""
  sides = changed.pop('sides', request.sides)
  values_FxM = changed.pop('values_FxM', None)
  if values_FxM is None:
    values_FxM = request.target.label(sides)
  return cross_validation.Trial(
      0, values_FxM, sides, request.snapshots,
      seed=request.settings.seed)._replace(**changed)


def make_plan(request: requests.Request, span: int) -> fit.Plan:
  """The plan of models that use `span` snapshots of a network."""
  s, training = request.settings, request.classifier.training
  steps = s.steps or -(-s.passes * int(request.sides.trains_F.max()) * span
                       // s.batch_size)
  rate = s.learning_rate or (training.learning_rate if isinstance(
      training, interface.Gradients) else 0.0)
  return fit.Plan(steps, s.round_steps, s.patience, s.batch_size, rate, span)


def decide(request: requests.Request, at: Sequence[regions.AnyPlace],
           trials: Sequence[cross_validation.Trial],
           progress: measure.Progress, validate: bool = False,
           keep: int = 0) -> list[cross_validation.Outcome]:
  """`measure.decide` with what the request settles; `at` are the places."""
  rules = measure.Rules(
      request.classifier, functools.partial(make_plan, request),
      request.target.outputs, request.num_members, validate, keep)
  return measure.decide(at, trials, rules, jax.random.key(0), progress)
