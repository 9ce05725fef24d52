"""Studies in miniature shared by the tests, made step by step as the notebooks make them."""

from collections.abc import Iterable
from pathlib import Path

from helpers.experiments import EXPERIMENTS
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale, load_scale
from helpers.study.specs import ModelSpec

HEADLINE, SMOKE = EXPERIMENTS["headline"], load_scale("smoke")
STUDIED = SMOKE.conditions  # the three of the headline


def written(text: str, folder: Path) -> Scale:
    """The scale ``tiny`` of a scale file."""
    (folder / "tiny.yml").write_text(text)
    return load_scale("tiny", folder)


def miniature(**changes) -> Scale:
    """The smoke scale, changed, with trainings of few steps."""
    training = {"warmup_steps": 2, "snapshots": 1, "checkpoint_every": 100, "log_every": 5}
    return SMOKE.model_copy(update={
        "name": "tiny", "training": SMOKE.training.model_copy(update=training), **changes})


def at_most(tokens: int):
    """Answers of so many tokens, as `miniature` takes them."""
    return SMOKE.decoding.model_copy(update={"max_new_tokens": tokens})


def train(run: Run, models: Iterable[ModelSpec]) -> None:
    """Models, each with its learning curve."""
    for model in models:
        steps.train(run, model)
        steps.follow(run, model)


def whole_study(scale: Scale, root: Path) -> Run:
    """From mazes to the headline's tables."""
    run = Run(scale, root)
    steps.make_corpora(run, HEADLINE)
    train(run, HEADLINE.models(scale))
    steps.evaluate(run, HEADLINE.evaluations(scale))
    steps.analyse(run, HEADLINE)
    return run
