#!/bin/bash
#SBATCH --job-name=vlm
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --time=12:00:00
# A Ray cluster on the nodes of a job, and a run of vlm on it:
#   sbatch slurm.sh caption /shared/photos --output /shared/captions.jsonl
# The environment in which vlmcli[ray] is installed must be active, and on a disk that all nodes see.
set -euo pipefail

port=${VLM_RAY_PORT:-6379}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}

# Nobody else on these machines may use the cluster: its token is in the home folder, which the nodes share.
export RAY_AUTH_MODE=token
[ -s ~/.ray/auth_token ] || ray get-auth-token --generate > /dev/null

started=()
trap 'kill "${started[@]}" 2> /dev/null || true' EXIT

srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" \
    ray start --head --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false --block &
started+=($!)
until ray status --address "$head:$port" > /dev/null 2>&1; do
    kill -0 "${started[0]}" || exit 1
    sleep 2
done
for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$node" \
        ray start --address="$head:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
    started+=($!)
done
# vlm counts the nodes when it begins: wait until all are there.
until [ "$(ray status --address "$head:$port" 2> /dev/null | grep -c ' node_')" -ge "${#nodes[@]}" ]; do
    sleep 2
done

vlm "$@" --ray "$head:$port"
