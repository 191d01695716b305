"""Tests the saved classifiers on held-out networks and on arbitrary weights.

  python -m benchmarks.strangers --zoo=runs/zoo --meta=runs/meta

As in `nws_jax.identify`, every classifier under --meta predicts each network of
the zoo with the models that were not trained on it: the accuracy and the
calibration error must be those of its result. Then it is given weights that do
not come from training, to measure how well it recognises them as out of
distribution (AUROC against held-out networks). Writes
benchmarks/results/strangers.json.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import app, flags
from sklearn import metrics

from benchmarks import contest
from nws_jax import api
from nws_jax.meta.figures import calibration
from nws_jax.meta.identify import membership, predict, report

_ZOO = flags.DEFINE_string('zoo', 'runs/zoo', 'the zoo of --meta')
_META = flags.DEFINE_string('meta', 'runs/meta', 'folder of the classifiers')


def main(argv: list[str]) -> None:
  zoo, results = api.Zoo(_ZOO.value), {}
  print(contest.machine())
  for classifier in report.load(_META.value):
    if classifier.record['zoo']['digest'] != zoo.digest:
      continue
    name = classifier.record['target']
    results[name] = ask(zoo, classifier)
    print(name, *(f'{k} {v:.3f}' for k, v in results[name].items()), sep='\n  ',
          flush=True)
  contest.write('strangers', results)


def ask(zoo: api.Zoo, classifier: Any) -> dict[str, float]:
  """{measure: value} of one classifier."""
  record, rng = classifier.record, np.random.default_rng(0)
  ids = [id for id, member in classifier.members.ids.items()
         if member.held_out_by is not None]
  arch = record['architectures'][0]
  rows = zoo.members.set_index('id').loc[ids]
  own_NxP = np.stack([zoo.vector(id, record['epochs'][-1]) for id in ids])
  answers = [predict.answer(classifier, x[None], arch, membership.Origin(
      zoo.digest, id, ()))[0] for x, id in zip(own_NxP, ids)]
  own = np.array([a.distance for a in answers])
  found: dict[str, Any] = {
      'networks': len(ids), 'called_unlike': np.mean(own > 1)}
  if record['classes']:
    names = list(map(str, record['classes']))
    truth_N = np.array([names.index(str(x)) for x in rows[record['target']]])
    shares_NxK = np.array([a.shares_K for a in answers])
    about = calibration.describe(shares_NxK, truth_N)
    found |= {
        'accuracy': np.mean(shares_NxK.argmax(1) == truth_N),
        'accuracy_of_result': record['accuracy'],
        'calibration_error': about['error'],
        'error_if_true': about['if_true'][0]}
  for odd, make in _ODD.items():
    far = [a.distance for a in predict.answer(
        classifier, make(rng, own_NxP, classifier.known[arch]), arch)]
    found[f'auroc_{odd}'] = metrics.roc_auc_score(
        np.repeat([0, 1], [len(own), len(far)]), np.append(own, far))
  jax.clear_caches()
  return {k: float(v) for k, v in found.items()}


def _shuffle(rng: np.random.Generator, x_NxP: np.ndarray,
             borders: Sequence[int]) -> np.ndarray:
  """Permutes the values of each part, differently in each network."""
  x_NxP = x_NxP.copy()
  for start, stop in zip(borders, borders[1:]):
    x_NxP[:, start:stop] = rng.permuted(x_NxP[:, start:stop], axis=1)
  return x_NxP


def _tensors(parts: Sequence[Any]) -> list[int]:
  return [t.start for t in parts] + [parts[-1].stop]


def _layers(parts: Sequence[Any]) -> list[int]:
  return [t.start for n, t in enumerate(parts)
          if not n or t.layer != parts[n - 1].layer] + [parts[-1].stop]


_ODD = {
    'normal_noise': lambda rng, x, parts: rng.normal(
        0, x.std(), x.shape).astype(np.float32),
    'shuffled_vector': lambda rng, x, parts: rng.permuted(x, axis=1),
    'shuffled_layers': lambda rng, x, parts: _shuffle(rng, x, _layers(parts)),
    'shuffled_tensors': lambda rng, x, parts: _shuffle(rng, x, _tensors(parts)),
}

if __name__ == '__main__':
  app.run(main)
