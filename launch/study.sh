#!/usr/bin/env bash
# Trains the population of docs/study.md and computes every number there:
# bash launch/study.sh. Started again, it makes only what is missing.
set -euo pipefail
zoo=${1:-runs/study} meta=${2:-runs/study_meta} docs=${3:-docs}
python -m nws_jax.zoo --config=configs/zoo.py:study --workdir="$zoo"
for target in initialization activation optimizer dataset augmentation \
    batch_size learning_rate; do
  read=(python -m nws_jax.meta --zoo="$zoo" --target="$target")
  "${read[@]}" --workdir="$meta/whole" --window=92868 --controls \
    --config.members=3
  "${read[@]}" --workdir="$meta/local" --nocontrols
  "${read[@]}" --workdir="$meta/whole" --ablate=layer,epoch \
    --config.grid_members=1 --config.windows_per_network=4 \
    --config.windows_drawn=4
done
for kind in whole local; do
  python -m nws_jax.report --zoo="$zoo" --meta="$meta/$kind" \
    --table="$docs/study_$kind.md"
done
python -m nws_jax.report --zoo="$zoo" --meta="$meta/whole" \
  --headline="$docs/study.png"
python -m nws_jax.report --zoo="$zoo" --meta="$meta/whole" --out="$meta/report"
