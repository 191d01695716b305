"""Matrices of Toom-Cook convolution in one dimension.

Lavin and Gray's F(t, k) (arXiv 1509.09308, after Toom and Cook): t adjacent
outputs of a filter of k taps take t + k - 1 products in place of t * k. Inputs
and taps are regarded as the coefficients of polynomials, which are evaluated
at t + k - 1 points, multiplied there, and interpolated. A convolution is the
transpose of such a product, so the inputs take the matrix of the interpolation
and the outputs that of the evaluation.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)  # and infinity


class Matrices(NamedTuple):
  """Transforms of inputs, taps and outputs, with p = t + k - 1 points."""
  inputs_pxp: np.ndarray
  taps_pxk: np.ndarray
  outputs_txp: np.ndarray


@functools.lru_cache(maxsize=None)
def find_matrices(t: int, k: int) -> Matrices:
  """The `Matrices` of t outputs and k taps; t + k is at most 9."""
  p = t + k - 1

  def evaluate(n: int) -> np.ndarray:
    powers = [[x ** i for i in range(n)] for x in _POINTS[:p - 1]]
    # At infinity a polynomial is its leading coefficient.
    return np.array(powers + [[0] * (n - 1) + [1]], float)

  inputs = np.linalg.inv(evaluate(p)).T
  # Each row is scaled to the leading coefficient 1, a product of (x - point),
  # whose values are then exact binary fractions; the taps take the factor.
  last = [row[np.abs(row) > 1e-9][-1] for row in inputs]
  inputs = np.round(inputs / np.c_[last] * 2 ** 10) / 2 ** 10
  return Matrices(inputs, evaluate(k) * np.c_[last], evaluate(t).T)


def mix(matrix: np.ndarray, xs: Sequence[Any]) -> list[Any]:
  """The products of a matrix and a list of arrays: weighted sums of `xs`."""
  return [sum(float(a) * x for a, x in zip(row, xs) if a) for row in matrix]
