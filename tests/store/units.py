"""A tiny zoo of two units, of which one goes on."""

import dataclasses

import numpy as np

from nws_jax import published
from nws_jax.store import folder, schema

ARCHS = {'u0': published.Architecture(3, 3, 2, 4, 16),
         'u1': published.Architecture(5, 4, 1, 2, 8, batch_norm=False)}
IDS = {'u0': (0, 3, 4), 'u1': (1, 2)}


def member(id, unit, epoch):
  rng = np.random.default_rng([id, epoch])
  words = {schema.WORD: 'word', schema.WHOLE: id, schema.FLAG: True,
           schema.MAYBE: None}
  row = {name: words[kind] if kind in words else float(rng.normal())
         for name, kind in schema.MEMBERS.items()}
  return row | dataclasses.asdict(ARCHS[unit]) | {
      'id': id, 'unit': unit, 'architecture': ARCHS[unit].name,
      'evaluations': epoch + 1}


def metric(id, epoch):
  rng = np.random.default_rng([id, epoch])
  return {name: float(rng.normal()) for name in schema.METRICS} | {
      'id': id, 'epoch': epoch, 'step': epoch * 10,
      'snapshot': epoch if epoch % 2 == 0 else None}


def commit(zoo, unit, epoch, done=False, mark='', of_members=(), of_metrics=()):
  folder.commit(zoo, unit, folder.Entry(
      epoch, done,
      [member(i, unit, epoch) | dict(of_members) for i in IDS[unit]],
      [metric(i, e) | dict(of_metrics)
       for i in IDS[unit] for e in range(epoch + 1)],
      [published.layout(ARCHS[unit])],
      {e: [f'{i}-{e}{mark}' for i in IDS[unit]]
       for e in range(0, epoch + 1, 2)}, [3, -1], 1.5))
