"""What the daemons of a test cluster read."""

from __future__ import annotations

from pathlib import Path


def slurm_conf(
    base: Path,
    host: str,
    port: int,
    nodes: list[str],
    cpus: int,
    memory: int,
    gpus: int,
    accounting: bool,
) -> str:
    """slurm.conf of all daemons and commands; `memory` in MB and `cpus`, `gpus` of each node."""
    account = f"""AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port + 1}
AccountingStoragePass={base}/run/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5"""
    none = "AccountingStorageType=accounting_storage/none\nJobAcctGatherType=jobacct_gather/none"
    lines = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port + 10 + number} "
        f"CPUs={cpus} RealMemory={memory}{f' Gres=gpu:{gpus}' if gpus else ''} State=UNKNOWN"
        for number, node in enumerate(nodes)
    )
    # A job that is run again waits for cred_expire seconds, which is two minutes elsewhere.
    # A dead node is noticed after SlurmdTimeout, and a job that does not stop is killed after KillWait.
    # squeue shows what has ended for MinJobAge seconds, and Snakemake reads the states of jobs from it.
    return f"""ClusterName=dejavu
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={base}/run/munge.socket,cred_expire=10
CryptoType=crypto/munge
MpiDefault=none
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
{account if accounting else none}
ReturnToService=2
SlurmctldPort={port}
SlurmctldPidFile={base}/run/slurmctld.pid
SlurmdPidFile={base}/run/slurmd.%n.pid
SlurmctldLogFile={base}/log/slurmctld.log
SlurmdLogFile={base}/log/slurmd.%n.log
SlurmdSpoolDir={base}/spool/%n
StateSaveLocation={base}/state
MinJobAge=7200
SlurmdTimeout=15
KillWait=10
JobRequeue=1
InactiveLimit=0
Waittime=0
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1024
SlurmdParameters=config_overrides
GresTypes=gpu
{lines}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def gres_conf(base: Path, nodes: list[str], gpus: int) -> str:
    """gres.conf: which device nodes stand in for the graphics cards of each node."""
    return "".join(
        f"NodeName={node} Name=gpu File={base}/dev/{node}-gpu{number}\n"
        for node in nodes
        for number in range(gpus)
    )


def accounting_conf(base: Path, host: str, port: int, password: str) -> str:
    """slurmdbd.conf: where the accounting daemon listens, and its database."""
    return f"""AuthType=auth/munge
AuthInfo=socket={base}/run/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port + 1}
SlurmUser=root
LogFile={base}/log/slurmdbd.log
PidFile={base}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={port + 2}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"""
