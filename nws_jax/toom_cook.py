"""Convolution in one dimension by values of polynomials.

After Toom and Cook, F(t, k) of Lavin and Gray (arXiv 1509.09308): t outputs,
side by side, of a filter of k taps need t + k - 1 products in place of t * k.
As many points are chosen; what is multiplied are a polynomial's values there.
Convolving is multiplication transposed: evaluation gives the outputs, and
interpolation takes the inputs.
"""

import functools
from typing import NamedTuple

import numpy as np

_POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)  # and infinity


class Matrices(NamedTuple):
  """With p = t + k - 1 points."""
  inputs_pxp: np.ndarray
  taps_pxk: np.ndarray
  outputs_txp: np.ndarray


@functools.lru_cache(maxsize=None)
def find_matrices(t, k):
  """The `Matrices` of t outputs and k taps, t + k at most 9."""
  p = t + k - 1

  def evaluate(n):
    powers = [[x ** i for i in range(n)] for x in _POINTS[:p - 1]]
    return np.array(powers + [[0] * (n - 1) + [1]], float)

  inputs = np.linalg.inv(evaluate(p)).T
  # Each row's last coefficient 1: a product of (x - point).
  last = [row[np.abs(row) > 1e-9][-1] for row in inputs]
  inputs = np.round(inputs / np.c_[last] * 2 ** 10) / 2 ** 10
  return Matrices(inputs, evaluate(k) * np.c_[last], evaluate(t).T)


def mix(matrix, xs):
  """A list of sums of `xs`, weighted by the rows of a matrix."""
  return [sum(float(a) * x for a, x in zip(row, xs) if a) for row in matrix]
