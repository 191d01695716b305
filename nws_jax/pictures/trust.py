"""Sections of the page on what a score is worth: controls and calibration."""

from nws_jax.pictures import calibration, page, results, theme


def describe_controls(found, command):
  """The section on what else could explain what is read."""
  title = 'What else could explain it'
  kept, _ = results.keep_first(found, lambda r: (r.target, r.classifier))
  kept = results.sort_by_gain(
      [r for r in kept if set(r.data.get('controls', ())) - {'majority'}])
  if not kept:
    return page.Section('controls', title, [page.Missing(
        'No result has controls yet. Make one that has all:',
        f'{command} --target=optimizer --controls')])
  blocks = [page.Warn(f'{results.name_result(r)}: {warning}')
            for r in kept for warning in r.data.get('warnings', [])]
  if not blocks:
    blocks.append(page.Text('No control explains a score.'))
  for regression, kind in ((False, 'accuracy'), (True, 'r2')):
    table = results.tabulate_controls(kept, regression)
    if len(table):
      show = '{:.3f}'.format if regression else page.percent
      blocks.append(page.Table(
          f'controls_{kind}', 'Controls, with 95 % intervals, each beside its '
          'own chance. p value: of the score among those of shuffled labels; '
          'difference p: of the difference between control and score.', table,
          dict.fromkeys(('value', 'low', 'high', 'chance'), show)))
  left_out = [f'{results.name_result(r)}: {name}, {why}' for r in kept
              for name, why in r.data.get('controls_left_out', {}).items()]
  if left_out:
    blocks.append(page.Text('Left out: ' + '; '.join(left_out) + '.'))
  return page.Section('controls', title, blocks)


def describe_calibration(found):
  """The section on how sure classifiers may be; None if none tells."""
  kept, _ = results.keep_first(
      [r for r in found if 'calibration' in r.data],
      lambda r: (r.target, r.classifier))
  kept = results.sort_by_gain(kept)
  if not kept:
    return None
  best, _ = results.keep_first(kept, lambda r: r.target)
  names = ', '.join(theme.words(r.target) for r in best)
  return page.Section('calibration', 'How sure they may be', [
      page.Picture(
          'calibration', 'Reliability of the best classifier of each property: '
          'how often networks told with some probability are told rightly, '
          'with 95 % intervals. The larger a dot, the more networks. Hollow: '
          'before a temperature was fitted to the validation networks. '
          'Dashed: as it should be.', f'Reliability curves of {names}.',
          calibration.draw(best), calibration.tabulate_curves(best)),
      page.Table(
          'calibration_table', 'Expected calibration error, beside that of '
          'as many networks if all probabilities were true, and loss in nats; '
          'guessing all classes alike loses the logarithm of their number.',
          calibration.tabulate(kept), dict.fromkeys(
              ('calibration_error', 'error_if_true', 'uncalibrated_error',
               'temperature', 'loss', 'loss_of_guessing'), '{:.3f}'.format))])


def describe_all(found, command):
  """Both sections, as far as they are there."""
  return [s for s in (describe_controls(found, command),
                      describe_calibration(found)) if s]
