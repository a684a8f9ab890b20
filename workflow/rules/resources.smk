# Resource requests of cluster jobs. On one machine Snakemake counts only cores, and the requests have no effect.
#
# In:  slurm/resources.csv (needs of each row, by `dejavu plan --resources`), slurm/cluster.yaml (limits)
from dejavu.planning import resources

try:
    RESOURCES = resources.read()
except DejavuError as error:
    sys.exit(f"snakemake: {error}")


def request(stage, resource):
    """Return a function that Snakemake calls for `resource`, such as mem_mb; a second attempt gets more memory."""

    def of_job(wildcards, attempt):
        if stage == "prepare":
            job = RESOURCES.prepare(wildcards.dataset, wildcards.scale)
        else:
            job = getattr(RESOURCES, stage)(PARAMS.run(wildcards.experiment, wildcards.scale))
        value = getattr(job, resource)
        return min(value * attempt, RESOURCES.cluster.max_mem_mb) if resource == "mem_mb" else value

    return of_job


def group_of(scale):
    """Return the group whose jobs a cluster runs as one: a row's training and its evaluation.

    Each scale has its own group, so that a profile can put the rows of a small scale into one job.
    """
    return f"rows_{scale.name}"
