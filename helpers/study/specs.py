"""What a study is made of, by name: models, what they are asked, and why.

A model follows from a scale and a `ModelSpec`; its name is that of its folder, so whoever needs
a model names its spec, and what several experiments need is trained once.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.asking import ASKING
from helpers.conditions import CONDITIONS
from helpers.curriculum import CurriculumConfig
from helpers.grpo import TuningConfig
from helpers.objectives import OBJECTIVES
from helpers.study.scale import MOST_SEEDS, SECTIONS, Scale

Value = bool | int | float | str
FURTHER_SEEDS = 2  # that tables show too, once they are made: with one of a scale's own, three
NOT_ON = TuningConfig().after

_NAME = re.compile(r"(?P<condition>[a-z][a-z0-9_]*?)"
                   r"(?P<variation>(\+[a-z_]+=[^+]+)*)_(?P<seed>\d+)")


@dataclass(frozen=True)
class ModelSpec:
    """One model: its condition, its seed, and what differs from the scale.

    >>> ModelSpec("swapped", 2, (("plan_weight", 4.0),)).name
    'swapped+plan_weight=4.0_2'
    """

    condition: str
    seed: int
    variation: tuple[tuple[str, Value], ...] = ()  # by name

    @property
    def kind(self) -> str:
        """The name without the seed: what models that differ in nothing else share."""
        return "+".join([self.condition, *filter(None, [self.variation_text])])

    @property
    def has_trace(self) -> bool:
        return CONDITIONS[self.condition].has_trace

    @property
    def variation_text(self) -> str:
        """``plan_weight=4.0``, empty where nothing differs from the scale."""
        return "+".join(f"{name}={value}" for name, value in self.variation)

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.seed}"

    @property
    def before(self) -> "ModelSpec | None":
        """The model that this one goes on from, if it does.

        By ``after`` (`helpers.grpo`), or an ``objective`` that does (`helpers.objectives`).
        """
        if self.tuned:
            return self._without(*TuningConfig.model_fields)
        return self._without("objective", *CurriculumConfig.model_fields) if self.staged else None

    @property
    def tuned(self) -> bool:
        """Whether it goes on by ``after``."""
        return dict(self.variation).get("after", NOT_ON) != NOT_ON

    @property
    def staged(self) -> bool:
        """Whether it goes on by an objective that takes a trace away, or a control of that."""
        objective = OBJECTIVES.get(dict(self.variation).get("objective"))
        return objective is not None and objective.goes_on

    @property
    def masked_by(self) -> tuple["ModelSpec", ...]:
        """The model, if any, whose changes say which weights of this one learn (``only``)."""
        return (self._without("only"),) if self.tuned and "only" in dict(self.variation) else ()

    def _without(self, *names: str) -> "ModelSpec":
        return replace(self, variation=tuple(entry for entry in self.variation
                                             if entry[0] not in names))

    @classmethod
    def parse(cls, name: str) -> "ModelSpec":
        """The spec of a name.

        Raises:
            ValueError: it is not the name of one.
        """
        found = _NAME.fullmatch(name)
        if not found:
            raise ValueError(f"model: got {name!r}, takes CONDITION[+NAME=VALUE …]_SEED, such as "
                             "swapped_1 or correct+plan_weight=4.0_2")
        parts = sorted(part.split("=", 1) for part in found["variation"].split("+")[1:])
        names = [key for key, _ in parts]
        if len(set(names)) < len(names):
            raise ValueError(f"model: got {name!r}, takes each entry once")
        if int(found["seed"]) >= MOST_SEEDS:
            raise ValueError(f"model: got {name!r}, takes a seed below 2^63")
        spec = cls(found["condition"], int(found["seed"]),
                   tuple((key, _value(text)) for key, text in parts))
        for entries, read, by in (
                (TuningConfig, spec.tuned, "after=grpo, after=rejection or after=continued"),
                (CurriculumConfig, spec.staged, "objective=continuous or objective=paused")):
            if not read and (idle := [key for key in names if key in entries.model_fields]):
                raise ValueError(f"model: got {name!r}, whose {idle[0]} says nothing without {by}")
        return spec


def _value(text: str) -> Value:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@dataclass(frozen=True)
class EvaluationSpec:
    """What a model is asked: the mazes of a distribution, and how it answers them."""

    model: ModelSpec
    distribution: str
    answering: tuple[tuple[str, Value], ...] = ()  # what differs from greedy answers

    @property
    def name(self) -> str:
        done = "".join(f"+{name}={value}" for name, value in self.answering)
        return f"{self.model.name}{done}/{Path(self.distribution).stem}"

    @property
    def source(self) -> "EvaluationSpec | None":
        """The answers that the trace given was written in; None where no model wrote it.

        Of ``given``, ``own`` is what the model writes unasked, ``sampled`` what it writes at
        temperature 1, the name of a model what that writes.

        Raises:
            ValueError: ``given`` is no way of asking, nor the name of a model.
        """
        given = dict(self.answering).get("given")
        if given in ("own", "sampled"):
            drawn = (("temperature", 1.0),) if given == "sampled" else ()
            return EvaluationSpec(self.model, self.distribution, drawn)
        if given is None or given in ASKING:
            return None
        return EvaluationSpec(ModelSpec.parse(given), self.distribution)


@dataclass(frozen=True)
class Experiment:
    """One question; all there is to know about it stands in its entry of `EXPERIMENTS`.

    Attributes:
        question: in a sentence.
        notebook: the one that answers it, by its name in ``notebooks/`` without ``.ipynb``.
        evaluations: which models are asked what, at a scale.
        analyse: (run, evaluations) → its tables by name, each written as CSV.
        summary: run → what it found, for a terminal.
        tables: the names of the tables.
        figures: the names of the figures that its notebook draws.
        folder: where all that lies, in the folder of a run and in ``results/<scale>/``.
        gathers: which evaluations of other experiments its tables show too, once they are made.
        whole: the models that are published with weights and answers, at a scale.
    """

    question: str
    notebook: str
    evaluations: Callable[[Scale], list[EvaluationSpec]]
    analyse: Callable
    summary: Callable
    tables: tuple[str, ...]
    figures: tuple[str, ...]
    folder: str
    gathers: Callable[[Scale], list[EvaluationSpec]] = lambda scale: []
    whole: Callable[[Scale], list[ModelSpec]] = lambda scale: []

    def models(self, scale: Scale) -> list[ModelSpec]:
        """The models it needs, each once, those that take longest first."""
        models = dict.fromkeys(one.model for one in self.evaluations(scale))
        return sorted(models, key=lambda model: not model.has_trace)

    @property
    def drawn(self) -> list[str]:
        """The files of its figures."""
        return [f"{name}.{kind}" for name in self.figures for kind in ("svg", "png")]

    @property
    def published(self) -> list[str]:
        """The files that say what was found."""
        return [*(f"{name}.csv" for name in (*self.tables, "corpus")), *self.drawn, "run.json"]


def every(scale: Scale, *variations: tuple[tuple[str, Value], ...],
          distributions: tuple[str, ...] | None = None) -> list[EvaluationSpec]:
    """Each condition and seed of a scale under each variation, asked each distribution.

    Args:
        variations: ``()`` is none; entries in which a scale agrees are left out.
        distributions: those of the scale if None.
    """
    return [EvaluationSpec(ModelSpec(condition, seed, _differing(scale, variation)), distribution)
            for variation in variations or ((),) for seed in scale.seeds
            for condition in scale.conditions
            for distribution in distributions or scale.distributions]


def with_further_seeds(scale: Scale) -> Scale:
    """The scale with `FURTHER_SEEDS` seeds more, those that follow on its own."""
    last = max(scale.seeds)
    more = range(last + 1, min(last + 1 + FURTHER_SEEDS, MOST_SEEDS))
    return scale.model_copy(update={"seeds": (*scale.seeds, *more)})


def models_of(scale: Scale, *variations: tuple[tuple[str, Value], ...]) -> list[ModelSpec]:
    """The models that `every` asks, each once."""
    return list(dict.fromkeys(one.model for one in every(scale, *variations)))


def _differing(scale: Scale, variation: tuple[tuple[str, Value], ...]):
    """The entries of a variation that are not the scale's own, by name."""
    known = scale.model_dump()
    own = {**known, **{name: value for part in SECTIONS for name, value in known[part].items()}}
    return tuple((name, value) for name, value in sorted(variation)
                 if name not in own or own[name] != value)
