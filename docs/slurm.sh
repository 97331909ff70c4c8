#!/bin/bash
#SBATCH --job-name=words
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

# The tasks save and end with status 75 when they are warned; then the job is queued again and goes on from there.
srun --kill-on-bad-exit=0 ./train.py trainer.accelerator=gpu trainer.strategy=ddp \
    trainer.num_nodes="$SLURM_NNODES" trainer.devices="$SLURM_NTASKS_PER_NODE" data.num_workers=7 \
    hydra.run.dir="outputs/slurm/$SLURM_JOB_ID" ckpt_path=last "$@"
status=$?
if [ "$status" -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
