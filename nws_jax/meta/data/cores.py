"""How many threads can work at the same time."""

import os

import jax


def count() -> int:
  """As many as cores are available; one for an accelerator."""
  return len(os.sched_getaffinity(0)) if (
      jax.default_backend() == 'cpu' and hasattr(os, 'sched_getaffinity')
  ) else 1
