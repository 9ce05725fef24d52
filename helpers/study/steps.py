"""The steps of a study, one function each; the notebooks call them, Snakemake runs those.

A step makes what is missing or stale and leaves alone what is current: called twice, it does
nothing the second time. Called by several processes that have joined (`engine.together`), they
train and answer together, and the first writes.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from helpers import evaluation
from helpers.batches import Batches
from helpers.checkpoints import CheckpointError, load_model, read_checkpoint
from helpers.conditions import CONDITIONS, put_together
from helpers.curriculum import StagedTrainer
from helpers.engine import together
from helpers.engine.files import PROJECT, SUMS, atomic, exclusive, sha256, spoilt
from helpers.engine.progress import bar
from helpers.layouts import GAPS, PROMPTS
from helpers.show.looks import write_png, write_svg
from helpers.show.report import write_report
from helpers.study.asking import answer, judged
from helpers.study.corpora import corpus
from helpers.study.products import StaleError
from helpers.study.runs import Run, circumstances, device, making, write_csv
from helpers.study.scale import ScaleError
from helpers.study.seen import corpus_table
from helpers.study.specs import EvaluationSpec, Experiment, ModelSpec
from helpers.study.tuning import going_on
from helpers.training import Trainer

# ── corpora ─────────────────────────────────────────────────────────────────────────────


def make_corpora(run: Run, experiment: Experiment) -> pd.DataFrame:
    """Builds and saves the training, validation and test sets that an experiment needs.

    Returns:
        `seen.corpus_table` of all of them.
    """
    todo = [one for one in run.corpora(experiment) if not run.store.status(one).usable]
    with bar(sum(_drawn(one.settings) for one in todo), "corpora", "maze") as progress:
        for product in todo:
            corpus(run, product, progress.update)
    return corpus_table([run.load(product) for product in run.corpora(experiment)])


def _drawn(settings: dict) -> int:
    return settings["count"] + (settings["skip"] if settings["sampling"] == "paper" else 0)


# ── models ──────────────────────────────────────────────────────────────────────────────


def trainer(run: Run, spec: ModelSpec, folder: Path) -> Trainer:
    """The training of one model, in a folder.

    Raises:
        ScaleError: its settings and its mazes do not go together.
        StaleError, CheckpointError: a model that it goes on from is not there, or damaged.
    """
    scale = run.scale_of(spec)
    try:
        if spec.tuned:
            return going_on(scale, spec, corpus(run, run.corpus("train", scale=scale)),
                            run.parameters(spec), lambda one: run.store.use(run.model(one)),
                            folder, device())
        batches, recipe = examples_of(run, spec)
        about = {"condition": spec.condition, "parameters": run.parameters(spec), "corpus": recipe,
                 **scale.unusual()}
        if hasattr(batches, "room"):  # how much a model fills in
            about["room"] = batches.room
        made = {"seed": spec.seed, "folder": folder, "follows_from": about, "device": device(),
                "title": f"training {spec.name}", "objective": scale.learning.learns}
        if spec.staged:
            path = run.store.use(run.model(spec.before))
            about |= {"before": sha256(path), "stages": batches.stages}
            start = load_model(path, context=scale.transformer().context)
            return StagedTrainer(start, batches, scale.training, **made)
        return Trainer(batches, scale.transformer(), scale.training, **made)
    except CheckpointError:
        raise
    except ValueError as error:  # examples longer than the context, mazes that nothing draws, …
        raise ScaleError(f"model: got {spec.name!r}: {error}") from error


def examples_of(run: Run, spec: ModelSpec) -> tuple[Batches, dict]:
    """What a model learns from, batch by batch; and which corpus that is from."""
    scale = run.scale_of(spec)
    examples = corpus(run, run.corpus("train", scale=scale))
    together = put_together(examples, CONDITIONS[spec.condition], spec.seed,
                            **run.parameters(spec))
    training = scale.training
    batches = scale.learning.batches(together, training.batch_size, training.epochs, spec.seed,
                                     gap=GAPS[training.gap], prompts=PROMPTS[training.prompts],
                                     **scale.staged())
    return batches, {**examples.recipe.__dict__, "sha256": examples.sha256}


def train(run: Run, spec: ModelSpec) -> pd.DataFrame:
    """Trains to the end, from the last checkpoint on where there is one.

    A model that is there stays until another is complete: trainings work in a folder of their
    own, named after what the model follows from.

    Returns:
        The lines of ``metrics.jsonl``.

    Raises:
        StaleError: another process trains the same model.
    """
    product = run.model(spec)
    final = run.file(product.files[0]).parent
    work, status = final / f"work-{product.fingerprint}", run.store.status(product)
    if status.usable:
        if status.state == "current":  # whoever made it may have been stopped just before this
            shutil.rmtree(work, ignore_errors=True)
        return metrics(run, spec)
    if together.rank():
        trainer(run, spec, work).run()
        together.wait()  # for the first to put all in its place
        return metrics(run, spec)
    with _alone(final / "lock", f"training {spec.name}"):
        training = trainer(run, spec, work)
        training.run()
        with making(run, product, training_seconds=round(training.seconds, 1),
                     **training.circumstances()):
            _settle(work, final)
        for other in final.glob("work-*"):
            shutil.rmtree(other)
    together.wait()
    return metrics(run, spec)


def _settle(work: Path, final: Path) -> None:
    """Puts what a training has made in its place; all of it stays in ``work`` too.

    Whoever is stopped in between finds the training complete there, and does this again.
    """
    shutil.rmtree(final / "snapshots", ignore_errors=True)
    for path in (*work.rglob("*.safetensors"), work / "metrics.jsonl"):
        place = final / path.relative_to(work)
        place.parent.mkdir(exist_ok=True)
        place.unlink(missing_ok=True)
        try:
            os.link(path, place)
        except OSError:  # a disk without links
            with atomic(place) as temporary:
                shutil.copyfile(path, temporary)


@contextmanager
def _alone(path: Path, what: str) -> Iterator[None]:
    """Lets no other process do the same; the lock goes with its process, however that ends."""
    try:
        with exclusive(path, wait=False):
            yield
    except BlockingIOError:
        raise StaleError(f"{what}: another process does it already ({path})") from None


def metrics(run: Run, spec: ModelSpec) -> pd.DataFrame:
    """What a training logged, a row a line."""
    path = run.store.use(run.model(spec)).with_name("metrics.jsonl")
    return pd.DataFrame(map(json.loads, path.read_text(encoding="utf-8").splitlines()))


def follow(run: Run, spec: ModelSpec) -> pd.DataFrame:
    """The learning curve: what the model could do at points of its training.

    Returns:
        A row a snapshot, see `evaluation.curve_point`.
    """
    product = run.curve(spec)
    path = run.file(*product.files)
    if not run.store.status(product).usable:
        scale = run.scale_of(spec)
        model = run.store.use(run.model(spec))
        mazes = corpus(run, run.corpus("validation", scale=scale))
        points = [*sorted(model.with_name("snapshots").glob("*.safetensors")), model]
        rows, logged, writes = [], metrics(run, spec), together.rank() == 0
        with bar(len(points), f"curve {spec.name}", "point", shown=writes) as progress, (
                making(run, product) if writes else nullcontext()):
            for point in points:
                answered, _ = judged(run, spec, mazes, point, {}, device())
                counters = read_checkpoint(point)[0]["counters"]
                spent = logged.loc[logged["step"] <= counters["step"], "seconds"].iloc[-1]
                rows.append(evaluation.curve_point(answered, counters | {"seconds": spent}))
                progress.update()
            if writes:
                write_csv(pd.DataFrame(rows), path)
        together.wait()
    return pd.read_csv(path)


# ── answers ─────────────────────────────────────────────────────────────────────────────


def evaluate(run: Run, specs: Iterable[EvaluationSpec]) -> pd.DataFrame:
    """Lets trained models answer test mazes and judges the answers.

    Writes for each a CSV (a row a response) and the responses as JSONL, which
    ``python -m helpers validate`` reads.

    Returns:
        All rows, one below the other.
    """
    specs = list(specs)
    for spec in specs:
        answer(run, spec)
    return all_rows(run, specs)


def all_rows(run: Run, specs: Iterable[EvaluationSpec]) -> pd.DataFrame:
    """The judged responses, with the model, its variation and the distribution in front."""
    parts = []
    for spec in specs:
        part = pd.read_csv(run.store.use(run.answers(spec)),
                           dtype=dict.fromkeys(evaluation.OF_TRACES, "boolean"))
        model = spec.model
        for place, (name, value) in enumerate((
                ("condition", model.condition), ("seed", model.seed),
                ("distribution", spec.distribution), ("variation", model.variation_text))):
            part.insert(place, name, value)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def all_curves(run: Run, models: Iterable[ModelSpec]) -> pd.DataFrame:
    """The learning curves of models, with condition, seed and variation in front."""
    parts = []
    for model in models:
        part = pd.read_csv(run.store.use(run.curve(model)))
        for place, (name, value) in enumerate((
                ("condition", model.condition), ("seed", model.seed),
                ("variation", model.variation_text))):
            part.insert(place, name, value)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, experiment: Experiment) -> dict[str, pd.DataFrame]:
    """Makes the tables of an experiment and writes each as CSV, and ``run.json``."""
    made = experiment.analyse(run, run.evaluations(experiment))
    made["corpus"] = corpus_table([run.load(product) for product in run.corpora(experiment)])
    with making(run, run.tables(experiment)):
        for name, table in made.items():
            write_csv(table, run.file(experiment.folder, f"{name}.csv"))
        with atomic(run.file(experiment.folder, "run.json"), "w") as file:
            json.dump(describe(run, experiment), file, indent=1)
    return made


def describe(run: Run, experiment: Experiment) -> dict:
    """What ``run.json`` says: scale, products with their fingerprints and seconds, machine."""
    about = {"experiment": experiment.notebook, "scale": run.scale.model_dump(), **circumstances()}
    products, kept, seconds = {}, {}, {}
    for product in run.products(experiment)[:-1]:  # the last are these tables
        record, status = run.store.record(product), run.store.status(product)
        products[product.name] = record["fingerprint"]
        seconds[product.name] = record.get("training_seconds", record["seconds"])
        if status.state == "kept":
            kept[product.name] = status.why
    return about | {"seconds": seconds, "products": products, "kept": kept}


def tables(scale, experiment: Experiment, root: str) -> tuple[dict[str, pd.DataFrame], Path]:
    """The tables of a run, made anew from ``root``, or as published where that is empty.

    Returns:
        The tables by name, and the folder they are from.

    Raises:
        StaleError: nothing is published of this experiment at this scale, or its bytes have
            changed since.
    """
    if root:
        run = Run(scale, root)
        return analyse(run, experiment), run.file(experiment.folder, "run.json").parent
    folder = PROJECT / "results" / scale.name / experiment.folder
    names = sorted(path.stem for path in folder.glob("*.csv"))
    if not names:
        raise StaleError(f"results/{scale.name}/{experiment.folder}: nothing is published there; "
                         "run the study and set root = \"runs\"")
    if found := spoilt(folder):
        raise StaleError(f"{folder / found[0]}: is not what was published, its checksum in {SUMS} "
                         "does not match")
    return {name: pd.read_csv(folder / f"{name}.csv", keep_default_na=True) for name in names
            }, folder


def report(run: Run, experiment: Experiment) -> Path:
    """Writes the page of an experiment from the executed copy of its notebook."""
    product = run.report(experiment)
    path = run.file(product.files[0])
    about = json.loads(run.store.use(run.tables(experiment)).read_text(encoding="utf-8"))
    with making(run, product):
        write_report(run.folder / "notebooks" / f"{experiment.notebook}.ipynb", path, about)
    return path


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Writes a figure of a run as SVG and, for slides, as PNG; published ones stay."""
    if PROJECT / "results" not in folder.parents:
        write_svg(figure, folder / f"{name}.svg")
        write_png(figure, folder / f"{name}.png")
