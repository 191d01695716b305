"""The columns of a zoo's tables, and which evaluations keep their weights."""

from nws_jax import published, space

# Kinds of columns; MAYBE is a whole number, or empty.
WORD, WHOLE, REAL, FLAG, MAYBE = 'word', 'whole', 'real', 'flag', 'maybe'
# docs/contract.md describes the columns. In members.csv, the properties of the
# zoo's networks are between the first and the last of them.
FIRST = {
    'id': WHOLE, 'unit': WORD, 'setting': WHOLE, 'replicate': WHOLE,
    'seed': WHOLE, 'split': WORD, 'fold': WHOLE, 'status': WORD,
    'architecture': WORD,
}
LAST = {
    'lr_decay': REAL, 'epochs': WHOLE, 'evaluations': WHOLE,
    'last_step': WHOLE, 'seconds': REAL, 'diverged_epoch': MAYBE,
    'num_weights': WHOLE, 'num_weights_conv': WHOLE,
    'train_accuracy': REAL, 'valid_accuracy': REAL, 'test_accuracy': REAL,
}


def list_columns(properties: space.Properties) -> dict[str, str]:
  """{column: kind} of members.csv, of networks that have these properties."""
  def find_kind(p: space.Property) -> str:
    if p.continuous:
      return REAL
    return {bool: FLAG, str: WORD}.get(type(p.choices[0]), WHOLE)
  return {**FIRST, **{p.name: find_kind(p) for p in properties}, **LAST}


MEMBERS = list_columns(published.ALL)
METRICS = {
    'id': WHOLE, 'epoch': WHOLE, 'step': WHOLE, 'snapshot': MAYBE,
    'train_loss': REAL, 'train_accuracy': REAL, 'valid_loss': REAL,
    'valid_accuracy': REAL, 'test_loss': REAL, 'test_accuracy': REAL,
}
LAYERS = {
    'architecture': WORD, 'layer': WORD, 'tensor': WORD, 'start': WHOLE,
    'stop': WHOLE, 'shape': WORD, 'leaf': WORD, 'axes': WORD, 'part': WORD,
}
COLUMNS = {'members.csv': MEMBERS, 'metrics.csv': METRICS, 'layers.csv': LAYERS}
TIMES = ('seconds',)  # columns in which equal zoos may differ


def pick(count: int, keep: int) -> list[int]:
  """Chooses the evaluations whose weights are kept (recipe, section 10).

  Args:
    count: number of evaluations.
    keep: number of those that are kept, spread evenly from the first to the
      last; 0: all.
  """
  if not keep or count <= keep:
    return list(range(count))
  step = (count - 1) / (keep - 1)
  return [round(n * step) for n in range(keep)]
