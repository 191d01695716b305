"""Tells how a network was trained that may be anyone's.

  python -m nws_jax.identify weights.safetensors --meta=runs/meta
      by each classifier that `python -m nws_jax.meta` left under runs/meta:
      the probability of each class, calibrated on networks it did not see, or
      a value and what 95 % of such networks lie within; and whether it is
      unlike anything in the zoo
  python -m nws_jax.identify runs/zoo:7:10 --meta=runs/meta
      network 7 after epoch 10, or without :10 after its last

A network that a classifier was trained on is known by its weights, in whatever
file or zoo they lie: then only those models are asked that did not see it;
where all saw it, the answer says that it is in-sample.

Takes a network of a zoo, and what others save:
  Orbax    a folder of Flax variables, or a TrainState's or any other tree that
           has them somewhere; a step's folder, or a manager's (the newest step)
  Flax     .npz, .safetensors or .msgpack (flax.serialization.to_bytes) of such
  PyTorch  a .safetensors file of the state_dict, whatever its modules are
           called: safetensors.torch.save_file(model.state_dict(), FILE)
  NWS      a run's folder (the last snapshot), or one .bin of float64 or float32
  vectors  .npy, .npz or .safetensors of one flat vector in the published order
Half precision is read too. What is no weight of the network (an optimizer's
state, a step) is passed by and named. Never a pickle.
"""

import os
import re

from absl import flags

from nws_jax import cli, errors, options, paths

_FLAGS = flags.FlagValues()
_META = options.define_path(
    'meta', 'runs/meta', 'Folder of results with their classifiers.', _FLAGS)


def main(*given):
  if len(given) != 1:
    raise errors.Wrong('give one network: python -m nws_jax.identify '
                       'CHECKPOINT --meta=runs/meta; see --help.')
  from nws_jax.meta.identify import identify
  classifiers = identify.load(_META.value)
  stranger, origin = read(
      paths.expand(given[0], 'CHECKPOINT'), classifiers)
  print(identify.tell(stranger, identify.ask(classifiers, stranger, origin)))


main.positional = True


def read(path, classifiers):
  """(`checkpoints.Stranger`, `membership.Origin` if it is of a zoo)."""
  from nws_jax.meta.identify import checkpoints, identify, membership
  match = re.fullmatch(r'(.+?):(\d+)(?::(\d+))?', path)
  if match is None or os.path.exists(path):
    return identify.read(path, classifiers), None
  from nws_jax import api
  zoo, id = api.Zoo(match[1]), int(match[2])
  epochs = zoo.epochs(id)
  if not epochs:
    raise errors.Wrong(f'{path}: no weights of this network are kept.')
  epoch = int(match[3]) if match[3] else epochs[-1]
  row, = zoo.members[zoo.members['id'] == id].to_dict('records')
  known = identify.list_known(classifiers)
  if row['architecture'] not in known:
    raise errors.Wrong(
        f'{path} is of architecture {row["architecture"]}, unlike anything in '
        f'the zoo that the classifiers know: {", ".join(known)}.')
  return checkpoints.check(path, zoo.vector(id, epoch), row['architecture']), (
      membership.Origin(zoo.digest, id, tuple(zoo.digests(id).values())))


if __name__ == '__main__':
  cli.run(main, _FLAGS)
