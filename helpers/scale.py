"""The numbers of a run: one YAML file in ``scales/``, checked name by name.

A misspelt name, a number written as text or a value out of range is an error in one line
that names the place.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from helpers.corpus import CONDITIONS, Recipe
from helpers.generators import GENERATORS
from helpers.language import Vocabulary
from helpers.maze import Sampler
from helpers.model import ModelConfig
from helpers.training import TrainingConfig

SCALES = Path(__file__).resolve().parent.parent / "scales"

Generator = Literal[tuple(GENERATORS)]
Condition = Literal[tuple(CONDITIONS)]


def _several(item) -> type:
    """A YAML list of at least one of these, all different."""
    return Annotated[tuple[item, ...], Field(min_length=1, strict=False)]


class ScaleError(ValueError):
    """A scale file that cannot be used, in one line."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ModelShape(_Section):
    """`model.ModelConfig` without what follows from the grid and the answers."""

    width: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    mlp_width: PositiveInt
    rope_theta: PositiveFloat
    norm_eps: PositiveFloat = 1e-6
    init_std: PositiveFloat = 0.02


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
    data_seed: Annotated[int, Field(ge=0)]  # of the mazes, the same for all training seeds
    trained_on: Generator
    conditions: _several(Condition)
    seeds: _several(int)  # of weights and order of examples, one training of each condition each
    distributions: _several(Generator)
    train_examples: PositiveInt
    test_examples: PositiveInt  # of each distribution
    validation_examples: PositiveInt  # of the training distribution, for the learning curves
    model: ModelShape
    training: TrainingConfig
    decoding: Decoding

    @model_validator(mode="after")
    def _fits_together(self):
        self.transformer()
        for generator in {self.trained_on, *self.distributions}:
            Sampler(generator, self.rows, self.cols, split="train", seed=self.data_seed)
        return self

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.rows, self.cols)

    def transformer(self) -> ModelConfig:
        """The model, with room for the longest prompt and answer."""
        longest_prompt = 8 + 3 * self.rows * self.cols
        return ModelConfig(vocabulary=self.vocabulary.size,
                           context=longest_prompt + self.decoding.max_new_tokens,
                           **self.model.model_dump())

    def recipe(self, role: str, generator: str | None = None) -> Recipe:
        """What to draw for ``train``, ``test`` (of a distribution) or ``validation``."""
        count = getattr(self, f"{role}_examples")
        return Recipe(generator or self.trained_on, self.rows, self.cols,
                      "train" if role == "train" else "test", self.data_seed, self.sampling, count,
                      skip=self.test_examples if role == "validation" else 0)


def load_scale(name: str, folder: Path = SCALES) -> Scale:
    """Reads ``scales/<name>.yml``.

    Raises:
        ScaleError: no such scale, not YAML, or a value that does not fit, all of them named.
    """
    known = sorted(path.stem for path in folder.glob("*.yml"))
    if name not in known:
        raise ScaleError(f"scale: got {name!r}, takes one of {', '.join(known)}")
    try:
        values = yaml.safe_load((folder / f"{name}.yml").read_text(encoding="utf-8"))
        return Scale(name=name, **values)
    except (yaml.YAMLError, TypeError) as error:
        raise ScaleError(f"scale {name}: is not a YAML mapping ({error})".replace("\n", " ")
                         ) from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'file'}: got {fault['input']!r}, {fault['msg']}"
            if fault["loc"] else fault["msg"] for fault in error.errors())
        raise ScaleError(f"scale {name}: {faults}") from None
