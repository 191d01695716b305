"""Pictures of transfer: levels that no training network had."""

from nws_jax.pictures import theme


def draw_held_out(cells):
  """A row a held-out level: read by models that never saw it, and that did."""
  levels = cells.hold_out.astype(str).tolist()
  drawn = theme.figure(9.6, 1.3 + 0.5 * len(levels))
  axes = drawn.subplots()
  kinds = [('never seen in training', '', 0.14)] + (
      [('seen in training', 'seen_', -0.14)] if 'seen_value' in cells else [])
  for n, (name, prefix, shift) in enumerate(kinds):
    value, low, high = (cells[prefix + x] for x in ('value', 'low', 'high'))
    at = [len(levels) - 1 - i + shift for i in range(len(levels))]
    axes.errorbar(value, at, xerr=(value - low, high - value), fmt='none',
                  ecolor=theme.COLOURS[n], elinewidth=2)
    axes.scatter(value, at, s=46, marker=theme.MARKERS[n], zorder=3,
                 color=theme.COLOURS[n], label=name)
  accuracy = cells.chance.max() > 0
  for i, chance in enumerate(cells.chance):
    y = len(levels) - 1 - i
    axes.plot((chance, chance), (y - 0.35, y + 0.35), color=theme.INK,
              linewidth=1.4, linestyle=(0, (2, 1.5)),
              label=None if i else 'chance')
  axes.set_yticks(range(len(levels)), levels[::-1])
  least = min(0, max(-0.5, cells.low.min()))
  axes.set(ylabel='held out', ylim=(-0.6, len(levels) - 0.4),
           xlim=(least, 1.01),
           xlabel='accuracy per network, 95 % interval' if accuracy
           else 'R², 95 % interval')
  if accuracy:
    theme.percent_axis(axes.xaxis)
  axes.grid(axis='y', visible=False)
  drawn.legend(loc='outside upper left', ncols=3)
  return drawn
