"""Which architectures share a program: fewer compilations, wider nets.

A merged program runs every network at the largest sizes of its members. Two
groups are joined where that costs less than the compilation it saves, the best
pair first, until none is worth it.
"""

from nws_jax.store import vectors
from nws_jax.zoo import price


def merge(counts, batch_size, machine, work):
  """Divides architectures into groups that share a program.

  Args:
    counts: {architecture: its networks}; all have one `depth_conv` and
      `batch_norm`. With a single one there is nothing to decide.
    batch_size: of all of them.
    machine: `price.Machine`.
    work: `price.Work`.

  Returns:
    [tuple of architectures, ascending], sorted.
  """
  def cost(archs):
    return price.estimate_program(
        vectors.envelop(archs), batch_size, sum(counts[a] for a in archs),
        machine, work)

  groups = {(a,): cost((a,)) for a in counts}
  saved = {}  # (group, group) -> what joining them saves

  def weigh(a, b):
    joined = tuple(sorted(a + b))
    saved[a, b] = groups[a] + groups[b] - cost(joined), joined

  names = sorted(groups)
  for n, a in enumerate(names):
    for b in names[n + 1:]:
      weigh(a, b)
  while saved:
    (a, b), (gain, joined) = max(saved.items(), key=lambda x: (x[1][0], x[0]))
    if gain <= 0:
      break
    groups[joined] = groups[a] + groups[b] - gain
    for group in (a, b):
      del groups[group]
    saved = {pair: x for pair, x in saved.items()
             if not {a, b} & set(pair)}
    for other in list(groups):
      if other != joined:
        weigh(joined, other)
  return sorted(groups)
