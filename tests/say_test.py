import errno

import pytest

from nws_jax import say


@pytest.mark.parametrize('count, said', [
    (0, '0.0 MB'), (1_640_000, '1.6 MB'), (999_900_000, '999.9 MB'),
    (1e9, '1.00 GB'), (2_346_000_000, '2.35 GB'), (4.5e12, '4,500.00 GB')])
def test_bytes(count, said):
  assert say.size(count) == said


@pytest.mark.parametrize('seconds, said', [
    (0, '0 s'), (0.2, '1 s'), (89, '89 s'), (90, '2 min'), (3600, '60 min'),
    (5400, '1.5 h'), (71.96 * 3600, '72.0 h'), (72 * 3600, '3.0 days')])
def test_seconds(seconds, said):
  assert say.time(seconds) == said


@pytest.mark.parametrize('error, said', [
    (OSError(errno.ENOSPC, 'x'), 'Make room on the disk'),
    (OSError(errno.EDQUOT, 'x'), 'Make room on the disk'),
    (ValueError('writing d/1: No space left on device [path=d]'),
     'Make room on the disk'),
    (OSError(errno.EROFS, 'x'), 'Check its permissions'),
    (OSError(errno.ENOSYS, 'x'), 'Check the disk'),
    (FileExistsError(errno.EEXIST, 'File exists'),
     'See whether another process works there'),
    (ValueError('x'), 'Check the disk')])
def test_only_a_full_disk_asks_for_room(error, said):
  assert say.advise(error) == said
