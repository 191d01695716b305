"""Sections of the page on why: attribution and prototypes; and on the map."""

from nws_jax.pictures import landscape, page, results, sections, theme, why


def describe_explanations(found, digest, layers, command):
  """The section on what the classifiers' words rest on.

  Args:
    found: `explanations.Explanation`s, in `results.order`.
    digest: of the zoo.
    layers: DataFrame of layers.csv.
    command: of meta.
  """
  title = 'Which weights say so'
  kept, others = results.keep_first(found, lambda e: (e.target, e.classifier))
  if not kept:
    return page.Section('explanations', title, [page.Missing(
        'Nothing has been explained yet. Explain a result:',
        f'{command} --target=optimizer --explain')])
  if layers.architecture.nunique() > 1:
    layers = None
  blocks = sections.warn_of_others(kept, digest)
  for e in kept:
    if e.attribution is not None:
      blocks += _attribute(e, layers if e.digest == digest else None)
    else:
      blocks.append(page.Text(
          f'{results.name_result(e)}: attribution left out, '
          f'{e.data["attribution"].get("left_out", "no gradients")}'))
    if e.prototypes is not None:
      blocks += _show_classes(e)
  return page.Section('explanations', title,
                      blocks + sections.list_others(others))


def _attribute(e, layers):
  about, name = e.data['attribution'], page.slug(e.target, e.classifier)
  said = results.name_result(e)
  line = (f'Integrated gradients ({about["of"]}), mean of '
          f'{about["networks"]} held-out networks with 95 % intervals; it goes '
          f'from {about["before"]:.3f} at the baseline, '
          f'{about.get("baseline", "")}, to {about["after"]:.3f}. All parts '
          f'together miss {page.percent(about["residual"]["share"])} of a '
          f'network\'s way. Along the line change {about.get("line", "")}.')
  return [
      page.Picture(f'attribution_{name}', f'{said}: what its words rest on. '
                   f'{line}', f'Attribution of {said} by layer and tensor.',
                   why.draw_attribution(e), e.attribution),
      page.Picture(f'attribution_position_{name}', f'{said}: the same along '
                   'the vector, in hundredths of its length.',
                   f'Attribution of {said} by position.',
                   why.draw_positions(e, layers), e.attribution_position)]


def _show_classes(e):
  name, said = page.slug(e.target, e.classifier), theme.words(e.target)
  blocks = [page.Picture(
      f'prototypes_{name}', f'{said}: the typical distribution of a tensor\'s '
      'values in each class, the median over networks of each quantile with '
      'its 95 % interval. Neurons have no order, so that a mean of weights '
      'place by place would mean nothing. Shown are the tensors that tell '
      'most; the table has all.', f'Distributions of weights by {said}.',
      why.draw_prototypes(e), e.prototypes)]
  if e.filters is not None:
    sure = '; '.join(
        f'{theme.label(c)}: network {of["id"]}' + (
            f', with {page.percent(of["sure"])}' if of['sure'] >= 0 else
            f', off by {-of["sure"]:.2g}')
        for c, of in e.data['prototypes']['typical'].items())
    blocks.append(page.Picture(
        f'filters_{name}', f'{said}: first-layer filters, summed over the '
        'input channels, of the held-out network that is told most surely to '
        f'be of its class. {sure}. Orange: positive, violet: negative.',
        f'First-layer filters of typical networks by {said}.',
        why.draw_filters(e), e.filters))
  return blocks


def describe_map(found, digest, members, command):
  """The section on the map of the weight space.

  Args:
    found: `explanations.Explanation`s, in `results.order`.
    digest: of the zoo.
    members: DataFrame of members.csv.
    command: of meta.
  """
  title = 'The map of the weight space'
  found = [e for e in found if e.map is not None and e.digest == digest]
  points = landscape.join(found[0].map, members) if found else ()
  if not len(points):
    return page.Section('map', title, [page.Missing(
        'No map of these networks has been made yet. Make one:',
        f'{command} --target=optimizer --explain')])
  about = found[0].data['map']
  share = ' and '.join(map(page.percent, about['explained_variance']))
  blocks = [page.Text(
      f'{len(points):,} snapshots of {points.id.nunique():,} networks by the '
      f'first two principal components ({share} of the variance) of '
      f'{about["columns"]:,} statistics of their tensors, standardised by '
      'median and quartiles. Left each network\'s way from epoch to epoch, '
      'right the mean way of those that have something in common.')]
  kinds = [('map', points, about['explained_variance'])]
  if {'umap_x', 'umap_y'} <= set(points):
    kinds.append(
        ('umap', points.assign(x=points.umap_x, y=points.umap_y), None))
  for kind, places, explained in kinds:
    options = []
    for name in landscape.list_properties(members):
      said = f'{_KINDS[kind]} by {theme.words(name)}'
      options.append((theme.words(name), page.Picture(
          page.slug(kind, name), f'{said}. The bars are one standard deviation '
          'of the last epoch.', f'{said}.',
          landscape.draw(places, name, explained),
          landscape.trace(places, name))))
    blocks.append(page.Choice(
        f'{kind}_points', 'coloured by', options, places))
  return page.Section('map', title, blocks)


_KINDS = {'map': 'Principal components', 'umap': 'UMAP'}
