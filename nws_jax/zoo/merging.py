"""Decides which architectures share a program.

A shared program trains every network at the largest sizes of its members, which
costs time, but saves compilations. The two groups whose union saves most are
joined, again and again, until no union saves anything.
"""

from collections.abc import Mapping
from typing import Any

from nws_jax.zoo import families, price


def merge(counts: Mapping[Any, int], batch_size: int, machine: price.Machine,
          work: price.Work) -> list[tuple[Any, ...]]:
  """Divides architectures into groups that share a program.

  Args:
    counts: {architecture: number of networks}, all of one pool of the family
      (`interface.Masks`).
    batch_size: of all networks.
    machine: what the networks will be trained on.
    work: what a network is trained on.

  Returns:
    The groups, sorted; each a tuple of architectures, ascending.
  """
  def cost(largest: Any, networks: int) -> float:
    return price.estimate_program(largest, batch_size, networks, machine, work)

  if len(counts) == 1:
    return [tuple(counts)]
  masks = families.of(next(iter(counts))).masks
  assert masks is not None, 'only masks let architectures share a pool'

  # The key of a group is the architecture of its largest sizes. If a union has
  # the same key as a third group, that one joins too, since it costs nothing.
  members = {a: [a] for a in counts}
  networks = dict(counts)
  saved = {}  # {(group, group): (seconds that their union saves, its key)}

  def weigh(a: Any, b: Any) -> None:
    joined = masks.cover((a, b))
    others = networks[joined] if joined in networks.keys() - {a, b} else 0
    before = cost(a, networks[a]) + cost(b, networks[b])
    if others:
      before += cost(joined, others)
    saved[a, b] = before - cost(
        joined, networks[a] + networks[b] + others), joined

  names = sorted(counts)
  for n, a in enumerate(names):
    for b in names[n + 1:]:
      weigh(a, b)
  while saved:
    (a, b), (gain, joined) = max(saved.items(), key=lambda x: (x[1][0], x[0]))
    if gain <= 0:
      break
    gone = {a, b} | ({joined} & members.keys())
    mine = [arch for group in gone for arch in members.pop(group)]
    total = sum(networks.pop(group) for group in gone)
    members[joined], networks[joined] = mine, total
    saved = {pair: x for pair, x in saved.items() if not gone & set(pair)}
    for other in sorted(members.keys() - {joined}):
      weigh(*sorted((joined, other)))
  return sorted(tuple(sorted(group)) for group in members.values())
