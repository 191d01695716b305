#!/usr/bin/env bash
#SBATCH --job-name=nws_jax
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
# One job, one zoo: sbatch launch/slurm.sh runs/zoo configs/zoo.py
# A job that is requeued or submitted again resumes at the last finished epoch.
set -euo pipefail
workdir=${1:-runs/zoo} config=${2:-configs/zoo.py}
. .venv/bin/activate
exec srun python -m nws_jax.zoo --config="$config" --workdir="$workdir"
