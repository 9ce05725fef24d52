"""A trained model's answers to a corpus: how it is asked, what it writes, verdicts on that.

Several processes that have joined (`engine.together`) each answer a share of the corpus.
"""

import json
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from helpers import evaluation
from helpers.asking import ASKING
from helpers.checkpoints import load_model, read_checkpoint
from helpers.continuous import Feedback
from helpers.corpus import Corpus
from helpers.curriculum import latents_of
from helpers.engine import together
from helpers.engine.files import atomic, exclusive
from helpers.maze import Mazes
from helpers.objectives import USUAL
from helpers.responses import realigned, right_plans, texts, true_traces, written_traces
from helpers.study.corpora import corpus
from helpers.study.products import Product
from helpers.study.runs import Run, device, making, write_csv
from helpers.study.scale import ScaleError
from helpers.study.specs import EvaluationSpec, ModelSpec


def answer(run: Run, spec: EvaluationSpec) -> None:
    """Makes the answers of one evaluation, and first those whose traces it is given.

    Raises:
        ScaleError: there are no such traces of its mazes.
    """
    product = run.answers(spec)
    if run.store.status(product).usable:
        return
    if spec.source:
        answer(run, spec.source)
    first = together.rank() == 0
    lock = exclusive(run.file(product.files[0]).with_suffix(".lock"))
    with lock if first else nullcontext():  # two models may be given the same traces
        there = torch.tensor(float(first and run.store.status(product).usable))
        if together.add(there):
            return
        path = run.store.use(run.model(spec.model))
        whole = corpus(run, run.corpus("test", spec.distribution, run.scale_of(spec.model)))
        mazes = asked_of(spec, whole)
        try:
            asked = asking(run, spec, mazes)
        except ValueError as error:  # too few mazes for one to be given the trace of another
            raise ScaleError(f"model: got {spec.model.name!r}, asked {spec.name}: {error}"
                             ) from error
        with making(run, product) if first else nullcontext():
            rows, responses = judged(run, spec.model, mazes, path, asked, device(),
                                     title=f"answers {spec.name.replace('/', ' ')}")
            rows["grid"] = whole.grids[:len(rows)]  # numbered as where all are asked
            if first:
                _write_answers(run, product, rows, texts(mazes, spec.model.condition, responses))
        together.wait()  # what is written here may be read for the next


def _write_answers(run: Run, product: Product, rows: pd.DataFrame, written: Iterable[str]) -> None:
    rows_file, responses_file = (run.file(name) for name in product.files)
    write_csv(rows, rows_file)
    with atomic(responses_file, "w") as file:
        for text in written:
            file.write(json.dumps({"text": text}, separators=(",", ":")) + "\n")


def asked_of(spec: EvaluationSpec, mazes: Corpus) -> Corpus:
    """The mazes of a test set that a model is asked: all, or the first ``mazes``."""
    count = dict(spec.answering).get("mazes")
    return mazes if count is None else _some(mazes, slice(count))


def asking(run: Run, spec: EvaluationSpec, mazes: Corpus) -> dict:
    """How a model is asked, as the function of its objective takes it.

    Raises:
        ValueError: a trace is given to a model that does not write word by word, or latents to
            one that feeds none back.
    """
    asked = dict(spec.answering)
    asked.pop("mazes", None)
    objective = run.scale_of(spec.model).objective
    if "given" in asked and objective != USUAL:
        raise ValueError(f"given: got {asked['given']!r} for {spec.model.name}, takes no trace for "
                         f"a model of {objective}")
    if asked.get("gap") == "realigned":
        scale = run.scale_of(spec.model)
        asked["gap"] = realigned(mazes, run.load(run.corpus("train", scale=scale)))
    if "latents" in asked:
        if run.scale_of(spec.model).learning.learns is not Feedback:
            raise ValueError(f"latents: got {asked['latents']!r} for {spec.model.name}, takes a "
                             "model whose latents are fed back")
        asked["latents"] = ASKING[asked["latents"]](mazes)
    given = asked.pop("given", None)
    if spec.source:
        asked["traces"] = written_traces(mazes, written(run, spec.source))
    elif given:
        asked["traces"] = ASKING[given](mazes)
    return asked


def written(run: Run, spec: EvaluationSpec) -> list[str]:
    """The texts that a model has written, prompts included, a maze each."""
    product = run.answers(spec)
    run.store.use(product)
    path = run.file(product.files[1])
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def judged(run: Run, spec: ModelSpec, mazes: Corpus, path: Path, answering: dict, device: str,
           title: str | None = None) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """A model's answers to a corpus: rows of verdicts, and the answers, of all processes."""
    scale = run.scale_of(spec)
    given = max(map(len, answering.get("traces", [])), default=0)
    model = load_model(path, mazes, device, scale.transformer().context + given)
    about = read_checkpoint(path)[0]
    room = about["follows_from"].get("room")  # of models that fill in
    told = {"count": latents_of(about)} if spec.staged else {}
    share = together.share(len(mazes))
    mine, asked = _some(mazes, share), _some_of(answering, share)
    found = scale.learning.respond(
        model, mine, spec.condition, title=title if together.rank() == 0 else None,
        max_new_tokens=room or scale.decoding.max_new_tokens,
        batch_size=scale.decoding.batch_size, **told, **asked)
    responses = together.joined(found, len(mazes))
    rows = evaluation.judge(mazes, spec.condition, responses)
    if "traces" in answering:
        right = torch.zeros(len(mazes), dtype=torch.float64)
        right[share] = torch.from_numpy(
            right_plans(model, mine, spec.condition, traces=asked["traces"]))
        rows["right_plan"] = together.add(right).numpy()
        rows["given_true"] = [*map(np.array_equal, answering["traces"], true_traces(mazes))]
    return rows.assign(gap=answering.get("gap", 0)), responses


def _some(mazes: Corpus, which: slice) -> Corpus:
    """A part of a corpus, to be asked."""
    return replace(mazes, bounds=mazes.bounds[which],
                   mazes=Mazes(*(array[which] for array in mazes.mazes)))


def _some_of(answering: dict, which: slice) -> dict:
    """How that part is asked."""
    return {name: value if np.isscalar(value) else value[which]
            for name, value in answering.items()}
