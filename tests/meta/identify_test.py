"""Saved classifiers, whom they know, and what is unlike, on a small zoo."""

import csv
import io
import json
import os
import shutil
import types

import ml_dtypes
import numpy as np
import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import answer
from nws_jax.meta.identify import (
  checkpoints,
  membership,
  novelty,
  predict,
  report,
  saved,
)
from nws_jax.store import sealed
from tests.meta import foreign, real

NAME = real.ARCH.name


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """{(target, classifier): (folder, record, predictions)} of a `RealZoo`."""
  from configs import meta as presets
  from nws_jax.meta import settings
  folder, found = tmp_path_factory.mktemp('meta'), {}
  for target, classifier in (('optimizer', 'logistic'), ('optimizer', 'fast'),
                             ('learning_rate', 'logistic')):
    request = requests.make(real.RealZoo(), target, settings.from_config({
        **presets.get_config('smoke'), 'steps': 60,
        'members': 2, 'controls': 'none', 'classifier': classifier}))
    source = running.load(request)
    record, text, outcome = answer.run(request, source, lambda *at: None)
    path = requests.folder(str(folder), request)
    os.makedirs(path)
    saved.write(path, request, source, outcome)
    found[target, classifier] = (
        path, record, list(csv.DictReader(io.StringIO(text))))
  return folder, found


@pytest.mark.parametrize('asked', [
    ('optimizer', 'logistic'), ('optimizer', 'fast'),
    ('learning_rate', 'logistic')])
def test_a_held_out_network_is_told_what_the_result_says(made, asked):
  path, record, rows = made[1][asked]
  classifier, zoo = saved.read(os.path.join(path, 'model')), real.RealZoo()
  for row in rows[::7]:
    id = int(row['id'])
    said, = predict.answer(classifier, zoo.vector(id, 0)[None], NAME)
    assert said.standing.kind == membership.HELD_OUT
    if asked[0] == 'learning_rate':
      assert said.value == pytest.approx(float(row['predicted']), rel=1e-3)
      assert said.low < said.value < said.high
      continue
    shares = [float(row[f'p_{c}']) for c in record['classes']]
    np.testing.assert_allclose(said.shares_K, shares, atol=2e-3)
    assert record['classes'][said.shares_K.argmax()] == row['predicted']
  if asked[0] == 'optimizer':
    assert classifier.record['accuracy'] == pytest.approx(
        record['per_network']['accuracy'])
    assert classifier.record['accuracy'] > 0.6
    assert classifier.record['calibration_error'] == pytest.approx(
        record['calibration']['error'], abs=1e-6)


def test_the_best_on_validation_answers_and_all_is_told(made):
  classifiers = report.load(str(made[0]))
  assert sorted(c.record['target'] for c in classifiers) == [
      'learning_rate', 'optimizer']
  best, = (c for c in classifiers if c.record['target'] == 'optimizer')
  assert best.record['valid_loss'] == min(
      saved.read(os.path.join(path, 'model')).record['valid_loss']
      for (target, _), (path, *_) in made[1].items() if target == 'optimizer')
  network = checkpoints.check('x', real.RealZoo().vector(3, 0), NAME)
  text = report.format_text(network, report.predict_all(classifiers, network))
  assert 'in distribution: ' in text and 'optimizer' in text
  odd = checkpoints.check('x', 1e4 * network.vector_P, NAME)
  assert 'OUT OF DISTRIBUTION' in report.format_text(
      odd, report.predict_all(classifiers, odd))


def test_what_is_odd_is_unlike(made):
  path, *_ = made[1]['optimizer', 'logistic']
  classifier, zoo = saved.read(os.path.join(path, 'model')), real.RealZoo()
  rng = np.random.default_rng(5)
  own = [a.distance for a in predict.answer(
      classifier, zoo.weights_MxP[::3], NAME)]
  assert np.mean(np.array(own) > 1) <= 0.2
  shuffled = zoo.weights_MxP.copy()
  for layer in ('conv2_1', 'conv3_1', 'fc1'):
    at = [s for s in real.SPANS if s.layer == layer]
    part = shuffled[:, at[0].start:at[-1].stop]
    part[:] = rng.permuted(part, axis=1)
  noise = rng.normal(size=(20, shuffled.shape[1])).astype(np.float32)
  for odd in (noise, shuffled[:20], np.roll(zoo.weights_MxP[:20], 9, 1)):
    far = [a.distance for a in predict.answer(classifier, odd, NAME)]
    assert np.mean(np.array(far)[:, None] > np.array(own)) > 0.9  # AUROC


def _copy(made, tmp_path, change):
  """A saved classifier of whose files something is changed."""
  path = shutil.copytree(os.path.join(
      made[1]['optimizer', 'logistic'][0], 'model'), tmp_path / 'model')
  change(path)
  return saved.read(str(path))


def _hide(path):
  """As if no models had held network 3 out."""
  rows = (path / 'members.csv').read_text().splitlines()
  assert rows[4].startswith('3,')
  rows[4] = ','.join([*rows[4].split(',')[:2], '', rows[4].split(',')[3]])
  (path / 'members.csv').write_text('\n'.join(rows) + '\n')
  sealed.write(path / 'recipe.json', sealed.read(path / 'recipe.json', ()))


def _age(path):
  """As older versions wrote it."""
  members = membership.read(path / 'members.csv', {'zoo': {'digest': ''}})
  record = sealed.read(path / 'recipe.json')
  record |= {'format': 1, 'sides': {
      str(id): list(member) for id, member in members.ids.items()}}
  (path / 'recipe.json').write_text(json.dumps(record))
  (path / 'members.csv').unlink()


def test_what_all_models_saw_is_told_as_in_sample(made, tmp_path):
  whole, hidden = (_copy(made, tmp_path / name, change) for name, change
                   in (('whole', str), ('hidden', _hide)))
  vector_P = real.RealZoo().vector(3, 0)
  network = checkpoints.check('x', vector_P, NAME)
  told, = report.predict_all([hidden], network)
  assert told.answer.standing.kind == membership.IN_SAMPLE
  text = report.format_text(network, [told])
  assert 'optimizer: IN-SAMPLE' in text and 'IN-SAMPLE here' in text
  # By all models, which is what a network is told by.
  near, = predict.answer(hidden, vector_P[None] * np.float32(1.01), NAME)
  assert near.standing.kind == membership.UNSEEN
  np.testing.assert_allclose(told.answer.shares_K, near.shares_K, atol=0.02)
  held, = report.predict_all([whole], network)
  text = report.format_text(network, [held]).replace('\n', ' ')
  assert 'IN-SAMPLE' not in text and 'not trained on it' in text
  assert np.abs(held.answer.shares_K - near.shares_K).max() > 0.02


def test_a_classifier_of_an_older_version_says_what_it_cannot_know(
    made, tmp_path):
  new, old = (_copy(made, tmp_path / name, change) for name, change
              in (('new', str), ('old', _age)))
  zoo = real.RealZoo()
  network = checkpoints.check('x', zoo.vector(3, 0), NAME)
  want, = predict.answer(new, network.vector_P[None], NAME)
  got, = report.predict_all(
      [old], network, membership.Origin(zoo.digest, 3, ()))
  assert got.answer.standing == want.standing
  np.testing.assert_array_equal(got.answer.shares_K, want.shares_K)
  for origin in (None, membership.Origin('f' * 64, 3, ())):
    told = report.predict_all([old], network, origin)
    assert 'cannot be known' in report.format_text(
        network, told).replace('\n', ' ')
  told, = report.predict_all(
      [old], network, membership.Origin(zoo.digest, 1000, ()))
  assert told.answer.standing.kind == membership.UNSEEN


def test_a_network_is_known_by_all_its_snapshots_together():
  start_P, end_P = np.linspace(-1, 1, 9, dtype=np.float32), np.ones(9)
  start, end = (membership.list_digests(x)[0] for x in (start_P, end_P))
  sides = {1: membership.Member(2, 2), 2: membership.Member(2, 2),
           3: membership.Member(4, 4)}
  held, in_sample = (
      membership.Standing(membership.HELD_OUT, 2, 2),
      membership.Standing(membership.IN_SAMPLE, None))
  # Of equal starts, only who held all of them out may answer.
  for ids, want in (({1}, held), ({1, 2}, held), ({1, 3}, in_sample)):
    members = membership.Members(sides, {start: ids, end: {1}}, '')
    assert members.find(start_P) == want
  # But a zoo tells whose it is, and knows snapshots that came later.
  origin = membership.Origin('another', 5, (start, end))
  assert members.find(start_P, origin) == held
  assert members.find(start_P + 1).kind == membership.UNSEEN
  assert members.find(start_P + 1, origin) == held


def test_a_reference_is_mahalanobis():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3))
  folds = np.arange(400) % 5
  reference = novelty.fit(np.expm1(np.abs(x)) / 1e3 * np.sign(x), folds)
  rest, held = x[folds != 2], x[folds == 2]
  center, scale = rest.mean(0), rest.std(0) + 1e-3
  z = (rest - center) / scale
  inverse = np.linalg.inv(z.T @ z / len(z) + 0.03 * np.mean(z**2) * np.eye(3))
  off = (held - center) / scale
  want = np.sqrt(np.einsum('ni,ij,nj->n', off, inverse, off))
  got = novelty.measure(reference, np.expm1(np.abs(held)) / 1e3 * np.sign(held),
                       2) * reference.threshold
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_member_is_known_in_every_form(made, tmp_path):
  vector_P = real.RealZoo().vector(7, 0)
  classifier = saved.read(os.path.join(
      made[1]['optimizer', 'fast'][0], 'model'))
  want, = predict.answer(classifier, vector_P[None], NAME)
  for name in foreign.write_all(tmp_path, vector_P, real.ARCH):
    (_, got), = report.predict_all(
        [classifier], checkpoints.read(str(tmp_path / name), classifier.known))
    assert got.standing == want.standing
    np.testing.assert_array_equal(got.shares_K, want.shares_K, name)
  for half in (ml_dtypes.bfloat16, np.float16):  # rounded, and known still
    got, = predict.answer(
        classifier, vector_P.astype(half).astype(np.float32)[None], NAME)
    assert got.standing == want.standing


def test_no_classifier_and_a_damaged_one(made, tmp_path):
  with pytest.raises(errors.Wrong, match='no saved classifier'):
    report.load(str(tmp_path))
  path = tmp_path / 'optimizer' / 'x' / 'model'
  path.mkdir(parents=True)
  (path / 'recipe.json').write_text('{"target": "optimizer", "format": 1}')
  with pytest.raises(errors.Damaged, match='damaged'):
    report.load(str(tmp_path))


@pytest.mark.parametrize('kept', [0, 100])
@pytest.mark.parametrize('name', ['unlike.npz', 'estimator-0.skops'])
def test_a_file_cut_off_is_damage(made, tmp_path, name, kept):
  path = os.path.join(made[1]['optimizer', 'logistic'][0], 'model')
  copy = shutil.copytree(path, tmp_path / 'model') / name
  copy.write_bytes(copy.read_bytes()[:kept])
  with pytest.raises(errors.Damaged, match='damaged'):
    saved.read(str(copy.parent))


@pytest.mark.parametrize('vectors, architecture, said', [
    (np.zeros((2, 6), np.float32), 'b', "architecture='b'.*knows a"),
    (np.zeros(6, np.float32), 'a', r'float32 \[6\]; .*float32 \[N, 6\]'),
    (np.zeros((2, 5), np.float32), 'a', r'float32 \[2, 5\]'),
    (np.zeros((2, 6), int), 'a', 'int64'),
    (np.full((2, 6), np.nan), 'a', 'all of it finite')])
def test_vectors_that_are_not_of_the_architecture_are_refused(
    vectors, architecture, said):
  classifier = types.SimpleNamespace(layers=pd.DataFrame(
      {'architecture': ['a', 'a'], 'stop': [2, 6]}))
  with pytest.raises(errors.Wrong, match=said):
    predict.answer(classifier, vectors, architecture)
