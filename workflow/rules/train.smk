# One job trains all seeds of a row, because the start takes seconds and a killed job continues from its last save.
#
# In:  data/<scale>/prepared/<dataset>/report.json
# Out: checkpoints/<scale>/<experiment>/seed<N>.safetensors               the plain base network
#      checkpoints/<scale>/<experiment>/seed<N>.regenerator.safetensors   beside it, of DejaVu rows, for the figures
#      results/<scale>/logs/<experiment>/seed<N>.csv                      the learning curve
#
# At its end a job also measures its weights, which `evaluate` publishes: nothing has to be loaded twice.
#
# A rule has a fixed number of outputs, and here it depends on scale, seeds and kind of row. So there is one rule for
# each: `train_baseline_open`, `train_dejavu_open`, `train_dejavu_open_5seeds`. Threads stay at 1: two trainings of one
# thread each are faster than one of two threads, and results depend on the number of threads.

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
                    row=1,  # the Slurm profile runs one of these at a time in a job
                params:
                    run=lambda w: row(w.experiment, w.scale, without={"protocol"}),
                shell:
                    "dejavu train {wildcards.experiment} --scale {wildcards.scale} > {log} 2>&1"
