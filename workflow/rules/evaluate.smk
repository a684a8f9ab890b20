# One job measures all seeds of a row on the validation split.
#
# In:  checkpoints/<scale>/<experiment>/seed<N>.safetensors, data/<scale>/prepared/<dataset>/report.json
# Out: results/<scale>/metrics/<experiment>/seed<N>.json   metrics, resolved configuration and seed
#
# A rule for each scale, `evaluate_demo` and so on, because the scale decides how many seeds there are.

for SIZE in PARAMS.scales.values():

    rule:
        name:
            f"evaluate_{SIZE.name}"
        input:
            expand(WEIGHTS, seed=SIZE.seeds, allow_missing=True),
            lambda w: data_of(w.scale, PARAMS.experiments[w.experiment].dataset),
        output:
            expand(METRICS, seed=SIZE.seeds, allow_missing=True),
        log:
            "logs/{scale}/evaluate/{experiment}.log",
        wildcard_constraints:
            scale=SIZE.name,
        params:
            run=lambda w: row(w.experiment, w.scale),
            cost_input=lambda w: PARAMS.cost_input(PARAMS.experiments[w.experiment].dataset),
        shell:
            "dejavu evaluate {wildcards.experiment} --scale {wildcards.scale} > {log} 2>&1"
