import numpy as np
import pytest

from nws_jax import errors, space
from nws_jax.store import snapshots, stacks, vectors

ARCHS = (space.Architecture(3, 3, 2, 2, 16), space.Architecture(1, 4, 1, 3, 8),
         space.Architecture(3, 3, 2, 2, 16))


@pytest.fixture(params=(ARCHS, ARCHS[::2]), ids=('several', 'one'))
def stack(request, tmp_path):
  rng = np.random.default_rng(0)
  own = [rng.normal(size=vectors.num_weights(a)).astype(np.float32)
         for a in request.param]
  writer = snapshots.Writer()
  writer.save(tmp_path / '7', stacks.to_tree(own, request.param))
  writer.wait()
  return tmp_path / '7', request.param, own


def test_what_was_stacked_is_read_back(stack):
  path, archs, own = stack
  for rows in (range(len(own)), [1], [1, 0], []):
    rows = list(rows)
    for found, row in zip(stacks.read(path, archs, rows), rows, strict=True):
      np.testing.assert_array_equal(found, own[row])
    for found, row in zip(stacks.read(path, archs, rows, 3, 90), rows):
      np.testing.assert_array_equal(found, own[row][3:90])


def test_other_architectures_than_were_stacked_are_damage(stack):
  path, archs, _ = stack
  with pytest.raises(errors.Damaged):
    stacks.read(path, archs + (space.Architecture(5, 3, 2, 2, 16),),
                [len(archs)])


def test_a_vector_is_compared_with_the_digest_of_its_row(stack):
  path, _, own = stack
  digests = snapshots.digests(own)
  for row, vector in enumerate(own):
    stacks.check(path, 30 + row, vector, digests, row)
    for others in (digests[1:] + digests[:1], digests[:row]):
      with pytest.raises(errors.Damaged, match=f'7 is .*network {30 + row} '):
        stacks.check(path, 30 + row, vector, others, row)
