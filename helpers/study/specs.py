"""What a study is made of, by name: models, and what they are asked.

A model follows from a scale and a `ModelSpec`; its name is that of its folder, so whoever needs
a model names its spec, and what several experiments need is trained once.
"""

import re
from dataclasses import dataclass

Value = bool | int | float | str

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
        return self.condition + "".join(f"+{name}={value}" for name, value in self.variation)

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.seed}"

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
        parts = [part.split("=") for part in found["variation"].split("+")[1:]]
        return cls(found["condition"], int(found["seed"]),
                   tuple((key, _value(text)) for key, text in parts))


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
        return f"{self.model.name}{done}/{self.distribution}"
