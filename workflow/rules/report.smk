# Tables and figures. A row without an experiment needs no job: it shows the paper's value.
#
# In:  results/<scale>/metrics/<experiment>/seed<N>.json                              tables
#      results/<scale>/logs/<experiment>/seed<N>.csv                                  tables of the best epoch
#      logs, checkpoints, prepared data, metrics or the table's CSV                   figures, as their kinds need
#      paper/<name>.csv, the table's `paper` in params.yaml                           tables and figures
# Out: results/<scale>/tables/<table>.{csv,md,tex}
#      results/<scale>/tables/verdicts.{csv,md,tex}, results/<scale>/figures/verdicts_forest.png   if there are claims
#      results/<scale>/figures/<table>_<kind>.png, of the kinds that params.yaml lists for the table


rule tables:
    input:
        table_inputs,
    output:
        expand(TABLE, form=FORMS, allow_missing=True),
    log:
        "logs/{scale}/tables/{table}.log",
    params:
        table=lambda w: as_line(PARAMS.tables[w.table]),
        cost_input=lambda w: PARAMS.cost_input(PARAMS.tables[w.table].dataset),
        seeds=seeds_of_rows,
        part=lambda w: as_line(PARAMS.data_source(PARAMS.tables[w.table].dataset, w.scale)),
    shell:
        "dejavu tables {wildcards.table} --scale {wildcards.scale} > {log} 2>&1"


if PARAMS.claims:

    rule verdicts:
        input:
            verdict_inputs,
        output:
            VERDICT_FILES,
        log:
            "logs/{scale}/verdicts.log",
        localrule: True
        params:
            settings=verdict_settings,
        shell:
            "dejavu verdicts --scale {wildcards.scale} > {log} 2>&1"


# One rule for each set of kinds: `figures_curves_panel`, `figures_gains`.
for KINDS in dict.fromkeys(FIGURES.values()):

    rule:
        name:
            "_".join(["figures", *KINDS])
        input:
            figure_inputs,
        output:
            expand(FIGURE, kind=KINDS, allow_missing=True),
        log:
            "logs/{scale}/figures/{table}.log",
        wildcard_constraints:
            table=one_of(name for name in FIGURES if FIGURES[name] == KINDS),
        localrule: True
        params:
            table=lambda w: as_line(PARAMS.tables[w.table]),
            seeds=seeds_of_rows,
        shell:
            "dejavu figures {wildcards.table} --scale {wildcards.scale} > {log} 2>&1"
