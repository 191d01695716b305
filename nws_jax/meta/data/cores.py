"""How many threads can work side by side."""

import os

import jax


def count() -> int:
  """One a core that is ours; an accelerator's work is in one."""
  return len(os.sched_getaffinity(0)) if (
      jax.default_backend() == 'cpu' and hasattr(os, 'sched_getaffinity')
  ) else 1
