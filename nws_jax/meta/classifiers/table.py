"""The table of classifiers: a new one is a module beside this and an entry.

Seconds are rough; they were measured on one CPU core with AVX-512.
"""

from typing import Callable

from nws_jax.meta.classifiers import (
  cnn,
  equivariant,
  fast,
  interface,
  majority,
  sklearn_models,
  transformer,
)
from nws_jax.meta.data import descriptions

_RATE = 1e-3  # of Adam, as published
_STEP = 4e-4  # seconds of a training step of the fast classifier
_ROWS = 300  # of the fits that were timed
_NO_GRADIENTS = 'it has no gradients'
_WINDOWS = interface.Requirements(
    shortest_window=1, compares_pairs=False, check_whole=None)
_SKLEARN = ('sklearn', 'skops.io')


def _fitted(name: str, fit: Callable[..., interface.Fitted],
            inputs: descriptions.Description, *, seconds: float,
            most_rows: int = 10**9,
            packages: tuple[str, ...] = _SKLEARN) -> interface.Classifier:
  """An estimator; `seconds` are for a fit of `_ROWS` rows."""
  return interface.Classifier(
      name=name, inputs=inputs,
      training=interface.Estimator(fit, most_rows, packages),
      requirements=_WINDOWS, attribution=_NO_GRADIENTS,
      seconds=lambda work: work.models * seconds * max(1, work.rows / _ROWS),
      compile_seconds=0.0, too_slow_on_cpu=False)


_ALL = (
    _fitted('majority', majority.fit, descriptions.NOTHING, seconds=0.0,
            packages=()),
    _fitted('logistic', sklearn_models.fit_logistic, descriptions.STATISTICS,
            seconds=0.3),
    _fitted('svm', sklearn_models.fit_svm, descriptions.STATISTICS, seconds=0.3,
            most_rows=4000),
    _fitted('boosting', sklearn_models.fit_boosting, descriptions.STATISTICS,
            seconds=3.0),
    interface.Classifier(
        name='fast',
        inputs=descriptions.FEATURES,
        training=interface.Gradients(
            fast.make_module, learning_rate=3e-3, averages=True,
            count_features=fast.count_features),
        requirements=_WINDOWS._replace(compares_pairs=True),
        attribution=interface.Attribution(steps=64, networks=2000),
        seconds=lambda work: work.models * work.steps * _STEP,
        compile_seconds=6.0,
        too_slow_on_cpu=False),
    interface.Classifier(
        name='cnn',
        inputs=cnn.INPUTS,
        training=interface.Gradients(
            cnn.make_module, learning_rate=_RATE, averages=True,
            count_features=None),
        requirements=_WINDOWS._replace(shortest_window=cnn.SHORTEST),
        attribution=interface.Attribution(steps=64, networks=40),
        # The operations of plain convolutions, though fewer are needed.
        seconds=interface.by_operations(
            lambda work: cnn.count_flops(work.window, work.outputs), 0.9),
        compile_seconds=25.0,
        too_slow_on_cpu=True),
    interface.Classifier(
        name='transformer',
        inputs=transformer.INPUTS,
        training=interface.Gradients(
            transformer.make_module, learning_rate=_RATE, averages=False,
            count_features=None),
        requirements=_WINDOWS,
        attribution=interface.Attribution(steps=256, networks=60),
        seconds=interface.by_operations(
            lambda work: transformer.count_flops(
                work.window, max(map(len, work.tensors))), 0.12),
        compile_seconds=20.0,
        too_slow_on_cpu=False),
    interface.Classifier(
        name='equivariant',
        inputs=equivariant.INPUTS,
        training=interface.Gradients(
            equivariant.make_module, learning_rate=_RATE, averages=False,
            count_features=None),
        requirements=_WINDOWS._replace(check_whole=equivariant.plan),
        attribution='it looks at the logarithm of single weights, which has a '
        'pole where a weight crosses 0, so that no sum comes out right',
        seconds=interface.by_operations(
            lambda work: equivariant.count_flops(
                equivariant.plan(work.tensors[0])), 0.3),
        compile_seconds=20.0,
        too_slow_on_cpu=False),
)
CLASSIFIERS: dict[str, interface.Classifier] = {c.name: c for c in _ALL}

FIRST = 'majority'  # accepts every request
NUMBERS = 'fast'  # reads a few numbers of each network instead of windows
AUTO = {'cpu': 'fast'}  # what `auto` stands for, by backend
AUTO_ELSEWHERE = 'cnn'


def choose(name: str, backend: str) -> str:
  """The name of a classifier; `auto` depends on the backend."""
  return AUTO.get(backend, AUTO_ELSEWHERE) if name == 'auto' else name
