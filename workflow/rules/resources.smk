# What a job asks a cluster for. On one machine Snakemake counts cores alone, and none of this changes anything.
#
# In:  slurm/resources.json (what each row takes, by `dejavu plan --resources`), slurm/cluster.yaml (what is allowed)
from dejavu.planning import resources

try:
    BOOK = resources.read()
except DejavuError as error:
    sys.exit(f"snakemake: {error}")


def asks(stage, resource):
    """A function that Snakemake calls for a job's `resource`, such as mem_mb; a second attempt has more memory."""

    def of_job(wildcards, attempt):
        if stage == "prepare":
            job = BOOK.prepare(wildcards.dataset, wildcards.scale)
        else:
            job = getattr(BOOK, stage)(PARAMS.run(wildcards.experiment, wildcards.scale))
        value = getattr(job, resource)
        return min(value * attempt, BOOK.cluster.max_mem_mb) if resource == "mem_mb" else value

    return of_job


def group_of(scale):
    """The group whose jobs a cluster runs as one: a row's training and the evaluation that publishes its metrics.

    A scale's rows have a group of their own, so that a profile can put several of a small one into a job.
    """
    return f"rows_{scale.name}"
