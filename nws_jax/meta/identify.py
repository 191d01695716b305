"""What saved classifiers say of one network, as text."""

from typing import Any, NamedTuple

from nws_jax import errors
from nws_jax.meta import opinions, saved, strangers, unlike


class Told(NamedTuple):
  """A classifier's `opinions.Answer`."""
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


def ask(classifiers, stranger, member=None):
  """What each classifier says that knows the architecture: [Told].

  Args:
    classifiers: `saved.Classifier`s.
    stranger: `strangers.Stranger`.
    member: (digest of its zoo, its id), if it is of one.

  Raises:
    errors.Wrong: none can answer.
  """
  told, refused = [], []
  for c in classifiers:
    if stranger.architecture not in c.known:
      continue
    of_it = member is not None and member[0] == c.record['zoo']['digest']
    try:
      answer, = opinions.answer(
          c, stranger.vector_P[None], stranger.architecture,
          member[1] if of_it else None)
    except errors.Wrong as e:
      refused.append(e)
      continue
    told.append(Told(c, answer))
  if not told:
    raise refused[0]
  return told


def tell(stranger, told):
  """The text that is printed."""
  worst = max(t.answer.strangeness for t in told)
  lines = [f'{stranger.name}: {stranger.vector_P.size:,} weights, '
           f'{stranger.architecture}']
  share = f'{100 * unlike.FALSE_ALARMS:.0f} %'
  lines.append(
      f'unlike anything in this zoo: {worst:.1f} times as far from it as the '
      f'{share} of its own\nnetworks that are farthest; what is said below '
      'means little' if worst > 1 else
      f'like the networks of the zoo: {worst:.2f} of the distance that {share} '
      'of its own exceed')
  lines.append('')
  return '\n'.join(lines + [_tell_one(*t) for t in told])


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
  return f'{record["target"]:<16}{said}   ({record["classifier"]}: {worth})'


def read(path, classifiers):
  """`strangers.read` of a file or folder that these classifiers may know."""
  return strangers.read(path, list_known(classifiers))
