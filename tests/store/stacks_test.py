import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nws_jax import errors, published
from nws_jax.store import folder, snapshots, stacks

LAYOUTS = tuple(published.layout(published.Architecture(*sizes)) for sizes in (
    (3, 3, 2, 2, 16), (1, 4, 1, 3, 8), (3, 3, 2, 2, 16)))


@pytest.fixture(params=(LAYOUTS, LAYOUTS[::2]), ids=('several', 'one'))
def stack(request, tmp_path):
  return write(tmp_path / '7', request.param, seed=0)


def write(path, layouts, seed):
  """(the `Stack` of a snapshot, its vectors)."""
  rng, writer = np.random.default_rng(seed), snapshots.Writer()
  own = [rng.normal(size=of.num_weights).astype(np.float32)
         for of in layouts]
  digests = stacks.save(writer, path, own, layouts)
  writer.wait()
  ids = list(range(30, 30 + len(layouts)))
  return stacks.Stack(path, ids, list(layouts), digests, True), own


def test_what_was_stacked_is_read_back(stack):
  stack, own = stack
  assert stack.digests_M == snapshots.digests(own)
  for rows in (range(len(own)), [1], [1, 0], []):
    rows = list(rows)
    for found, row in zip(stacks.read(stack, rows), rows, strict=True):
      np.testing.assert_array_equal(found, own[row])
    window = snapshots.Window(3, 90)
    for found, row in zip(stacks.read(stack, rows, window), rows):
      np.testing.assert_array_equal(found, own[row][3:90])


def test_other_architectures_than_were_stacked_are_damage(stack):
  stack, own = stack
  for checked in (True, False):
    other = stack._replace(
        layouts_M=stack.layouts_M + [published.layout(
            published.Architecture(5, 3, 2, 2, 16))],
        checked=checked)
    with pytest.raises(errors.Damaged):
      stacks.read(other, [len(own)])


@pytest.mark.parametrize('window', [(), (0, 5), (70, 90)])
def test_what_is_read_is_compared_with_the_digest_of_its_row(stack, window):
  stack, own = stack
  digests = stack.digests_M
  for row in range(len(own)):
    for others in (digests[1:] + digests[:1], digests[:row]):
      with pytest.raises(errors.Damaged, match=f'7 is .*network {30 + row} '):
        stacks.read(stack._replace(digests_M=others), [row],
                    snapshots.Window(*window))


def test_each_tensor_of_a_window_is_compared_with_its_checksum(stack, tmp_path):
  """The weights of another snapshot beside the checksums of this one."""
  stack, own = stack
  other, _ = write(tmp_path / '8', stack.layouts_M, seed=1)
  (other.path / folder.CHECKSUMS).write_bytes(
      (stack.path / folder.CHECKSUMS).read_bytes())
  mixed = stack._replace(path=other.path)
  for row, layout in enumerate(stack.layouts_M):
    for span in layout.spans:
      with pytest.raises(errors.Damaged, match=(
          f'8 is .*network {30 + row} .*of {span.layer} {span.tensor}\\)')):
        stacks.read(mixed, [row],
                    snapshots.Window(span.start, span.start + 1))


def test_damaged_checksums_are_named(stack):
  stack, own = stack
  path = stack.path / folder.CHECKSUMS
  good = path.read_bytes()
  for bad in (good[:-1], good[:8], b'', good[8:], good[8:] + good[:8]):
    path.write_bytes(bad)
    with pytest.raises(errors.Damaged, match='7 is damaged: .*checksums'):
      stacks.read(stack, [0], snapshots.Window(5, 9))
  path.unlink()
  with pytest.raises(errors.Damaged, match='7 is damaged: checksums.u64: '):
    stacks.read(stack, [0], snapshots.Window(5, 9))
  np.testing.assert_array_equal(  # of an older version
      stacks.read(stack._replace(checked=False), [0],
                  snapshots.Window(5, 9))[0], own[0][5:9])


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_a_checksum_notices_any_change_of_a_word_and_any_exchange(size, data):
  rng = np.random.default_rng(size)
  leaf = rng.normal(size=(3, size)).astype(np.float32)
  changed, words = leaf.copy(), leaf.view(np.uint32)
  place = data.draw(st.integers(0, size - 1))
  changed.view(np.uint32)[1, place] ^= data.draw(st.integers(1, 2**32 - 1))
  before, after = snapshots.checksum(leaf), snapshots.checksum(changed)
  assert before.dtype == np.uint64 and before.shape == (3,)
  assert (before == after).tolist() == [True, False, True]
  np.testing.assert_array_equal(before[::-1], snapshots.checksum(leaf[::-1]))
  other = data.draw(st.integers(0, size - 1))
  exchanged = leaf.copy()
  exchanged[1, [place, other]] = leaf[1, [other, place]]
  assert (snapshots.checksum(exchanged)[1] == before[1]) == (
      words[1, place] == words[1, other])
  # By the definition, in Python's whole numbers.
  step = 2 - size % 2
  value = sum(
      int.from_bytes(leaf[0, n * step:n * step + step].tobytes(), 'little')
      * (n * 0x9E3779B97F4A7C15 % 2**64 | 1)
      for n in range(size // step)) % 2**64
  assert int(before[0]) == value


def test_no_networks_have_no_checksums():
  assert snapshots.checksum(np.empty((0, 3, 3), np.float32)).shape == (0,)
