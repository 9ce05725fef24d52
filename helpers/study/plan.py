"""What an experiment takes, and what of it there is to do."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.lines import Line2D

from helpers.batches import make_batch
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import build
from helpers.study.products import Product, Status
from helpers.study.runs import Run
from helpers.study.specs import Experiment, ModelSpec

EXAMPLES = 16  # put together to check a condition


class StudyError(Exception):
    """A study that did not come to its end; the message says where to look."""


@dataclass(frozen=True)
class Job:
    """What one notebook makes when it is run once."""

    name: str
    products: tuple[Product, ...]

    @property
    def stem(self) -> str:
        return self.name.replace(" ", "_")

    @property
    def marker(self) -> str:
        """The file that tells Snakemake that there is nothing left to do."""
        return f"jobs/{self.stem}.done"

    @property
    def log(self) -> str:
        return f"logs/{self.stem}.log"


def jobs(run: Run, experiment: Experiment) -> list[Job]:
    """What an experiment takes, in an order in which it can be done."""
    found = [Job("corpora", tuple(run.corpora(experiment)))]
    models = experiment.models(run.scale)
    found += [Job(f"training {model.name}", (run.model(model), run.curve(model)))
              for model in models]
    evaluations = experiment.evaluations(run.scale)
    for model in models:
        asked = [run.answers(one) for one in evaluations if one.model == model]
        found.append(Job(f"evaluation {model.name}", tuple(asked)))
    # figures and the page are from the notebook that made the tables: who stopped in between has
    # neither, and goes through it again
    tables, report = run.tables(experiment), run.report(experiment)
    return [*found, Job(f"analysis {experiment.notebook}", (tables, report)),
            Job(f"report {experiment.notebook}", (report,))]


def prepare(run: Run, experiment: Experiment, *, again: bool = False,
            say: Callable[[str], object] = lambda _: None) -> bool:
    """Finds out of each job whether it is up to date, and lets Snakemake know.

    Args:
        again: what is stale is to be made again.
        say: called with a line a job, before anything is touched.

    Returns:
        Whether there is something to do.

    Raises:
        StudyError: something that takes long is stale and nobody has said what to do.
    """
    for model in experiment.models(run.scale):
        if not run.store.status(run.model(model)).usable:
            check_condition(run, model)
    states = [(job, [run.store.status(one) for one in job.products])
              for job in jobs(run, experiment)]
    for job, found in states:
        state, why = _state(found)
        say(f"  {job.name:<32} {state}{f': {why}' if why else ''}")
    stale = [job.name for job, found in states
             if any(one.state == "stale" and one.product.costly for one in found)]
    if stale and not again:
        raise StudyError(
            f"study {run.scale.name}: {len(stale)} of {len(states)} steps were made with other "
            f"settings or code than stand there now ({', '.join(stale[:3])}"
            f"{' …' if len(stale) > 3 else ''}); AGAIN=1 makes them again (what is there stays "
            "until then), KEEP=1 goes on with them and says so in the results")
    whole: dict[str, bool] = {}

    def is_whole(product: Product) -> bool:
        """Whether it and all that it is made from are there: Snakemake looks for the last alone."""
        if product.name not in whole:
            whole[product.name] = (run.store.status(product).usable
                                   and all(map(is_whole, product.inputs)))
        return whole[product.name]

    for job, _ in states:
        marker = run.file(job.marker)
        if all(map(is_whole, job.products)):
            marker.touch()
        else:
            marker.unlink(missing_ok=True)
    return not all(one.usable for _, found in states for one in found)


def check_condition(run: Run, model: ModelSpec) -> None:
    """Puts a few examples together under a model's condition, and draws its mark.

    Raises:
        StudyError: something about the condition is not right; better now than after a training.
    """
    condition = CONDITIONS[model.condition]
    try:
        ModelSpec.parse(model.name)  # as its notebook will
    except ValueError:
        raise StudyError(f"condition {model.condition}: got {model.condition!r} as a name, takes "
                         "small letters, digits and _, a letter first") from None
    scale = run.scale_of(model)
    few = replace(scale.recipe("train"), count=min(EXAMPLES, scale.train_examples))
    try:
        examples = put_together(build(few), condition, model.seed, **run.parameters(model))
        make_batch(examples, np.arange(few.count))
        Line2D([0], [0], color=condition.colour, marker=condition.marker, ls=condition.line)
    except Exception as error:
        raise StudyError(f"condition {model.condition}: {type(error).__name__}: {error}") from error


def _state(found: list[Status]) -> tuple[str, str]:
    """What becomes of a job, and why."""
    if all(one.usable for one in found):
        kept = [one for one in found if one.state == "kept"]
        return ("kept as it is", kept[0].why) if kept else ("up to date", "")
    first = next(one for one in found if not one.usable)
    if first.state == "stale":
        return "will be made again", first.why
    return "will be made", first.why
