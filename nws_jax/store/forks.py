"""Libraries whose threads are not there in a forked process.

TensorStore ends a process that uses it behind such a fork, and JAX waits for
its threads for ever; neither can be repaired from outside.
"""

import os

from nws_jax import errors

_used, _lost = set(), set()
os.register_at_fork(after_in_child=lambda: _lost.update(_used))


def use(library):
  """Notes that this process starts threads of a library.

  Raises:
    Wrong: a process that had some was forked to make this one.
  """
  if library in _lost:
    raise errors.Wrong(
        f'this process was forked from one that had used {library}, whose '
        'threads a fork does not copy. Start workers by spawn instead: '
        "multiprocessing.get_context('spawn'), or DataLoader(..., "
        "multiprocessing_context='spawn').")
  _used.add(library)
