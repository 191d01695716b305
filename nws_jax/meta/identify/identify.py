"""What saved classifiers say of one network, as text."""

from typing import Any, NamedTuple

from nws_jax.meta.identify import (
  checkpoints,
  membership,
  novelty,
  predict,
  saved,
)


class Told(NamedTuple):
  """A classifier's `predict.Answer`."""
  classifier: saved.Classifier
  answer: Any


def load(folder):
  """The best saved `Classifier` of every target under a folder."""
  return [saved.read(path) for path in saved.find(folder).values()]


def list_known(classifiers):
  """{architecture: its tensors} of all classifiers."""
  known = {}
  for c in classifiers:
    known.update(c.known)
  return known


def ask(classifiers, stranger, origin=None):
  """What each classifier says that knows the architecture: [Told].

  Args:
    classifiers: `saved.Classifier`s.
    stranger: `checkpoints.Stranger`.
    origin: its `membership.Origin`, if it was named as a network of a zoo.
  """
  return [
      Told(c, predict.answer(c, stranger.vector_P[None],
                              stranger.architecture, origin)[0])
      for c in classifiers if stranger.architecture in c.known]


def tell(stranger, told):
  """The text that is printed."""
  worst = max(t.answer.strangeness for t in told)
  lines = [f'{stranger.name}: {stranger.vector_P.size:,} weights, '
           f'{stranger.architecture}']
  share = f'{100 * novelty.FALSE_ALARMS:.0f} %'
  lines.append(
      f'unlike anything in this zoo: {worst:.1f} times as far from it as the '
      f'{share} of its own\nnetworks that are farthest; what is said below '
      'means little' if worst > 1 else
      f'like the networks of the zoo: {worst:.2f} of the distance that {share} '
      'of its own exceed')
  if stranger.ignored:
    lines.append(f'passed by, being no weights: {", ".join(stranger.ignored)}')
  lines += ['', *(_tell_one(*t) for t in told)]
  for kind, words in _STANDINGS.items():
    some = [t.classifier.record['target'] for t in told
            if t.answer.standing.kind == kind]
    if some:
      lines += ['', f'{", ".join(some)}: {words}']
  if stranger.rounded and any(
      t.answer.standing.kind == membership.STRANGER for t in told):
    lines += ['', 'its weights are rounded to half precision: a network that '
              'was read is known again\nby such a copy of the snapshot that '
              'was read, and not of another']
  return '\n'.join(lines)


_STANDINGS = {
    membership.HELD_OUT:
        'the network is one of the zoo that was read; this is what the models\n'
        'say that were not trained on it',
    membership.IN_SAMPLE:
        'IN-SAMPLE, for the models were trained on this very network: what\n'
        'they say of it proves nothing',
    membership.UNKNOWN:
        'whether the models were trained on this very network was not '
        'recorded,\nand cannot be known; python -m nws_jax.meta --force … '
        'records it'}


def _tell_one(classifier, answer):
  record = classifier.record
  if answer.shares_K is None:
    said = f'{answer.value:.3g}  [{answer.low:.3g}, {answer.high:.3g}]'
    worth = f'R² {record["r2"]:.2f}'
  else:
    pairs = sorted(zip(answer.shares_K.tolist(), map(str, record['classes'])),
                   reverse=True)
    said = '  '.join(f'{name} {share:.2f}' for share, name in pairs)
    worth = (f'accuracy {record["accuracy"]:.2f}, calibration error '
             f'{record["calibration_error"]:.2f}')
  if answer.standing.kind == membership.IN_SAMPLE:
    worth = f'IN-SAMPLE here; else {worth}'
  return f'{record["target"]:<16}{said}   ({record["classifier"]}: {worth})'


def read(path, classifiers):
  """`checkpoints.read` of a file or folder that these classifiers may know."""
  return checkpoints.read(path, list_known(classifiers))
