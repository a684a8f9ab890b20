# One job measures all seeds of a row on the evaluated split, or publishes what the training measured at its end.
#
# In:  checkpoints/<scale>/<experiment>/seed<N>.safetensors, data/<scale>/prepared/<dataset>/report.json
# Out: results/<scale>/metrics/<experiment>/seed<N>.json   metrics, resolved configuration and seed
#
# A rule for each scale and number of seeds, `evaluate_open`, `evaluate_open_5seeds` and so on, because they decide how
# many files there are.

for SIZE in PARAMS.scales.values():
    for NAME, SEEDS, GROUP in by_seeds(PARAMS.experiments, SIZE):

        rule:
            name:
                f"evaluate_{NAME}"
            input:
                expand(WEIGHTS, seed=SEEDS, allow_missing=True),
                prepared,
            output:
                expand(METRICS, seed=SEEDS, allow_missing=True),
            log:
                "logs/{scale}/evaluate/{experiment}.log",
            wildcard_constraints:
                scale=SIZE.name,
                experiment=one_of(GROUP),
            group:
                group_of(SIZE)
            resources:
                mem_mb=request("evaluate", "mem_mb"),
                runtime=request("evaluate", "runtime"),
                gpu=request("evaluate", "gpu"),
                row=1,
            params:
                run=lambda w: row(w.experiment, w.scale),
                cost_input=lambda w: PARAMS.cost_input(PARAMS.experiments[w.experiment].dataset),
            shell:
                "dejavu evaluate {wildcards.experiment} --scale {wildcards.scale} > {log} 2>&1"
