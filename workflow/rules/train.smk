# One job trains all seeds of a row, because start-up costs seconds and a killed job goes on where it was.
#
# In:  data/<scale>/prepared/<dataset>/report.json
# Out: checkpoints/<scale>/<experiment>/seed<N>.safetensors               the plain base network
#      checkpoints/<scale>/<experiment>/seed<N>.regenerator.safetensors   beside it, of DejaVu rows, for the figures
#      results/<scale>/logs/<experiment>/seed<N>.csv                      the learning curve
#
# Snakemake wants the number of output files to be fixed by the rule, and here scale and kind of row decide it: so
# there is a rule for each pair, `train_baseline_demo`, `train_dejavu_demo` and so on. Threads stay at 1: two
# one-thread trainings side by side beat two threads in one, and the numbers depend on how many threads there are.

for SIZE in PARAMS.scales.values():
    for KIND, ROWS, FILES in [
        ("baseline", BASELINES, [WEIGHTS, LEARNING_CURVE]),
        ("dejavu", DEJAVUS, [WEIGHTS, REGENERATOR, LEARNING_CURVE]),
    ]:

        rule:
            name:
                f"train_{KIND}_{SIZE.name}"
            input:
                lambda w: data_of(w.scale, PARAMS.experiments[w.experiment].dataset),
            output:
                expand(FILES, seed=SIZE.seeds, allow_missing=True),
            log:
                "logs/{scale}/train/{experiment}.log",
            wildcard_constraints:
                scale=SIZE.name,
                experiment=one_of(ROWS),
            threads: 1
            params:
                run=lambda w: row(w.experiment, w.scale),
            shell:
                "dejavu train {wildcards.experiment} --scale {wildcards.scale} > {log} 2>&1"
