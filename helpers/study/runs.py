"""Where the files of a run lie, and what is recorded about it."""

import importlib.metadata
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from helpers.engine.files import atomic
from helpers.study.scale import Scale
from helpers.training import has_bfloat16

PACKAGES = ("torch", "numpy", "numba", "scipy", "statsmodels", "pandas", "safetensors",
            "papermill", "snakemake")
PUBLISHED = ("headline.csv", "comparisons.csv", "coupling.csv", "errors.csv", "corpus.csv",
             "learning_curves.csv", "headline.svg", "learning_curves.svg", "run.json")


@dataclass(frozen=True)
class Run:
    """The folder ``<root>/<scale>`` of one run."""

    folder: Path

    @classmethod
    def of(cls, scale: Scale, root: str | Path = "../runs") -> "Run":
        folder = Path(root, scale.name).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    def corpus(self, name: str) -> Path:
        """A corpus: ``train``, ``validation`` or ``test_<distribution>``."""
        return self.file("corpus", f"{name}.safetensors")

    def training(self, condition: str, seed: int) -> Path:
        """The folder of one training run."""
        return self.folder / "training" / f"{condition}_{seed}"

    def model(self, condition: str, seed: int) -> Path:
        """The trained weights."""
        return self.training(condition, seed) / "model.safetensors"

    def evaluation(self, condition: str, seed: int, name: str) -> Path:
        """A file of one trained model's evaluation."""
        return self.file("evaluation", f"{condition}_{seed}", name)

    def file(self, *parts: str) -> Path:
        """A file of the run, such as ``headline.csv``; the folder it is in is made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times a step; what fails is not recorded."""
        began = time.perf_counter()
        yield
        self.record(name, time.perf_counter() - began)

    def record(self, name: str, seconds: float) -> None:
        """Notes how long a step has taken."""
        with atomic(self.file("steps", f"{name}.json"), "w") as file:
            json.dump({"seconds": round(seconds, 1)}, file)

    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of each step that has ended."""
        return {path.stem: json.loads(path.read_text())["seconds"]
                for path in sorted((self.folder / "steps").glob("*.json"))}

    def describe(self, scale: Scale) -> dict:
        """What ``run.json`` says: scale, machine, versions, durations."""
        return {"scale": scale.model_dump(), "machine": machine(), "packages": packages(),
                "seconds": self.seconds()}


def machine() -> dict:
    """Processor, cores, memory and accelerator of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"system": f"{platform.system()} {platform.machine()}",
            "processor": processor(), "cores": cores(), "memory_gib": round(memory / 2**30, 1),
            "bfloat16": has_bfloat16(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "python": platform.python_version()}


def processor() -> str:
    """The processor's name as its maker has it; only Linux's own list knows it."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if found := re.search(r"^model name\s*: *(.*)$", text, re.MULTILINE):
            return found[1]
    return platform.processor()


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def packages() -> dict[str, str]:
    """Versions of the packages the numbers depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}
