"""A study through SLURM, beside the same study without: ``make test-slurm``, as root on Debian.

Starts a cluster of one node on this machine, from Debian's packages (installed where they are
missing) and without systemd, and runs the smoke study there by ``profiles/slurm``. One training is
killed on the way: the study must say so, and the same command complete it. What comes out must be
that of a run without SLURM, byte for byte. All of it lies in a temporary folder and goes with it.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from outcomes import outcome

from helpers.engine.processes import guarded

PROJECT = Path(__file__).resolve().parent.parent
PROGRAMS = {"munged": "munge", "slurmctld": "slurm-wlm", "slurmd": "slurm-wlm"}  # and packages
PLACE = Path("/etc/slurm/slurm.conf")  # Snakemake's executor hides SLURM_CONF from its steps
WAIT = 4 * 3600  # seconds for a study, at most

CONFIG = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MinJobAge=3600
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory}
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def say(*words) -> None:
    print("test-slurm:", *words, flush=True)


def install() -> None:
    """Debian's packages, where they are missing."""
    os.environ["PATH"] += ":/usr/sbin"
    missing = sorted({package for name, package in PROGRAMS.items() if not shutil.which(name)})
    if os.geteuid():
        sys.exit("test-slurm: got a user other than root, takes root, to start SLURM's daemons")
    if missing and not shutil.which("apt-get"):
        sys.exit(f"test-slurm: got a system without apt-get, takes {', '.join(missing)} installed")
    if missing:
        for words in (["update", "-qq"], ["install", "-qq", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", *words], check=True, stdout=subprocess.DEVNULL,
                           env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """One node with all of this machine's cores, under SLURM until the block ends."""
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(host=socket.gethostname().partition(".")[0], folder=folder,
                                    cores=len(os.sched_getaffinity(0)), memory=memory * 9 // 10))
    munge = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid",
             "log-file": "munged.log", "seed-file": "munge.seed"}
    if os.path.lexists(PLACE):
        sys.exit(f"test-slurm: got a machine with {PLACE}, takes one without a SLURM of its own")
    PLACE.symlink_to(config)
    try:
        for command in (["munged", "--force", *(f"--{option}={folder / name}"
                                                for option, name in munge.items())],
                        ["slurmctld"], ["slurmd"]):
            subprocess.run(command, check=True)
        for _ in range(60):
            if "idle" in subprocess.run(["sinfo", "--noheader"], capture_output=True,
                                        text=True).stdout:
                break
            time.sleep(1)
        else:
            sys.exit("test-slurm: the node does not come up\n"
                     + "".join((folder / f"{name}.log").read_text()[-2000:]
                               for name in ("slurmctld", "slurmd")))
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        for name in ("slurmd", "slurmctld", "munged"):
            if (pid := folder / f"{name}.pid").exists():
                stop(int(pid.read_text()))
        PLACE.unlink()


def stop(daemon: int) -> None:
    """Ends a daemon, and waits until it writes into our folder no more."""
    with suppress(ProcessLookupError):
        os.kill(daemon, signal.SIGTERM)
        for _ in range(60):
            os.kill(daemon, 0)
            time.sleep(0.5)


@contextmanager
def study(scale: str, root: Path, *words: str) -> Iterator[subprocess.Popen]:
    """``helpers study`` with its runs in a folder; it ends with the block."""
    command = [sys.executable, "-m", "helpers", "study", "--scale", scale, "--root", str(root)]
    with guarded([*command, *words], cwd=PROJECT, stdout=subprocess.PIPE,
                 stderr=subprocess.STDOUT, text=True) as process:
        yield process


def kill_a_training(scale: str, root: Path, process: subprocess.Popen) -> str:
    """Cancels the first training that is under way; its name."""
    while process.poll() is None:
        for log in (root / scale / "logs").glob("training_*.log"):
            jobs = subprocess.run(["squeue", "--states=running", "--noheader", "--format=%i %k"],
                                  capture_output=True, text=True).stdout
            model = log.stem.removeprefix("training_")
            for line in jobs.splitlines():
                if re.search(rf"rule_training\w*_wildcards_{re.escape(model)}$", line.strip()):
                    subprocess.run(["scancel", line.split()[0]], check=True)
                    return model
        time.sleep(1)
    sys.exit(f"test-slurm: the study ended before a training\n{process.communicate()[0]}")


def main(scale: str) -> None:
    install()
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # munge wants to be sure of who may write there
        shutil.copytree(PROJECT / "profiles" / "slurm", folder / "profile")
        with open(folder / "profile" / "config.yaml", "a") as config:  # it has no database
            config.write("slurm-status-command: squeue\nslurm-no-account: true\n")
        with cluster(folder):
            say("the cluster is up; the study begins there")
            by_slurm = "--profile", str(folder / "profile")
            with study(scale, folder / "there", *by_slurm) as there:
                killed = kill_a_training(scale, folder / "there", there)
                say("killed training", killed)
                said = there.communicate(timeout=WAIT)[0]
            if there.returncode != 1 or f"step training {killed} failed" not in said:
                sys.exit(f"test-slurm: the study did not say that training {killed} failed\n{said}")
            with study(scale, folder / "there", *by_slurm) as again:
                said = again.communicate(timeout=WAIT)[0]
            if again.returncode:
                log = folder / "there" / scale / "logs" / "snakemake.log"
                sys.exit(f"test-slurm: the study failed\n{said}\n{log.read_text()[-4000:]}")
            say("completed by the same command; now without SLURM")
        with study(scale, folder / "here") as here:
            said = here.communicate(timeout=WAIT)[0]
        if here.returncode:
            sys.exit(f"test-slurm: the study without SLURM failed\n{said}")
        one, other = (outcome(folder / place / scale) for place in ("there", "here"))
        different = sorted(path for path in one.keys() | other.keys()
                           if one.get(path) != other.get(path))
        if different or len(one) < 10:
            sys.exit(f"test-slurm: of {len(one)} files these differ: {', '.join(different)}")
        say(f"{len(one)} files are the same, byte for byte")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("test-slurm: stopped"))  # and clean up
    main(*sys.argv[1:] or ["smoke"])
