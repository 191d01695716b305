import pytest

from nws_jax.store import whole
from tests.store import units


@pytest.fixture
def zoo(tmp_path):
  path = tmp_path / 'zoo'
  path.mkdir()
  (path / 'config.json').write_text('{}')
  units.commit(path, 'u1', 2, done=True)
  units.commit(path, 'u0', 3)
  whole.rebuild(path)
  return path
