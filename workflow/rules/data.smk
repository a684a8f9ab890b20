# Makes the arrays that training reads, from the source that a scale sets for a dataset.
#
# In:  params.yaml (`scales.<scale>.data.<dataset>`, `datasets.<source>`)
# Out: data/<scale>/raw/<dataset>.json               manifest of the raw files, written last
#      data/<scale>/prepared/<dataset>/report.json   counts and checksums of the arrays beside it, written last


rule download:
    output:
        MANIFEST,
    log:
        "logs/{scale}/download/{dataset}.log",
    params:
        part=lambda w: as_line(PARAMS.data_source(w.dataset, w.scale)),
        source=lambda w: as_line(PARAMS.datasets[PARAMS.data_source(w.dataset, w.scale).source]),
    shell:
        "dejavu download {wildcards.dataset} --scale {wildcards.scale} > {log} 2>&1"


rule prepare:
    input:
        raw_files,
    output:
        REPORT,
    log:
        "logs/{scale}/prepare/{dataset}.log",
    resources:
        mem_mb=request("prepare", "mem_mb"),
        runtime=request("prepare", "runtime"),
    params:
        part=lambda w: as_line(PARAMS.data_source(w.dataset, w.scale)),
        source=lambda w: as_line(PARAMS.datasets[PARAMS.data_source(w.dataset, w.scale).source]),
    shell:
        "dejavu prepare {wildcards.dataset} --scale {wildcards.scale} > {log} 2>&1"
