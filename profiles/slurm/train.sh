#!/bin/sh
# One model of a run, trained (or, with `evaluate` as third word, asked) on all GPUs of several nodes:
#
#     sbatch --nodes 2 profiles/slurm/train.sh SCALE MODEL
#
# from the project's folder, which all nodes see (docs/scaling.md). What your cluster asks for
# besides (account, partition) goes before the script's name.
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --time=120
#SBATCH --requeue
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
exec srun .venv/bin/python -m torch.distributed.run --nnodes "$SLURM_NNODES" \
  --nproc-per-node "$SLURM_GPUS_ON_NODE" --rdzv-backend c10d --rdzv-endpoint "$first:29500" \
  --rdzv-id "$SLURM_JOB_ID" -m helpers "${3:-train}" --scale "$1" --model "$2"
