#!/usr/bin/env bash
# Runs everything on a single-host Cloud TPU VM, from a clone:
# bash launch/tpu_vm.sh
set -euo pipefail
python3 -m venv .venv
. .venv/bin/activate
pip install -q -U 'jax[tpu]'   # first, so that the package does not change it
pip install -q -e .
python -m nws_jax.zoo --config=configs/zoo.py --workdir=runs/zoo
python -m nws_jax.meta --target=batch_size --zoo=runs/zoo
python -m nws_jax.report --zoo=runs/zoo --meta=runs/meta
