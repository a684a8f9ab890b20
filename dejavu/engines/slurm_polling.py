"""Snakemake goes on waiting for its Slurm jobs when Slurm does not answer for a while.

Its plugin (2.8) drops all jobs from its list where their states cannot be had, as while the controller is
started anew: Snakemake would then wait for ever for jobs that nobody asks about any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any


def keep_asking(executor: Any) -> None:
    """Let the plugin's executor ask again about each job that its check neither reported nor gave back."""
    check = executor.check_active_jobs
    reported: set[int] = set()

    def noting(report: Callable[..., Any]) -> Callable[..., Any]:
        def noted(job: Any, *args: Any, **options: Any) -> Any:
            reported.add(id(job))
            return report(job, *args, **options)

        return noted

    async def checked(jobs: Sequence[Any]) -> AsyncIterator[Any]:
        reported.clear()
        given_back = set()
        async for job in check(jobs):
            given_back.add(id(job))
            yield job
        for job in jobs:
            if id(job) not in reported | given_back:
                yield job

    executor.report_job_success = noting(executor.report_job_success)
    executor.report_job_error = noting(executor.report_job_error)
    executor.check_active_jobs = checked
