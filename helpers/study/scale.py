"""The numbers of a run: one YAML file in ``scales/``, checked name by name.

A file that says ``extends: laptop`` has that other file's values but for those it gives itself;
of a section (`SECTIONS`) it gives only the entries that differ. A misspelt
name, a name given twice, a number written as text or a value out of range is an error in one line
that names the place. How values are read: `helpers.study.yaml12`.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from helpers import looping
from helpers.architectures import configured
from helpers.conditions import CONDITIONS
from helpers.corpus import Recipe, source_of
from helpers.curriculum import CurriculumConfig
from helpers.engine.files import PROJECT
from helpers.generators import GENERATORS
from helpers.grpo import TuningConfig
from helpers.language import Vocabulary
from helpers.model import ModelConfig
from helpers.objectives import OBJECTIVES, USUAL, Objective
from helpers.optimisation import TrainingConfig
from helpers.study import yaml12

SCALES = PROJECT / "scales"
SECTIONS = ("model", "training", "decoding", "tuning", "curriculum")
FAR = 10**9  # where validation mazes begin, behind any test set
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")  # of a scale: it names files and folders too

MOST_SEEDS = 2**63
Seed = Annotated[int, Field(ge=0, lt=MOST_SEEDS)]
Count = Annotated[int, Field(gt=0, le=FAR)]  # of mazes


def _known(name: str) -> str:
    if name not in GENERATORS and not os.path.isfile(PROJECT / name):
        raise ValueError(f"one of {', '.join(GENERATORS)}, or a file of mazes")
    return name


Generator = Annotated[str, AfterValidator(_known)]  # or a file, as seen from the project's folder
Condition = Literal[tuple(CONDITIONS)]


def _several(item) -> type:
    """A YAML list of at least one of these, all different."""
    return Annotated[tuple[item, ...], Field(min_length=1, strict=False),
                     AfterValidator(_all_different)]


def _all_different(items: tuple) -> tuple:
    if len(set(items)) < len(items):
        raise ValueError("a list without repetition")
    return items


class ScaleError(ValueError):
    """A scale, or one varied for a model, that cannot be used, in one line."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelShape(_Section):
    """`model.ModelConfig` without what follows from the grid and the answers."""

    width: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    mlp_width: PositiveInt
    rope_theta: PositiveFloat
    rotary_heads: NonNegativeInt | None = None
    norm_eps: PositiveFloat = 1e-6
    init_std: PositiveFloat = 0.02
    loops: PositiveInt | None = None  # over the same blocks, see `looped`; all different if None

    def settings(self) -> dict:
        """Its entries; a model without loops has no such setting."""
        return self.model_dump(exclude={"loops"} if self.loops is None else None)


class Decoding(_Section):
    """How answers are generated."""

    max_new_tokens: PositiveInt  # an answer is cut off after so many
    batch_size: PositiveInt  # prompts answered side by side


class Scale(_Section):
    """One scale file; ``name`` is the file's own name, everything else stands in it."""

    name: str
    rows: Annotated[int, Field(ge=3, le=180)]
    cols: Annotated[int, Field(ge=3, le=180)]
    sampling: Literal["paper", "indexed"]
    data_seed: Seed  # of the mazes, the same for all training seeds
    trained_on: Generator
    conditions: _several(Condition)
    seeds: _several(Seed)  # of weights and order of examples, one training of each condition each
    distributions: _several(Generator)
    objective: Literal[tuple(OBJECTIVES)] = USUAL  # what models learn to do with a response
    unsolvable: bool = False  # whether mazes without a way are trained on, where there are any
    train_examples: Count
    test_examples: Count  # of each distribution
    validation_examples: Count  # of the training distribution, for the learning curves
    model: ModelShape
    training: TrainingConfig
    decoding: Decoding
    tuning: TuningConfig = TuningConfig()  # of models that go on from others
    curriculum: CurriculumConfig = CurriculumConfig()  # of those whose trace is taken away

    @model_validator(mode="after")
    def _fits_together(self):
        try:
            self.transformer()
        except ValueError as error:
            raise ValueError(f"model.{error}") from None
        if self.tuning.after != "nothing" and not self.learning.from_answers:
            able = [repr(name) for name, entry in OBJECTIVES.items() if entry.from_answers]
            raise ValueError(f"objective: got {self.objective!r} for a model that goes on from "
                             f"another, takes {' or '.join(able)}")
        if self.model.loops and self.objective != USUAL:
            raise ValueError(f"objective: got {self.objective!r} for a looped model, takes "
                             f"{USUAL!r}")
        latents = self.curriculum.latent_steps * self.curriculum.latents_each
        if self.learning.goes_on and latents >= self.decoding.max_new_tokens:
            raise ValueError(f"curriculum.latents_each: got {latents} latents in all, takes fewer "
                             f"than the {self.decoding.max_new_tokens} max_new_tokens")
        training, steps = self.training, self.steps()
        if not steps:
            raise ValueError(f"training.batch_size: got {training.batch_size}, takes at most the "
                             f"{self.train_examples} train_examples")
        if training.warmup_steps > steps // 4:
            raise ValueError(f"training.warmup_steps: got {training.warmup_steps}, takes at most "
                             f"{steps // 4}, a quarter of the {steps} steps")
        recipes = [self.recipe("train"), self.recipe("validation"),
                   *(self.recipe("test", name) for name in self.distributions)]
        for recipe in recipes:
            if recipe.generator not in GENERATORS:  # those draw as many as one likes
                source_of(recipe).take(recipe.skip + recipe.count)
        if len({recipe.name for recipe in recipes}) < len(recipes):
            raise ValueError("distributions with names of their own, without folder and ending")
        return self

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.rows, self.cols)

    @property
    def learning(self) -> Objective:
        """The entry of its objective; looped models answer in a way of their own."""
        entry = OBJECTIVES[self.objective]
        return replace(entry, respond=looping.respond) if self.model.loops else entry

    def unusual(self) -> dict:
        """The objective, if it is another: what follows from the usual one does not name it."""
        staged = {name: value.model_dump() for name, value in self.staged().items()}
        return {} if self.objective == USUAL else {"objective": self.objective, **staged}

    def staged(self) -> dict:
        """What the batches of its objective take more than others."""
        return {"curriculum": self.curriculum} if self.learning.goes_on else {}

    def steps(self) -> int:
        """Of each training."""
        return self.training.epochs * (self.train_examples // self.training.batch_size)

    def transformer(self) -> ModelConfig:
        """The model, with room for the longest prompt and answer."""
        longest_prompt = 8 + 3 * self.rows * self.cols
        return configured({"vocabulary": self.vocabulary.size, **self.model.settings()},
                          longest_prompt + self.decoding.max_new_tokens)

    def recipe(self, role: str, generator: str | None = None) -> Recipe:
        """What to draw for ``train``, ``test`` (of a distribution) or ``validation``.

        Validation mazes are test mazes further on. Only ``indexed`` sampling can begin far
        behind any test set; the published stream is drawn on from where that ends.
        """
        count = getattr(self, f"{role}_examples")
        name = generator or self.trained_on
        far = self.sampling == "indexed" and name in GENERATORS
        behind = FAR if far else self.test_examples
        return Recipe(name, self.rows, self.cols, "train" if role == "train" else "test",
                      self.data_seed, self.sampling, count,
                      skip=behind if role == "validation" else 0,
                      unsolvable=self.unsolvable or role != "train")

    def varied(self, variation: Iterable[tuple[str, object]]) -> "Scale":
        """This scale with other values, by the names of its entries or those of a section.

        On another grid answers get as many tokens more or fewer as it has cells.

        Raises:
            ScaleError: no such name, or a value that does not fit.
        """
        given = dict(variation)
        if not given:
            return self
        values = self.model_dump()
        for name, value in given.items():
            place = next((part for part in (values, *(values[key] for key in SECTIONS))
                          if name in part), None)
            if place is None or name in SECTIONS or name == "name":
                raise ScaleError(f"scale {self.name}: {name}: unknown name")
            place[name] = value
        if "max_new_tokens" not in given:
            cells = values["rows"] * values["cols"] / (self.rows * self.cols)
            values["decoding"]["max_new_tokens"] = ceil(cells * self.decoding.max_new_tokens)
        return checked(values)


def load_scale(name: str, folder: Path = SCALES) -> Scale:
    """Reads ``scales/<name>.yml`` and what it extends.

    Raises:
        ScaleError: no such scale, not YAML, or values that do not fit, all of them named.
    """
    values = {"name": name}
    for given in reversed(sources(name, folder).values()):
        values = _replaced(values, given)
    scale = checked(values)
    if scale.tuning.after != "nothing":
        raise ScaleError(f"scale {name}: tuning.after: got {scale.tuning.after!r}, takes no such "
                         "entry; the name of a model says so, such as correct+after=grpo_1")
    if scale.learning.goes_on:
        raise ScaleError(f"scale {name}: objective: got {scale.objective!r}, takes one that "
                         "begins with nothing learnt; the name of a model says so, such as "
                         f"correct+objective={scale.objective}_1")
    return scale


def checked(values: dict) -> Scale:
    """The scale with these values.

    Raises:
        ScaleError: a value that does not fit, all of them named.
    """
    try:
        return Scale.model_validate(values)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if not _follows(fault)]
        raise ScaleError(f"scale {values['name']}: {'; '.join(map(_fault, faults))}") from None


def sources(name: str, folder: Path = SCALES) -> dict[Path, dict]:
    """The files a scale is made of, each with its entries: its own, what that extends, and so on.

    Raises:
        ScaleError: one of them is missing, is not a YAML mapping, or comes round again.
    """
    known = sorted(path.stem for path in folder.glob("*.yml") if NAME.fullmatch(path.stem))
    files, chain, place = {}, [], "scale"
    while True:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ScaleError(f"{place}: got {name!r}, takes letters, digits, _ and - (but no - "
                             f"first): one of {', '.join(known)}")
        if name not in known:
            raise ScaleError(f"{place}: got {name!r}, takes one of {', '.join(known)}")
        if name in chain:
            raise ScaleError(f"{place}: got {name!r}, takes a scale that does not extend "
                             f"{chain[-1]} itself ({' → '.join([*chain, name])})")
        chain.append(name)
        entries = _entries(name, folder)
        files[folder / f"{name}.yml"] = entries
        if "extends" not in entries:
            return files
        name, place = entries.pop("extends"), f"scale {name}: extends"


def _entries(name: str, folder: Path) -> dict:
    """What stands in one scale file."""
    try:
        values = yaml12.read((folder / f"{name}.yml").read_bytes(), texts=("extends",))
    except OSError as error:
        raise ScaleError(f"scale {name}: got {folder / name}.yml ({error.strerror}), takes a file "
                         "that can be read") from None
    except ValueError as error:
        raise ScaleError(f"scale {name}: {error}") from None
    if not isinstance(values, dict):
        raise ScaleError(f"scale {name}: got {_shown(values)}, takes a YAML mapping of names to "
                         "values")
    if "name" in values:
        raise ScaleError(f"scale {name}: name: got {values['name']!r}, takes no such entry; the "
                         "name of the file is the scale's")
    return values


def _replaced(values: dict, given: dict) -> dict:
    """Values with the given ones in their place; sections merge entry by entry."""
    return values | {name: {**values[name], **value}
                     if isinstance(value, dict) and isinstance(values.get(name), dict) else value
                     for name, value in given.items()}


def _follows(fault: dict) -> bool:
    """Whether a list is called too short only because its items are at fault."""
    return fault["type"] == "too_short" and bool(fault["input"])


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)


def _fault(fault: dict) -> str:
    """One of pydantic's errors as: the place, what it got and what it takes."""
    *section, name = map(str, fault["loc"] or ("",))
    place = ".".join([*section, name])
    if fault["type"] == "missing":
        return f"{place}: got nothing, takes a value"
    if fault["type"] == "extra_forbidden":
        known = {"model": ModelShape, "training": TrainingConfig, "decoding": Decoding,
                 "tuning": TuningConfig, "curriculum": CurriculumConfig}
        fields = known.get(".".join(section), Scale).model_fields
        names = ", ".join(field for field in fields if field != "name")
        names += "" if section else ", extends"
        return f"{place}: unknown name, takes one of {names}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "model_type":
        message = "a section of names and values"
    for theirs, ours in (("Input should be a valid tuple", "a list"),
                         ("Tuple should have ", "a list of "),
                         (" item after validation, not 0", ""),
                         ("Input should be greater", "a number greater"),
                         ("Input should be less", "a number less"), ("Input should be ", "")):
        message = message.replace(theirs, ours)
    return f"{place}: got {_shown(fault['input'])}, takes {message}" if place else message
