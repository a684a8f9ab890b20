"""Keeps Snakemake polling its Slurm jobs when Slurm does not answer for a while.

The plugin drops all jobs from its list when it cannot read their states, for example while Slurm's controller
restarts. Snakemake then waits for ever.

Upstream: snakemake/snakemake-executor-plugin-slurm#207, open at plugin 2.8.0, the newest release in 2026-12:
`check_active_jobs` yields no job where `status_of_jobs` is None. Delete this file when pyproject.toml
requires a release in which that branch yields the jobs again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any


def keep_polling(executor: Any) -> None:
    """Make the plugin's executor poll again each job that its check neither reported nor yielded."""
    check = executor.check_active_jobs
    reported: set[int] = set()

    def recording(report: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(job: Any, *args: Any, **options: Any) -> Any:
            reported.add(id(job))
            return report(job, *args, **options)

        return recorded

    async def checked(jobs: Sequence[Any]) -> AsyncIterator[Any]:
        reported.clear()
        yielded = set()
        async for job in check(jobs):
            yielded.add(id(job))
            yield job
        for job in jobs:
            if id(job) not in reported | yielded:
                yield job

    executor.report_job_success = recording(executor.report_job_success)
    executor.report_job_error = recording(executor.report_job_error)
    executor.check_active_jobs = checked
