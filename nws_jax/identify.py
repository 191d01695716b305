"""Predicts how a network was trained, from its weights.

  python -m nws_jax.identify weights.safetensors --meta=runs/meta
      Prints the prediction of each classifier that `python -m nws_jax.meta`
      saved under runs/meta: the probability of each class, calibrated on
      held-out networks, or a value with its 95 % interval; and whether the
      network is out of distribution for the zoo.
  python -m nws_jax.identify runs/zoo:7:10 --meta=runs/meta
      The same of network 7 of a zoo after epoch 10; without :10, after its
      last epoch.

A network that a classifier was trained on is recognised by its weights, in
whatever file or zoo they lie. Only the models that were not trained on it then
predict; if all were, the output says that the prediction is in-sample.

These formats are read:
  Orbax    a checkpoint of Flax variables, of a TrainState or of any other tree
           that contains them; the folder of one step, or of a checkpoint
           manager (the newest step)
  Flax     the same as .npz, .safetensors or .msgpack
           (flax.serialization.to_bytes)
  PyTorch  a .safetensors file of a state_dict with any module names:
           safetensors.torch.save_file(model.state_dict(), FILE)
  NWS      the folder of a run (its last snapshot), or one .bin file of float64
           or float32
  vectors  .npy, .npz or .safetensors of one flat vector in the published order
Half precision is read too. Entries that are no weights of the network (an
optimizer's state, a step) are ignored and named. Pickles are never read.
"""

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from nws_jax import cli, errors, options, paths

if TYPE_CHECKING:
  from nws_jax.meta.identify import checkpoints, membership, saved

_FLAGS = flags.FlagValues()
_META = options.define_path(
    'meta', 'runs/meta', 'Folder of the results and their classifiers.',
    _FLAGS)


def main(*given: str) -> None:
  if len(given) != 1:
    raise errors.Wrong('name one network: python -m nws_jax.identify '
                       'CHECKPOINT --meta=runs/meta; see --help.')
  from nws_jax.meta.identify import report
  classifiers = report.load(_META.value)
  checkpoint, origin = read(
      paths.expand(given[0], 'CHECKPOINT'), classifiers)
  print(report.format_text(
      checkpoint, report.predict_all(classifiers, checkpoint, origin)))


def read(path: str, classifiers: Sequence['saved.Classifier']
         ) -> tuple['checkpoints.Checkpoint', 'membership.Origin | None']:
  """Reads the network to identify.

  Args:
    path: a checkpoint, or ZOO:ID or ZOO:ID:EPOCH.
    classifiers: those that are to predict.

  Returns:
    the network; where it comes from if that is a zoo, else None.
  """
  from nws_jax.meta.identify import checkpoints, membership, report
  match = re.fullmatch(r'(.+?):(\d+)(?::(\d+))?', path)
  if match is None or os.path.exists(path):
    return report.read(path, classifiers), None
  from nws_jax import api
  zoo, id = api.Zoo(match[1]), int(match[2])
  epochs = zoo.epochs(id)
  if not epochs:
    raise errors.Wrong(f'{path}: the zoo keeps no weights of this network.')
  epoch = int(match[3]) if match[3] else epochs[-1]
  row, = zoo.members[zoo.members['id'] == id].to_dict('records')
  known = report.list_known(classifiers)
  if row['architecture'] not in known:
    raise errors.Wrong(
        f'{path} is of architecture {row["architecture"]}; the classifiers '
        f'were trained on {", ".join(known)}.')
  return checkpoints.check(path, zoo.vector(id, epoch), row['architecture']), (
      membership.Origin(zoo.digest, id, tuple(zoo.digests(id).values())))


if __name__ == '__main__':
  cli.run(main, _FLAGS, positional=True)
