#!/bin/bash
# Spreads one experiment over a Slurm array. From the folder of the project or of your experiment:
#
#   sbatch --array=0-7 experiments/slurm-array.sh paper results/paper --seeds 20
#   sbatch --array=0-7 experiments/slurm-array.sh mine.json /shared/results/mine
#
# First word: the experiment (a file, or paper, sensitivity, scale, faults). Second: the folder of
# results, on a file system that every node sees. All further words go to `nbos experiment run`.
#
# Each task takes its part i/n from the array. Finished runs are kept: a task that was killed,
# preempted or requeued goes on where it stopped, and submitting the array again repeats nothing.
# The task that finishes last writes results.csv, figures and report.html. Should two tasks finish in
# the same moment on a slow network file system and neither see the other's last run, this does it:
#
#   nbos experiment run mine.json --out /shared/results/mine
#
# Adapt these lines to your cluster, or override them on the command line of sbatch:
#SBATCH --job-name=nbos
#SBATCH --array=0-7
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem-per-cpu=2G
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=nbos-%A_%a.log

set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: sbatch [--array=0-N] slurm-array.sh EXPERIMENT OUT [options of nbos experiment run]" >&2
  exit 2
fi
experiment=$1
out=$2
shift 2

# The program: `npx nbos` from a checkout or a project that has notebookos installed. Set NBOS for
# another one, such as NBOS="node /opt/notebookos/dist/cli.js"; load Node here if it is a module:
#   module load nodejs/20
nbos=${NBOS:-npx nbos}

# shellcheck disable=SC2086 # NBOS may be several words
exec $nbos experiment run "$experiment" --out "$out" --shard auto \
  --jobs "${SLURM_CPUS_PER_TASK:-1}" --quiet "$@"
