"""Snakemake forgets no Slurm job, whatever its plugin's check leaves out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from snakemake_executor_plugin_slurm import Executor

from dejavu.engines.slurm_polling import keep_polling


class Plugin:
    """An executor of four jobs; where Slurm is silent its check does as the plugin's does."""

    def __init__(self) -> None:
        self.silent, self.told = False, list[tuple[str, str]]()

    def report_job_success(self, job: str) -> None:
        self.told.append(("success", job))

    def report_job_error(self, job: str, msg: str = "") -> None:
        self.told.append((msg, job))

    async def check_active_jobs(self, jobs: list[str]) -> AsyncIterator[str]:
        if self.silent:
            return
        for job in jobs:
            if job == "ends":
                self.report_job_success(job)
            elif job == "fails":
                self.report_job_error(job, msg="failed")
            elif job == "runs":
                yield job


def check(plugin: Plugin, jobs: list[str]) -> list[str]:
    async def collect() -> list[str]:
        return [job async for job in plugin.check_active_jobs(jobs)]

    return asyncio.run(collect())


def test_a_job_is_reported_or_asked_about_again() -> None:
    jobs = ["ends", "fails", "is forgotten", "runs"]
    plugin = Plugin()
    keep_polling(plugin)
    plugin.silent = True
    assert check(plugin, jobs) == jobs and plugin.told == []
    plugin.silent = False
    assert check(plugin, jobs) == ["runs", "is forgotten"]
    assert plugin.told == [("success", "ends"), ("failed", "fails")]


def test_the_plugin_has_what_is_replaced() -> None:
    assert {"check_active_jobs", "report_job_success", "report_job_error"} <= set(dir(Executor))
