"""The same strict settings for every test, in this one place."""

import atexit
import os
import shutil
import tempfile

# Compiled programs are shared by the tests and their processes, and then gone.
os.environ['XDG_CACHE_HOME'] = tempfile.mkdtemp(prefix='nws_jax_cache_')
atexit.register(shutil.rmtree, os.environ['XDG_CACHE_HOME'], True)
os.environ.setdefault('XLA_FLAGS', '--xla_cpu_multi_thread_eigen=false')

import jax  # noqa: E402  flags are read when jax starts

jax.config.update('jax_num_cpu_devices', 2)
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_default_matmul_precision', 'highest')
