# What a job requests from a cluster. On one machine Snakemake counts cores only, and none of this has an effect.
#
# In:  slurm/resources.csv (what each row takes, by `dejavu plan --resources`), slurm/cluster.yaml (what is allowed)
from dejavu.planning import resources

try:
    RESOURCES = resources.read()
except DejavuError as error:
    sys.exit(f"snakemake: {error}")


def request(stage, resource):
    """A function that Snakemake calls for a job's `resource`, such as mem_mb; a second attempt gets more memory."""

    def of_job(wildcards, attempt):
        if stage == "prepare":
            job = RESOURCES.prepare(wildcards.dataset, wildcards.scale)
        else:
            job = getattr(RESOURCES, stage)(PARAMS.run(wildcards.experiment, wildcards.scale))
        value = getattr(job, resource)
        return min(value * attempt, RESOURCES.cluster.max_mem_mb) if resource == "mem_mb" else value

    return of_job


def group_of(scale):
    """The group whose jobs a cluster runs as one: a row's training and the evaluation that publishes its metrics.

    Each scale has its own group, so that a profile can put the rows of a small scale into one job.
    """
    return f"rows_{scale.name}"
