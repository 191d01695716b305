"""Controls that read one number of each network."""

import numpy as np

from nws_jax.meta import request as requests
from nws_jax.meta.answers.controls import control
from nws_jax.meta.data import regions, windows


def take_norm(request: requests.Request,
              source: windows.Source) -> control.Plan:
  """The logarithm of the Euclidean norm of the last vector read."""
  from jax import numpy as jnp
  norm_M = np.asarray(jnp.linalg.norm(source.weights_MxExP[:, -1], axis=-1))
  return _plan(request, np.log(norm_M + 1e-12))


def take_count(request: requests.Request,
               source: windows.Source) -> control.Plan:
  """The logarithm of the number of weights."""
  del source
  return _plan(request, np.log(request.rows['num_weights'].to_numpy()))


def _plan(request: requests.Request, number_M: np.ndarray) -> control.Plan:
  if request.pairs_Mx2 is not None:  # the target compares two networks
    number_M = np.abs(np.subtract(*number_M[request.pairs_Mx2].T))
  if np.ptp(number_M) < 1e-9:
    raise control.NotApplicable('it is the same for all networks')
  return control.Plan(regions.Numbers(number_M[:, None]), [{'span': 1}], {})
