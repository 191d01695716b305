"""Image sets: shapes, classes, conversions by a second route, licences."""

import glob
import os
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nws_jax
from nws_jax import errors
from nws_jax.zoo import images
from nws_jax.zoo.embedded import build

_ROOT = os.path.dirname(os.path.dirname(nws_jax.__file__))
_COUNTS = {'fashion_mnist': (2000, 1000), 'mnist': (2000, 1000),
           'digits': (1297, 500)}


@pytest.mark.parametrize('name', images.EMBEDDED)
def test_embedded_set_is_whole_and_real(name):
  data = images.load(name)
  for x_NxHxWxC, y_N, num in (
      (data.train_images, data.train_labels, _COUNTS[name][0]),
      (data.test_images, data.test_labels, _COUNTS[name][1])):
    assert x_NxHxWxC.shape == (num, 32, 32, 3)
    assert x_NxHxWxC.dtype == np.uint8
    assert y_N.shape == (num,) and y_N.dtype == np.int32
    counts_K = np.bincount(y_N, minlength=10)
    assert len(counts_K) == 10 and counts_K.min() > 0
    if name != 'digits':
      assert set(counts_K) == {num // 10}
    assert x_NxHxWxC.max() == 255 and x_NxHxWxC.min() == 0
    flat = x_NxHxWxC.reshape(num, -1)
    assert len(np.unique(flat, axis=0)) >= num - 1  # no image twice
  # Templates from the training images recognise the test images: the labels
  # belong to the images. Chance is 0.1.
  means_Kx = np.stack([data.train_images[data.train_labels == k].mean(0)
                       for k in range(10)]).reshape(10, -1)
  x = data.test_images.reshape(len(data.test_images), -1).astype(float)
  nearest = (means_Kx ** 2).sum(1) - 2 * x @ means_Kx.T
  assert (nearest.argmin(1) == data.test_labels).mean() > 0.65


@pytest.mark.parametrize('name', images.EMBEDDED)
def test_embedded_content_has_its_digest(name):
  path = os.path.join(os.path.dirname(build.__file__), f'{name}.npz')
  with np.load(path, allow_pickle=False) as stored:
    arrays = dict(stored)
  assert build.digest(arrays) == build.DIGESTS[name]
  arrays['test_labels'][0] ^= 1
  assert build.digest(arrays) != build.DIGESTS[name]


def test_digits_rebuild_from_scikit_learn():
  assert build.digest(build.cut_digits()) == build.DIGESTS['digits']


def test_chosen_images_are_equal_spread_and_in_order():
  labels_N = np.random.default_rng(0).integers(0, 10, 5000)
  kept_N = build.choose(labels_N, 100)
  assert (np.diff(kept_N) > 0).all()
  assert (np.bincount(labels_N[kept_N]) == 100).all()
  for k in range(10):
    of_class = np.flatnonzero(labels_N == k)
    places = np.searchsorted(of_class, kept_N[labels_N[kept_N] == k])
    steps = np.diff(places)
    assert steps.min() >= 4 and steps.max() <= 6  # about 500 of a class


def test_files_are_small_and_licensed():
  folder = os.path.dirname(build.__file__)
  assert sum(os.path.getsize(p) for p in glob.glob(f'{folder}/*.*')) < 5e6
  with open(os.path.join(_ROOT, 'pyproject.toml'), 'rb') as f:
    patterns = tomllib.load(f)['project']['license-files']
  listed = {p for pattern in patterns
            for p in glob.glob(os.path.join(_ROOT, pattern))}
  must_say = {'mnist': ('Yann LeCun', 'Corinna Cortes', 'by-sa/3.0'),
              'fashion_mnist': ('Zalando SE', 'MIT'),
              'digits': ('Alpaydin', 'Kaynak', 'by/4.0')}
  for name in images.EMBEDDED:
    path = os.path.join(folder, f'{name}.LICENSE')
    assert path in listed
    with open(path, encoding='utf-8') as f:
      text = f.read()
    for words in (*must_say[name], 'Changes:', 'Taken from'):
      assert words in text, (name, words)


def _read_legacy(image_HxW, i, j):
  """TF1's bilinear resize to 32x32 at one output pixel, by its formula."""
  side = len(image_HxW)
  y, x = i * side / 32, j * side / 32
  y0, x0 = int(y), int(x)
  y1, x1 = min(y0 + 1, side - 1), min(x0 + 1, side - 1)
  top = image_HxW[y0, x0] + (image_HxW[y0, x1] - image_HxW[y0, x0]) * (x - x0)
  low = image_HxW[y1, x0] + (image_HxW[y1, x1] - image_HxW[y1, x0]) * (x - x0)
  return top + (low - top) * (y - y0)


@pytest.mark.parametrize('side', (8, 28))
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2 ** 32 - 1))
def test_legacy_grid_equals_the_formula(side, seed):
  x = np.random.default_rng(seed).integers(0, 256, (2, side, side, 1), np.uint8)
  assert (x[0] != x[1]).any()
  out = images.resize(x)
  assert out.dtype == np.uint8 and out.shape == (2, 32, 32, 3)
  for n in range(2):
    image = x[n, ..., 0].astype(float)
    expected = np.array([[_read_legacy(image, i, j) for j in range(32)]
                         for i in range(32)])
    for c in range(3):
      np.testing.assert_array_equal(out[n, ..., c], np.rint(expected))


def test_legacy_grid_by_hand():
  grid = images.legacy_grid(28)
  np.testing.assert_array_equal(grid[1, :3], [0.125, 0.875, 0])
  np.testing.assert_array_equal(grid[30, -2:], [0.75, 0.25])  # at 26.25
  np.testing.assert_array_equal(grid[31, -2:], [0, 1])  # 27.125, clamped
  np.testing.assert_array_equal(images.legacy_grid(8)[31, -2:], [0, 1])
  np.testing.assert_array_equal(grid.sum(1), 1)


def test_large_colour_images_are_averaged():
  x = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
  out = images.resize(x)
  np.testing.assert_array_equal(
      out[2, 5, 30], np.rint(x[2, 15:18, 90:93].astype(float).mean((0, 1))))
  assert out.shape == (3, 32, 32, 3)


def test_colour_images_of_the_right_size_are_untouched():
  x = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
  np.testing.assert_array_equal(images.resize(x), x)


def test_small_colour_images_keep_their_colours():
  x = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), np.uint8)
  for c in range(3):
    np.testing.assert_array_equal(images.resize(x)[..., c],
                                  images.resize(x[..., c:c + 1])[..., c])


@given(shape=st.lists(st.integers(0, 100), min_size=1, max_size=5).filter(
    lambda s: np.prod(s) < 1e5), dtype=st.sampled_from(['u1', 'f4', 'i8']))
def test_sizes_are_resized_or_refused(shape, dtype):
  possible = (len(shape) == 4 and dtype == 'u1' and shape[1] == shape[2]
              and shape[3] in (1, 3) and shape[1] in (
                  4, 8, 12, 16, 20, 24, 28, 32, 64, 96))
  try:
    assert images.resize(np.zeros(shape, dtype)).shape == (shape[0], 32, 32, 3)
    assert possible
  except errors.Wrong as e:
    assert not possible and 'side of 4, 8, ... 28, or 32, 64, ...' in str(e)


@pytest.mark.parametrize('labels, said', [
    (np.arange(1797) % 12, '12 classes, labelled 0 to 11; possible are 10'),
    (np.arange(1797) % 100, '100 classes, labelled 0 to 99'),
    (np.arange(1797) % 9, '9 classes, labelled 0 to 8'),
    (np.arange(1797) % 10 + 1, '10 classes, labelled 1 to 10')])
def test_other_numbers_of_classes_are_refused(monkeypatch, labels, said):
  read = images._read_embedded
  def relabel(name):
    found = read(name)
    return found._replace(train_labels=labels[:len(found.train_labels)],
                          test_labels=labels[:len(found.test_labels)])
  monkeypatch.setattr(images, '_read_embedded', relabel)
  with pytest.raises(errors.Wrong, match=f'digits has {said}'):
    images.load('digits')


def test_digits_counts_become_bytes():
  # 0..16 -> value * 255 / 16, rounded; the grid's rows 4 i read input i.
  from sklearn import datasets
  full = datasets.load_digits()
  test_N = build.choose(full.target, build.DIGITS_TEST)
  expected = np.rint(full.images[test_N] * 255 / 16)
  data = images.load('digits')
  np.testing.assert_array_equal(data.test_images[:, ::4, ::4, 1], expected)


@pytest.mark.parametrize('name, source, words', [
    ('cifar10', 'embedded', ('fashion_mnist, mnist, digits', "'tfds'")),
    ('digits', 'tfds', ('stl10', "'embedded'")),
    ('letters', 'embedded', ('letters', 'fashion_mnist, mnist, digits')),
    ('mnist', 'keras', ('keras', 'embedded, tfds')),
])
def test_wrong_requests_say_what_is_there(name, source, words):
  with pytest.raises(errors.Wrong) as e:
    images.load(name, source)
  assert all(word in str(e.value) for word in words), str(e.value)
