"""The section on what predictions rest on: attributions and prototypes."""

from typing import Sequence

import pandas as pd

from nws_jax.pictures import ranking, records, theme, why
from nws_jax.pictures.page import blocks
from nws_jax.pictures.sections import notes

_TITLE = 'Which weights tell it'


def describe(found: Sequence[records.Explanation], digest: str,
             layers: pd.DataFrame, command: str) -> blocks.Section:
  """Describes explanations.

  Args:
    found: explanations, in `ranking.order`.
    digest: of the zoo.
    layers: of layers.csv.
    command: of meta, for this zoo.
  """
  shown, others = ranking.choose_each(found)
  if not shown:
    return blocks.Section('explanations', _TITLE, [blocks.Missing(
        'No result has been explained yet. This command explains one:',
        [f'{command} --target=optimizer --explain'])])
  several = layers.architecture.nunique() > 1
  parts = notes.warn_of_others(shown, digest)
  for e in shown:
    known = not several and e.digest == digest
    parts += [*_show_attribution(e, layers if known else None),
              *_show_prototypes(e), *_show_filters(e)]
  return blocks.Section('explanations', _TITLE,
                        parts + notes.list_others(others))


def _show_attribution(e: records.Explanation,
                      layers: pd.DataFrame | None) -> list[blocks.Block]:
  about, file = e.data['attribution'], blocks.slug(e.target, e.classifier)
  if e.attribution is None:
    return [blocks.Text(f'{e.title} has no attribution: '
                        f'{about.get("left_out", "no gradients")}.')]
  parts: list[blocks.Block] = [blocks.Picture(
      f'attribution_{file}', f'{e.title}: what predictions rest on. Integrated '
      f'gradients of the {about["of"]}, averaged over {about["networks"]} '
      'held-out networks, with 95 % intervals. It goes from '
      f'{about["before"]:.3f} at the baseline ({about.get("baseline", "–")}) '
      f'to {about["after"]:.3f}; the attributions miss '
      f'{theme.percent(about["residual"]["share"])} of that difference. What '
      f'changes along the path: {about.get("line", "–")}.',
      f'Attribution of {e.title} by layer and tensor.',
      why.draw_attribution(e, e.attribution), e.attribution)]
  if e.attribution_position is not None:
    parts.append(blocks.Picture(
        f'attribution_position_{file}', f'{e.title}: the same along the weight '
        'vector, in hundredths of its length.',
        f'Attribution of {e.title} by position.',
        why.draw_positions(e, e.attribution_position, layers),
        e.attribution_position))
  return parts


def _show_prototypes(e: records.Explanation) -> list[blocks.Block]:
  target = theme.words(e.target)
  return [] if e.prototypes is None else [blocks.Picture(
      f'prototypes_{blocks.slug(e.target, e.classifier)}', f'{target}: the '
      'typical distribution of a tensor\'s values in each class. Each point is '
      'the median over networks of one quantile, with its 95 % interval. '
      'Neurons have no order, so means of single weights would mean nothing. '
      'The picture shows the tensors that tell most; its CSV file holds all.',
      f'Distributions of weights by {target}.',
      why.draw_prototypes(e, e.prototypes), e.prototypes)]


def _show_filters(e: records.Explanation) -> list[blocks.Block]:
  target = theme.words(e.target)
  if e.prototypes is None or e.filters is None:
    return []
  typical = '; '.join(
      f'{theme.label(c)}: network {network["id"]}' + (
          f' ({theme.percent(network["sure"])})' if network['sure'] >= 0 else
          f' (off by {-network["sure"]:.2g})')
      for c, network in e.data['prototypes']['typical'].items())
  return [blocks.Picture(
      f'filters_{blocks.slug(e.target, e.classifier)}', f'{target}: '
      'first-layer filters, summed over the input channels, of the held-out '
      'network of each class that is predicted with the highest confidence. '
      f'{typical}. Orange is positive, violet negative.',
      f'First-layer filters of typical networks by {target}.',
      why.draw_filters(e, e.filters), e.filters)]
