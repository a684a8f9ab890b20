# One job measures all seeds of a row on the evaluated split, or publishes the metrics that the training measured.
#
# In:  checkpoints/<scale>/<experiment>/seed<N>.safetensors, data/<scale>/prepared/<dataset>/report.json
# Out: results/<scale>/metrics/<experiment>/seed<N>.json   metrics, resolved configuration and seed
#
# There is one rule for each scale and number of seeds (`evaluate_open`, `evaluate_open_5seeds`), because a rule has a
# fixed number of outputs.

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
