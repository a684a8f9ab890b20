# One job trains all seeds of a row, because start-up costs seconds and a killed job goes on where it was.
#
# In:  data/<scale>/prepared/<dataset>/report.json
# Out: checkpoints/<scale>/<experiment>/seed<N>.safetensors               the plain base network
#      checkpoints/<scale>/<experiment>/seed<N>.regenerator.safetensors   beside it, of DejaVu rows, for the figures
#      results/<scale>/logs/<experiment>/seed<N>.csv                      the learning curve
#
# At its end a job also measures what it trained, which `evaluate` publishes: nothing has to be loaded twice.
#
# Snakemake wants the number of output files to be fixed by the rule, and here scale, seeds and kind of row decide it:
# so there is a rule for each, `train_baseline_open`, `train_dejavu_open`, `train_dejavu_open_5seeds` and so on. Threads
# stay at 1: two one-thread trainings side by side beat two threads in one, and the numbers depend on how many there are.

for SIZE in PARAMS.scales.values():
    for KIND, ROWS, FILES in [
        ("baseline", BASELINES, [WEIGHTS, LEARNING_CURVE]),
        ("dejavu", DEJAVUS, [WEIGHTS, REGENERATOR, LEARNING_CURVE]),
    ]:
        for NAME, SEEDS, GROUP in by_seeds(ROWS, SIZE):

            rule:
                name:
                    f"train_{KIND}_{NAME}"
                input:
                    prepared,
                output:
                    expand(FILES, seed=SEEDS, allow_missing=True),
                log:
                    "logs/{scale}/train/{experiment}.log",
                wildcard_constraints:
                    scale=SIZE.name,
                    experiment=one_of(GROUP),
                group:
                    group_of(SIZE)
                threads: 1
                resources:
                    mem_mb=request("train", "mem_mb"),
                    runtime=request("train", "runtime"),
                    gpu=request("train", "gpu"),
                    gpu_mem_mb=request("train", "gpu_mem_mb"),
                    cpus_per_task=request("train", "cpus_per_task"),
                    nodes=request("train", "nodes"),
                    tasks=request("train", "tasks"),
                    tasks_per_gpu=request("train", "tasks_per_gpu"),
                    mpi=request("train", "mpi"),
                    row=1,  # the Slurm profile lets one of these at a time into a job
                params:
                    run=lambda w: row(w.experiment, w.scale, without={"protocol"}),
                shell:
                    "dejavu train {wildcards.experiment} --scale {wildcards.scale} > {log} 2>&1"
