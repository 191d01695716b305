"""The project in one picture: who is in the zoo, and what can be read."""

from nws_jax.pictures import heatmap, readings, results, spread, theme


def draw(members, found, ablations):
  """Test accuracy by data set, the forest, and the layer x epoch heat map.

  A panel whose data are not there yet says which command makes them. The map
  is of the property that some layer tells best after some epoch.

  Args:
    members: DataFrame of members.csv.
    found: `results.Result`s of the zoo, in `results.order`.
    ablations: `results.Ablation`s of it, likewise.
  """
  drawn = theme.figure(13.2, 4.4)
  left, middle, right = drawn.subplots(1, 3, width_ratios=(1, 1.25, 1.6))
  spread.draw_strips(left, members, 'dataset')
  left.set(title=f'{len(members):,} networks, trained at once',
           ylabel='test accuracy')
  middle.set_title('What their weights tell')
  kept, _ = results.keep_first(found, lambda r: (r.target, r.classifier))
  if kept:
    middle.legend(handles=readings.draw_forest(middle, kept), loc='best')
    middle.set_xlabel('accuracy per network, 95 % interval')
  else:
    _leave(middle, 'python -m nws_jax.meta\n--target=optimizer')
  maps, _ = results.keep_first(
      [a for a in ablations if set(a.axes) == {'layer', 'epoch'}],
      lambda a: a.target)
  if maps:
    best = max(maps, key=lambda a: (a.cells.value - a.cells.chance).max())
    heatmap.draw(best.cells, right, best.axes)
    unit = 'accuracy in %' if best.cells.chance.max() > 0 else 'R²'
    right.set_title(f'Where and when: {theme.words(best.target)}, {unit}')
  else:
    right.set_title('Where and when')
    _leave(right, 'python -m nws_jax.meta\n--target=optimizer '
           '--ablate=layer,epoch')
  return drawn


def _leave(axes, command):
  axes.text(0.5, 0.5, f'not made yet:\n{command}', ha='center', va='center',
            transform=axes.transAxes, color=theme.FAINT, fontsize=8.5)
  axes.set(xticks=[], yticks=[])
