"""Controls of the labels: the commonest class, and permuted labels."""

import numpy as np

from nws_jax.meta import request as requests
from nws_jax.meta import settings
from nws_jax.meta.answers.controls import control
from nws_jax.meta.data import windows
from nws_jax.meta.figures import significance


def count_none(s: settings.Settings) -> int:
  """Guessing trains nothing."""
  del s
  return 0


def need_classes(request: requests.Request) -> str:
  return '' if request.target.classes else 'it applies to classes'


def guess(request: requests.Request, source: windows.Source) -> control.Plan:
  """Always the commonest class of the training side."""
  del request, source
  return control.Plan(None, [], {})


def count_permutations(s: settings.Settings) -> int:
  return s.permutations


def permute(request: requests.Request, source: windows.Source) -> control.Plan:
  """The score's own trial with labels permuted between settings."""
  del source
  s, values_M = request.settings, request.target.values_M
  orders = significance.permute(
      request.settings_M, count_permutations(s),
      np.random.default_rng([s.seed, 1]))
  return control.Plan(None, [
      {'values_FxM': request.target.label(request.sides, values_M[order])}
      for order in orders], {})
