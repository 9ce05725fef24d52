"""The steps of a study, one function each; the notebooks call them, Snakemake runs those."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from helpers import evaluation
from helpers.corpus import Corpus, build, count_problems, overlap
from helpers.engine.files import atomic
from helpers.engine.progress import bar
from helpers.study.runs import Run
from helpers.study.scale import PROJECT, Scale
from helpers.training import Trainer, load_model

TABLES = ("headline", "comparisons", "coupling", "errors", "learning_curves")


def device() -> str:
    """``cuda`` where there is a GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def make_corpora(scale: Scale, run: Run) -> pd.DataFrame:
    """Builds and saves the training, validation and test sets.

    With ``indexed`` sampling no problem of the training set occurs in any other. The
    validation set is what is drawn behind the test set of its distribution.

    Returns:
        A row a corpus: sizes, how many drawn problems were left out because they occur in
        training, how many remain that do, mean tokens of each segment, and the share of all
        problems of its kind that training covers (empty where their number is not known).
        Written to ``corpus.csv`` too.
    """
    roles = [("train", "train", scale.trained_on),
             *((f"test_{name}", "test", name) for name in scale.distributions),
             ("validation", "validation", scale.trained_on)]
    made: dict[str, Corpus] = {}
    rows = []
    recipes = [scale.recipe(role, generator) for _, role, generator in roles]
    total = sum(recipe.skip + recipe.count for recipe in recipes)
    with run.step("corpus"), bar(total, "corpora", "maze") as progress:
        for (name, role, generator), recipe in zip(roles, recipes, strict=True):
            corpus = build(recipe, disjoint_from=(made["train"],) if made else (),
                           progress=progress.update)
            corpus.save(run.corpus(name))
            made[name] = corpus
            distinct = len(np.unique(made["train"].problems))
            possible = count_problems(generator, scale.rows, scale.cols)
            known = generator == scale.trained_on and np.isfinite(possible)
            rows.append([name, generator, len(corpus), len(np.unique(corpus.problems)),
                         corpus.removed, overlap(corpus, made["train"]) if role != "train" else 0,
                         *corpus.lengths().mean(0).round(1),
                         distinct / possible if known else np.nan])
        table = pd.DataFrame(rows, columns=[
            "corpus", "generator", "n", "distinct_problems", "removed", "also_in_training",
            "prompt_tokens", "trace_tokens", "plan_tokens", "share_of_problems_trained_on"])
        with atomic(run.file("corpus.csv"), "w") as file:
            table.to_csv(file, index=False)
    return table


def trainer(scale: Scale, run: Run, condition: str, seed: int) -> Trainer:
    """The training of one condition and seed, validated on held-out mazes as it goes."""
    validation = Corpus.load(run.corpus("validation"))

    def validate(model) -> dict:
        return evaluation.plan_validity(model, validation, condition,
                                        scale.decoding.max_new_tokens,
                                        scale.decoding.batch_size)

    return Trainer(Corpus.load(run.corpus("train")), condition, scale.transformer(),
                   scale.training, seed=seed, folder=run.training(condition, seed),
                   validate=validate, device=device())


def train(scale: Scale, run: Run, condition: str, seed: int) -> pd.DataFrame:
    """Trains to the end, from the last checkpoint on where there is one.

    Returns:
        The lines of ``metrics.jsonl``.
    """
    training = trainer(scale, run, condition, seed)
    training.run()
    run.record(f"training_{condition}_{seed}", training.seconds)  # those before a kill included
    return pd.DataFrame(metrics(run, condition, seed))


def metrics(run: Run, condition: str, seed: int) -> list[dict]:
    """What a training logged, a dict a line."""
    lines = (run.training(condition, seed) / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in lines.splitlines()]


def evaluate(scale: Scale, run: Run, condition: str, seed: int) -> pd.DataFrame:
    """Lets a trained model answer every test maze and judges the answers.

    Writes ``rows.csv`` (a row a response) and the responses of each distribution as
    JSONL, which ``python -m helpers validate`` reads.
    """
    tables = []
    with run.step(f"evaluation_{condition}_{seed}"):
        corpora = {name: Corpus.load(run.corpus(f"test_{name}")) for name in scale.distributions}
        model = load_model(run.model(condition, seed), next(iter(corpora.values())), device())
        for distribution, corpus in corpora.items():
            responses = evaluation.respond(
                model, corpus, condition, max_new_tokens=scale.decoding.max_new_tokens,
                batch_size=scale.decoding.batch_size,
                title=f"evaluation {condition} {seed} {distribution}")
            rows = evaluation.judge(corpus, condition, responses)
            tables.append(rows.assign(condition=condition, seed=seed, distribution=distribution))
            path = run.evaluation(condition, seed, f"responses_{distribution}.jsonl")
            with atomic(path, "w") as file:
                for text in evaluation.texts(corpus, condition, responses):
                    file.write(json.dumps({"text": text}, separators=(",", ":")) + "\n")
        rows = pd.concat(tables, ignore_index=True)
        rows = rows[[*evaluation.CELL, *rows.columns.drop(evaluation.CELL)]]
        with atomic(run.evaluation(condition, seed, "rows.csv"), "w") as file:
            rows.to_csv(file, index=False)
    return rows


def all_rows(scale: Scale, run: Run) -> pd.DataFrame:
    """The judged responses of every trained model of a run."""
    for condition in scale.conditions:
        for seed in scale.seeds:
            run.require("06_evaluation", run.evaluation(condition, seed, "rows.csv"))
    parts = [pd.read_csv(run.evaluation(condition, seed, "rows.csv"),
                         dtype=dict.fromkeys(("trace_valid", "trace_strict", "trace_exact"),
                                             "boolean"))
             for condition in scale.conditions for seed in scale.seeds]
    return pd.concat(parts, ignore_index=True)


def analyse(scale: Scale, run: Run) -> dict[str, pd.DataFrame]:
    """Makes the tables of a run from its rows and metrics and writes each as CSV."""
    rows = all_rows(scale, run)
    curves = evaluation.learning_curves({(condition, seed): metrics(run, condition, seed)
                                         for condition in scale.conditions
                                         for seed in scale.seeds})
    made = (evaluation.headline(rows), evaluation.comparisons(rows), evaluation.coupling(rows),
            evaluation.errors(rows), curves)
    tables = dict(zip(TABLES, made, strict=True))
    for name, table in tables.items():
        with atomic(run.file(f"{name}.csv"), "w") as file:
            table.to_csv(file, index=False)
    with atomic(run.file("run.json"), "w") as file:
        json.dump(run.describe(scale), file, indent=1)
    return tables


def tables(scale: Scale, root: str) -> tuple[dict[str, pd.DataFrame], Path]:
    """The tables of a run in ``root``, made anew; where that is empty, as they were written.

    Those are the published ones, or where none are, those of the project's own runs.

    Returns:
        The tables by name, and the folder they are from.
    """
    if root:
        run = Run.of(scale, root)
        return analyse(scale, run), run.folder
    folders = [PROJECT / place / scale.name for place in ("results", "runs")]
    for folder in folders:
        if all((folder / f"{name}.csv").exists() for name in TABLES):
            return {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}, folder
    raise FileNotFoundError(f"no tables of scale {scale.name} in {folders[0]} or {folders[1]}: "
                            f"run `make study SCALE={scale.name}` first")


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Writes a figure of a run as SVG; published ones stay."""
    if folder.parent != PROJECT / "results":
        write_svg(figure, folder / f"{name}.svg")


def write_svg(figure: Figure, path: Path) -> None:
    """Writes a figure, the same bytes for the same figure."""
    with rc_context({"svg.hashsalt": path.stem}), atomic(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
