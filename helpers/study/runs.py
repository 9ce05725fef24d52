"""The folder of a run: which products a scale makes there, and what is recorded about it."""

import hashlib
import importlib.metadata
import inspect
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import pandas as pd
import psutil
import torch

from helpers.architectures import architecture
from helpers.asking import ASKING
from helpers.checkpoints import load_model
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Corpus, write
from helpers.curriculum import StagedTrainer
from helpers.engine.files import PROJECT, atomic, sha256
from helpers.engine.precision import has_bfloat16
from helpers.evaluation import curve_point, judge
from helpers.generators import GENERATORS
from helpers.layouts import GAPS, PROMPTS
from helpers.responses import right_plans, texts, written_traces
from helpers.show import charts, curves, fits, probing, sentences, spectra, tracecharts, trends
from helpers.show.report import write_report
from helpers.study import tuning
from helpers.study.products import Product, Store
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, ModelSpec, with_further_seeds
from helpers.training import Trainer

PACKAGES = ("torch", "numpy", "numba", "scipy", "statsmodels", "pandas", "safetensors",
            "papermill", "snakemake")
# what a report shows is made by those of these that its notebook names
FIGURES = (charts, curves, fits, probing, sentences, spectra, tracecharts, trends)
# which repository git's own hooks are of: it may be another
OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
KEEP = "STUDY_KEEP"  # environment variable: products of other settings or code are used as they are


class Run:
    """The folder ``<root>/<scale>`` and the products that belong there.

    Args:
        scale: what is run.
        root: the folder of all runs, as it is or in the project's folder.
    """

    def __init__(self, scale: Scale, root: str | Path = "runs"):
        self.scale = scale
        self.folder = (PROJECT / root / scale.name).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._varied: dict[tuple, Scale] = {}  # checking a scale takes a while
        self.store = Store(self.folder, keep=os.environ.get(KEEP) == "1")
        one_thread()

    def file(self, *parts: str) -> Path:
        """A file of the run, such as ``headline.csv``; the folder it is in is made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    # ── products ──

    def scale_of(self, model: ModelSpec) -> Scale:
        """The scale with a model's variation; parameters of its condition are no part of it."""
        known = CONDITIONS[model.condition].parameters
        variation = tuple((name, value) for name, value in model.variation if name not in known)
        if variation not in self._varied:
            self._varied[variation] = self.scale.varied(variation)
        return self._varied[variation]

    def corpus(self, role: str, generator: str | None = None, scale: Scale | None = None
               ) -> Product:
        """A corpus: ``train``, ``validation`` or ``test``, of the training distribution or another.

        Args:
            scale: the run's own if None.
        """
        recipe = (scale or self.scale).recipe(role, generator)
        settings, starts = asdict(recipe), [write]
        if generator := GENERATORS.get(recipe.generator):
            usual = {name: one.default for name, one in generator.parameters.items()}
            starts.append(given(generator.kernel, **usual))
        else:
            settings["file"] = sha256(PROJECT / recipe.generator)
        return Product(f"corpus {recipe.name}", (f"corpus/{recipe.name}.safetensors",), settings,
                       tuple(starts), "04_corpus")

    def model(self, spec: ModelSpec) -> Product:
        """The trained weights of a model."""
        scale, condition = self.scale_of(spec), CONDITIONS[spec.condition]
        if spec.tuned:
            return tuning.product(scale, spec, self.model, self.corpus("train", scale=scale),
                                  self.parameters(spec))
        shape = scale.transformer().shape()
        settings = {"condition": spec.condition, "seed": spec.seed,
                    "parameters": self.parameters(spec), "model": shape,
                    "training": scale.training.effective(), **scale.unusual()}
        learning = scale.learning
        trained = (load_model, StagedTrainer) if spec.staged else (Trainer,)
        return Product(f"model {spec.name}",
                       (f"models/{spec.name}/model.safetensors",
                        f"models/{spec.name}/metrics.jsonl"),
                       settings, (*trained, *architecture(shape), learning.batches,
                                  learning.learns, put_together,
                                  condition.traces, GAPS[scale.training.gap],
                                  PROMPTS[scale.training.prompts]),
                       "05_training", (*([self.model(spec.before)] if spec.staged else []),
                                       self.corpus("train", scale=scale)))

    def curve(self, spec: ModelSpec) -> Product:
        """What a model could do at points of its training, on the validation mazes."""
        scale = self.scale_of(spec)
        return Product(f"curve {spec.name}", (f"models/{spec.name}/curve.csv",),
                       {"max_new_tokens": scale.decoding.max_new_tokens},
                       (load_model, scale.learning.respond, judge, curve_point), "05_training",
                       (self.model(spec), self.corpus("validation", scale=scale)))

    def answers(self, spec: EvaluationSpec) -> Product:
        """A model's answers to the test mazes of a distribution, judged."""
        scale, asked = self.scale_of(spec.model), dict(spec.answering)
        asking = [ASKING[asked[name]] for name in ("gap", "given", "latents")
                  if asked.get(name) in ASKING]
        asking += [right_plans] * ("given" in asked)
        source = [spec.source] if spec.source else []
        asking += [written_traces for _ in source]
        folder, _, name = f"evaluation/{spec.name}".rpartition("/")
        return Product(f"answers {spec.name}",
                       (f"{folder}/rows_{name}.csv", f"{folder}/responses_{name}.jsonl"),
                       {"max_new_tokens": scale.decoding.max_new_tokens, **asked},
                       (load_model, scale.learning.respond, judge, texts, *asking),
                       "06_evaluation", (
                           self.model(spec.model), self.corpus("test", spec.distribution, scale),
                           *map(self.answers, source)))

    def evaluations(self, experiment: Experiment) -> list[EvaluationSpec]:
        """What an experiment's tables show: its own, and of what it gathers, and of what it would
        ask of further seeds, that which is there."""
        own = experiment.evaluations(self.scale)
        scales = self.scale, with_further_seeds(self.scale)
        others = dict.fromkeys(one for scale in scales for part in (
            experiment.evaluations, experiment.gathers) for one in part(scale))
        for one in own:
            others.pop(one, None)
        return own + [one for one in others if all(
            self.store.status(product).usable
            for product in (self.answers(one), self.curve(one.model)))]

    def tables(self, experiment: Experiment) -> Product:
        """The tables of an experiment."""
        evaluations = self.evaluations(experiment)
        curves = [self.curve(model) for model in dict.fromkeys(one.model for one in evaluations)]
        names = ("run.json", *(f"{name}.csv" for name in (*experiment.tables, "corpus")))
        return Product(f"tables {experiment.notebook}",
                       tuple(str(Path(experiment.folder, name)) for name in names),
                       {"evaluations": [one.name for one in evaluations]}, (experiment.analyse,),
                       experiment.notebook, (*map(self.answers, evaluations), *curves),
                       costly=False)

    def report(self, experiment: Experiment) -> Product:
        """The figures of an experiment, and its notebook as a page."""
        names = ("report.html", *experiment.drawn)
        source = (PROJECT / "notebooks" / f"{experiment.notebook}.ipynb").read_text("utf-8")
        cells = ["".join(cell["source"]) for cell in json.loads(source)["cells"]]
        return Product(f"report {experiment.notebook}",
                       tuple(str(Path(experiment.folder, name)) for name in names),
                       {"notebook": hashlib.sha256(repr(cells).encode()).hexdigest()[:16]},
                       (write_report, *(function for module in FIGURES
                                        if module.__name__.rpartition(".")[2] in source
                                        for function in functions_of(module))),
                       experiment.notebook, (self.tables(experiment),), costly=False)

    def corpora(self, experiment: Experiment) -> list[Product]:
        """The data sets of an experiment, training sets first."""
        found = [one for one in self.products(experiment) if one.starts[0] is write]
        return sorted(found, key=lambda one: one.settings["split"] != "train")

    def products(self, experiment: Experiment) -> list[Product]:
        """All that an experiment needs, each once, what is needed first first."""
        found: dict[str, Product] = {}

        def add(product: Product) -> None:
            for one in product.inputs:
                add(one)
            found.setdefault(product.name, product)

        add(self.tables(experiment))
        return list(found.values())

    def parameters(self, spec: ModelSpec) -> dict:
        """The parameters of a model's condition: as its variation has them, else their defaults."""
        condition = CONDITIONS[spec.condition]
        return condition.settings({name: value for name, value in spec.variation
                                   if name in condition.parameters})

    def load(self, product: Product) -> Corpus:
        """Reads a corpus, checked to be what the present settings make.

        Raises:
            StaleError: it is not.
        """
        return Corpus.load(self.store.use(product))


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes a table of a run, whole or not at all."""
    with atomic(path, "w") as file:
        table.to_csv(file, index=False)


def functions_of(module: ModuleType) -> list:
    """The functions that a module holds itself."""
    return [one for one in vars(module).values()
            if inspect.isfunction(one) and one.__module__ == module.__name__]


@cache
def given(function: Callable, **values) -> partial:
    """A function with arguments given beforehand, the same object for the same."""
    return partial(function, **values)


# ── what is recorded ────────────────────────────────────────────────────────────────────


@contextmanager
def making(run: Run, product: Product, **about) -> Iterator[None]:
    """Makes a product of a run within this block, and notes how; see `Store.making`."""
    with run.store.making(product, **about, **circumstances()):
        yield


def circumstances() -> dict:
    """When, on what machine and with which state of the code something is made."""
    return {"date": time.strftime("%Y-%m-%d"), **revision(), "machine": machine(),
            "packages": packages()}


def revision() -> dict:
    """The commit of this checkout, and whether files differ from it; None where git knows none.

    A copy that another checkout holds, and does not track, has none.
    """
    environment = {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}

    def git(*words: str) -> str | None:
        try:
            found = subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True,
                                   text=True, check=True, env=environment)
        except (OSError, subprocess.CalledProcessError):
            return None
        return found.stdout.strip()

    if not git("ls-files", "README.md"):
        return {"commit": None, "dirty": None}
    changed = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def machine() -> dict:
    """Processor, cores, memory and accelerator of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"system": f"{platform.system()} {platform.machine()}",
            "processor": processor(), "cores": cores(), "memory_gib": round(memory / 2**30, 1),
            "bfloat16": has_bfloat16(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "python": platform.python_version()}


def one_thread() -> None:
    """Has PyTorch compute on one thread, as in the steps of a study, unless OMP_NUM_THREADS is set.

    How sums are rounded follows from how many there are: on some processors a model trained in a
    notebook would otherwise be another than the study's.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def device() -> str:
    """``cuda`` where there is a GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def processor() -> str:
    """The processor's name as its maker has it; only Linux's own list knows it."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if found := re.search(r"^model name\s*: *(.*)$", text, re.MULTILINE):
            return found[1]
    return platform.processor()


def cores() -> int:
    """How many processor cores this process may use."""
    return len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else (
        os.cpu_count() or 1)


@cache
def packages() -> dict[str, str]:
    """Versions of the packages the numbers depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}
