"""A trained model's answers to a corpus, judged; several processes each answer a share of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from helpers import evaluation
from helpers.asking import ASKING
from helpers.checkpoints import load_model, read_checkpoint
from helpers.corpus import Corpus
from helpers.engine import together
from helpers.maze import Mazes
from helpers.objectives import USUAL
from helpers.responses import realigned, right_plans, true_traces, written_traces
from helpers.study.runs import Run
from helpers.study.specs import EvaluationSpec, ModelSpec


def asked_of(spec: EvaluationSpec, mazes: Corpus) -> Corpus:
    """The mazes of a test set that a model is asked: all, or the first ``mazes``."""
    count = dict(spec.answering).get("mazes")
    return mazes if count is None else _some(mazes, slice(count))


def asking(run: Run, spec: EvaluationSpec, mazes: Corpus) -> dict:
    """How a model is asked, as the function of its objective takes it.

    Raises:
        ValueError: a trace is given to a model that does not write word by word.
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
    room = read_checkpoint(path)[0]["follows_from"].get("room")  # of models that fill in
    share = together.share(len(mazes))
    mine, asked = _some(mazes, share), _some_of(answering, share)
    found = scale.learning.respond(
        model, mine, spec.condition, title=title if together.rank() == 0 else None,
        max_new_tokens=room or scale.decoding.max_new_tokens,
        batch_size=scale.decoding.batch_size, **asked)
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
