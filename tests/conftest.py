"""The same strict settings for every test, in this one place."""

import atexit
import os
import shutil
import signal
import tempfile

# Compiled programs are shared by the tests and their processes, and then gone.
if 'PYTEST_XDIST_WORKER' not in os.environ:  # a worker inherits the folder
  os.environ['XDG_CACHE_HOME'] = tempfile.mkdtemp(prefix='nws_jax_cache_')
  atexit.register(shutil.rmtree, os.environ['XDG_CACHE_HOME'], True)
os.environ.setdefault('XLA_FLAGS', '--xla_cpu_multi_thread_eigen=false')

import jax  # noqa: E402  flags are read when jax starts

from nws_jax.zoo import runtime  # noqa: E402

jax.config.update('jax_num_cpu_devices', 2)
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_default_matmul_precision', 'highest')
jax.config.update('jax_compilation_cache_dir', runtime.cache_folder())
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)

# What takes longest, by processor time: it begins, so that at the end no
# process waits for the other.
LONG = ('zoo/driver_test.py', 'meta/ablation_test.py', 'zoo/train_test.py',
        'end_to_end_test.py', 'zoo/damage_test.py', 'verify_test.py',
        'convert_test.py', 'meta/fit_test.py', 'zoo/cnn_test.py',
        'zoo/network_test.py', 'meta/identify_test.py',
        'meta/controls_test.py', 'meta/cnn_test.py')


def pytest_configure(config):
  # Under `nohup` or `&` SIGINT is ignored, and children inherit that.
  if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
  if hasattr(config.option, 'loadscopereorder'):  # xdist: by number of tests
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
  here = os.path.dirname(__file__)
  rank = {os.path.join(here, *name.split('/')): n
          for n, name in enumerate(LONG)}
  items.sort(key=lambda item: rank.get(str(item.path), len(rank)))
