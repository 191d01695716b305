"""The predictions of all saved classifiers about one network, as text."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from nws_jax.meta.identify import (
  checkpoints,
  membership,
  novelty,
  predict,
  saved,
)


class Prediction(NamedTuple):
  """What one classifier predicts of the network."""
  classifier: saved.Classifier
  answer: predict.Answer


def load(folder: str) -> list[saved.Classifier]:
  """The best saved classifier of every target under a folder."""
  return [saved.read(path) for path in saved.find(folder).values()]


def list_known(classifiers: Sequence[saved.Classifier]) -> checkpoints.Known:
  """{architecture: its tensors} of all classifiers."""
  known: checkpoints.Known = {}
  for c in classifiers:
    known.update(c.known)
  return known


def read(path: str,
         classifiers: Sequence[saved.Classifier]) -> checkpoints.Checkpoint:
  """Reads a file or folder of an architecture that the classifiers know."""
  return checkpoints.read(path, list_known(classifiers))


def predict_all(classifiers: Sequence[saved.Classifier],
                checkpoint: checkpoints.Checkpoint,
                origin: membership.Origin | None = None) -> list[Prediction]:
  """The predictions of all classifiers that know the architecture.

  Args:
    classifiers: of different targets.
    checkpoint: the network.
    origin: where it is, if it was named as a network of a zoo.
  """
  return [
      Prediction(c, predict.answer(c, checkpoint.vector_P[None],
                                   checkpoint.architecture, origin)[0])
      for c in classifiers if checkpoint.architecture in c.known]


def format_text(checkpoint: checkpoints.Checkpoint,
                predictions: Sequence[Prediction]) -> str:
  """The text that is printed."""
  lines = [f'{checkpoint.name}: {checkpoint.vector_P.size:,} weights, '
           f'{checkpoint.architecture}',
           _describe_distance(max(p.answer.distance for p in predictions))]
  if checkpoint.ignored:
    lines.append(
        f'ignored, not weights of it: {", ".join(checkpoint.ignored)}')
  lines += ['', *(_format_one(p) for p in predictions)]
  for kind, words in _STANDINGS.items():
    targets = [p.classifier.record['target'] for p in predictions
               if p.answer.standing.kind == kind]
    if targets:
      lines += ['', *textwrap.wrap(f'{", ".join(targets)}: {words}', 79)]
  if checkpoint.rounded and any(
      p.answer.standing.kind == membership.UNSEEN for p in predictions):
    lines += ['', *textwrap.wrap(
        'The weights are in half precision. A rounded copy of a network that '
        'the models were trained on is recognised only if it is of the '
        'snapshot that they were trained on.', 79)]
  return '\n'.join(lines)


def _describe_distance(distance: float) -> str:
  percentile = f'{100 * (1 - novelty.FALSE_POSITIVES):.0f}th-percentile'
  if distance > 1:
    return (f'OUT OF DISTRIBUTION: {distance:.1f} x the zoo\'s {percentile} '
            'distance; the predictions below are not reliable')
  return f'in distribution: {distance:.2f} x the zoo\'s {percentile} distance'


_STANDINGS = {
    membership.HELD_OUT:
        'the network is in the zoo; these are the predictions of the models '
        'that were not trained on it.',
    membership.IN_SAMPLE:
        'IN-SAMPLE: all models were trained on this network, so their '
        'predictions prove nothing.',
    membership.UNKNOWN:
        'it is not recorded whether the models were trained on this network, '
        'and cannot be known; python -m nws_jax.meta --force … records it.'}


def _format_one(prediction: Prediction) -> str:
  """A line: the target, what is predicted, and how good such predictions are.
  """
  record, answer = prediction.classifier.record, prediction.answer
  if answer.shares_K is None:
    predicted = f'{answer.value:.3g}  [{answer.low:.3g}, {answer.high:.3g}]'
    quality = f'R² {record["r2"]:.2f}'
  else:
    pairs = sorted(zip(answer.shares_K.tolist(), map(str, record['classes'])),
                   reverse=True)
    predicted = '  '.join(f'{name} {share:.2f}' for share, name in pairs)
    quality = (f'accuracy {record["accuracy"]:.2f}, calibration error '
               f'{record["calibration_error"]:.2f}')
  if answer.standing.kind == membership.IN_SAMPLE:
    quality = f'IN-SAMPLE here; otherwise {quality}'
  return (f'{record["target"]:<16}{predicted}   '
          f'({record["classifier"]}: {quality})')
