# What the runs of a table's rows come to. A row without an experiment costs no job: it shows the paper's value.
#
# In:  results/<scale>/metrics/<experiment>/seed<N>.json                              tables
#      checkpoints/<scale>/<experiment>/seed<N>{,.regenerator}.safetensors,
#      results/<scale>/logs/<experiment>/seed<N>.csv,
#      data/<scale>/prepared/<dataset>/report.json                                    figures
# Out: results/<scale>/tables/<table>.{csv,md,tex}
#      results/<scale>/figures/<table>_{curves,panel}.png


rule tables:
    input:
        lambda w: every_seed(METRICS, w, PARAMS.tables[w.table].experiments),
    output:
        expand("results/{scale}/tables/{table}.{form}", form=FORMS, allow_missing=True),
    log:
        "logs/{scale}/tables/{table}.log",
    params:
        table=lambda w: as_line(PARAMS.tables[w.table]),
        cost_input=lambda w: PARAMS.cost_input(PARAMS.tables[w.table].dataset),
        seeds=lambda w: PARAMS.scales[w.scale].seeds,
        part=lambda w: as_line(PARAMS.part(PARAMS.tables[w.table].dataset, w.scale)),
    shell:
        "dejavu tables {wildcards.table} --scale {wildcards.scale} > {log} 2>&1"


rule figures:
    input:
        lambda w: every_seed(WEIGHTS, w, PARAMS.tables[w.table].experiments),
        lambda w: every_seed(
            REGENERATOR, w, [row for row in PARAMS.tables[w.table].experiments if row in DEJAVUS]
        ),
        lambda w: every_seed(LEARNING_CURVE, w, PARAMS.tables[w.table].experiments),
        lambda w: data_of(w.scale, PARAMS.tables[w.table].dataset),
    output:
        expand("results/{scale}/figures/{table}_{kind}.png", kind=FIGURES, allow_missing=True),
    log:
        "logs/{scale}/figures/{table}.log",
    params:
        table=lambda w: as_line(PARAMS.tables[w.table]),
        seeds=lambda w: PARAMS.scales[w.scale].seeds,
    shell:
        "dejavu figures {wildcards.table} --scale {wildcards.scale} > {log} 2>&1"
