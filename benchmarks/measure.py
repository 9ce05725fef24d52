"""What the benchmarks share: measuring in turn, a row of the result, one table, one file.

A row is a dictionary: ``name``, ``value``, ``unit``; ``peer``, ``peer_value`` and ``ratio``
(value / peer_value, both of this run) where there is something to compare with; ``target``
and ``met`` where there is one, and ``target_of``, whether it is of the ``value`` or the ``ratio``.
In a file each also names the ``machine``.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.engine.files import atomic
from helpers.study.runs import machine
from helpers.study.scale import Scale, load_scale

OUTPUT = Path(__file__).resolve().parent.parent / "runs" / "bench.json"


def scale(tiny: bool, name: str = "laptop") -> Scale:
    """The scale to measure at; or one so small that it only shows that everything runs."""
    if not tiny:
        return load_scale(name)
    small = {"width": 32, "mlp_width": 48, "batch_size": 4, "micro_batch_tokens": 300,
             "warmup_steps": 0, "train_examples": 40}
    return load_scale("smoke").varied(small.items())


def row(name: str, value: float, unit: str, *, peer: str | None = None,
        peer_value: float | None = None, target: float | None = None,
        target_of: str = "value") -> dict:
    """One line of the result, rounded to four digits; see the module's text."""
    ratio = value / peer_value if peer_value else None
    met = None
    if target is not None:
        reached = {"value": value, "ratio": ratio}[target_of]
        met = None if reached is None else bool(reached >= target)
    return {"name": name, "value": _rounded(value), "unit": unit, "peer": peer,
            "peer_value": _rounded(peer_value), "ratio": _rounded(ratio), "target": target,
            "target_of": None if target is None else target_of, "met": met}


def _rounded(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.4g}")


def in_turn(jobs: dict[str, Callable[[int], float]], rounds: int,
            title: str = "measuring") -> dict[str, float]:
    """The median of what each job returns.

    All jobs are called once a round, so that a machine that slows down slows them all.

    Args:
        jobs: by name; each is called with the number of the round.
        rounds: how often.
        title: of the progress bar.
    """
    found: dict[str, list[float]] = {name: [] for name in jobs}
    with tqdm(total=len(jobs) * rounds, desc=title, disable=None, leave=False) as bar:
        for number in range(rounds):
            for name, job in jobs.items():
                found[name].append(job(number))
                bar.update()
    return {name: float(np.median(values)) for name, values in found.items()}


def processor_seconds(work: Callable, *arguments) -> float:
    """Processor time that a call takes: other processes on the machine count little."""
    began = time.process_time()
    work(*arguments)
    return time.process_time() - began


def here() -> str:
    """The machine, in a line."""
    about = machine()
    precision = "bfloat16" if about["bfloat16"] else "float32"
    return (f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, "
            f"Python {about['python']}, matrix products in {precision}")


def write(rows: list[dict], path: Path = OUTPUT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path, "w") as file:
        json.dump([row | {"machine": here()} for row in rows], file, indent=1)
        file.write("\n")


def table(rows: list[dict]) -> str:
    """The rows as text; a target of the ratio is marked by ×."""
    def shown(each: dict) -> dict:
        times = "×" if each["target_of"] == "ratio" else ""
        return {"name": each["name"], "value": _text(each["value"]), "unit": each["unit"],
                "peer": each["peer"] or "", "peer value": _text(each["peer_value"]),
                "ratio": _text(each["ratio"]), "target": _text(each["target"]) + times,
                "met": {True: "yes", False: "NO", None: ""}[each["met"]]}
    return pd.DataFrame(map(shown, rows), dtype=object).to_string(index=False)


def _text(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
