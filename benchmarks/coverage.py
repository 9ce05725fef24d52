"""How often intervals of differences hold the truth, on answers made up from a known one.

    python -m benchmarks.coverage                every world, 1 000 data sets each, three minutes
    python -m benchmarks.coverage --repeats 200  the same in less, coverages to 3 points

A model's answer is valid where a normal number falls below the condition's threshold, the number
being made of parts: of the seed (shared by conditions, since initial weights and order are), of
the seed under the condition, of the grid, of the grid under the condition, of the problem, and of
the answer alone. So each condition's rate over all seeds and grids is known exactly. What the
seeds do is taken from trainings of this project: 30 and 61 % valid plans in one condition, 92
and 85 % in another, and now and then a model that never leaves the plateau (docs/performance.md).

The tables are those of docs/statistics.md.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import norm
from tqdm import tqdm

from helpers.differences import DIFFERENCE, SHARE, fieller, mean_and_reach, quantile

Interval = tuple[float, float]


@dataclass(frozen=True)
class World:
    """Where made-up answers come from; spreads are standard deviations of the normal number.

    Attributes:
        rates: of each condition, over all seeds and grids, without models on the plateau.
        seeds: spread of what a seed does to all conditions.
        own: spread of what it does to each condition by itself.
        grids: spread of grids, and of grids under each condition by itself.
        grid_count: how many grids the n problems stand on.
        plateau: how many of the last condition's models solve but one in a hundred.
    """

    rates: tuple[float, ...] = (0.88, 0.5)
    seeds: float = 0.15
    own: tuple[float, ...] = (0.3, 0.7)
    grids: tuple[float, float] = (0.5, 0.3)
    problems: float = 0.5
    grid_count: int = 950
    n: int = 1000
    plateau: float = 0.0

    @property
    def answers(self) -> float:
        """Variance of one model's number between problems."""
        return 1 + self.problems**2 + self.grids[0]**2 + self.grids[1]**2

    @property
    def thresholds(self) -> np.ndarray:
        """Float [conditions]."""
        spread = np.sqrt(self.answers + self.seeds**2 + np.square(self.own))
        return norm.ppf(self.rates) * spread

    def truth(self) -> np.ndarray:
        """The rate of each condition over all seeds and grids, float [conditions]."""
        rates = np.array(self.rates)
        rates[-1] = (1 - self.plateau) * rates[-1] + self.plateau * 0.01
        return rates


def draw(world: World, seeds: int, rng: np.random.Generator
         ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One data set: what `helpers.differences.mean_and_reach` takes, and these models' rates.

    Returns:
        float [conditions, seeds, grids]; int [grids]; float [conditions, seeds].
    """
    arms, grids = len(world.rates), world.grid_count
    # each grid has a problem, the others stand where chance puts them, more on some than on others
    chances = rng.gamma(2.0, size=grids)
    grid = np.concatenate([np.arange(grids),
                           rng.choice(grids, world.n - grids, p=chances / chances.sum())])
    models = (world.seeds * rng.normal(size=seeds)
              + np.array(world.own)[:, None] * rng.normal(size=(arms, seeds))
              - world.thresholds[:, None])
    on_plateau = rng.random(seeds) < world.plateau
    models[-1, on_plateau] = -norm.ppf(0.01) * np.sqrt(world.answers)
    shared, own = world.grids
    places = shared * rng.normal(size=grids) + own * rng.normal(size=(arms, grids))
    problems = world.problems * rng.normal(size=world.n)
    numbers = (places[:, grid] + problems)[:, None] + models[:, :, None]
    valid = rng.normal(size=numbers.shape) + numbers < 0
    sums = np.zeros((arms, seeds, grids))
    for arm in range(arms):
        for seed in range(seeds):
            sums[arm, seed] = np.bincount(grid, valid[arm, seed], grids)
    return sums, np.bincount(grid, minlength=grids), norm.cdf(-models / np.sqrt(world.answers))


# ── ways to an interval ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Data:
    """What an interval is made of; see `draw`.

    Attributes:
        resamples: how often each seed and each grid is drawn, int [resamples, seeds] and
            [resamples, grids], for bootstraps.
    """

    sums: np.ndarray
    sizes: np.ndarray
    resamples: tuple[np.ndarray, np.ndarray]

    @property
    def counts(self) -> tuple[int, int]:
        """Of seeds, of grids."""
        return self.sums.shape[1:]

    @cached_property
    def mean(self) -> float:
        """By how much the second condition is ahead of the first."""
        return float((self.sums[1] - self.sums[0]).sum() / (self.counts[0] * self.sizes.sum()))

    @cached_property
    def variances(self) -> tuple[float, float, float]:
        """Of that as a mean over seeds, over grids, and of what is of neither alone."""
        parts, n, (seeds, grids) = self.sums[1] - self.sums[0], self.sizes.sum(), self.counts
        by_seed, bessel = parts.sum(1) / n, grids / (grids - 1) / n**2
        off = parts - by_seed[:, None] * self.sizes
        between = bessel * np.square(off.mean(0)).sum()
        if seeds == 1:
            return 0.0, between, 0.0
        rest = bessel * np.square(off - off.mean(0)).sum() / (seeds - 1) / seeds
        return by_seed.var(ddof=1) / seeds, between, rest

    @property
    def total(self) -> float:
        """Variance of the mean, as crossed random effects have it (Cameron et al. 2011)."""
        seeds, grids, rest = self.variances
        return max(seeds + grids - rest, seeds, grids)

    def around(self, half: float) -> Interval:
        return max(-1.0, self.mean - half), min(1.0, self.mean + half)


def chosen(data: Data) -> Interval:
    """`helpers.differences.difference`."""
    _, ((square,),) = mean_and_reach(data.sums, data.sizes, DIFFERENCE)
    return data.around(np.sqrt(square))


def chosen_less_rest(data: Data) -> Interval:
    """The same, with what is of one seed on one grid counted once."""
    (seeds, grids, rest), (t, u) = data.variances, (quantile(n - 1) for n in data.counts)
    return data.around(np.sqrt(t**2 * seeds + u**2 * max(0.0, grids - rest)))


def t_of_seeds(data: Data) -> Interval:
    """Both variances with t of the seeds alone."""
    return data.around(quantile(data.counts[0] - 1) * np.sqrt(sum(data.variances[:2])))


def satterthwaite(data: Data) -> Interval:
    """Crossed variances and t of the degrees of freedom that Satterthwaite (1946) gives them."""
    (seeds, grids, rest), (s, g) = data.variances, data.counts
    parts = seeds**2 / (s - 1) + grids**2 / (g - 1) + rest**2 / ((s - 1) * (g - 1))
    freedom = max(s - 1, data.total**2 / parts) if parts else s - 1
    return data.around(quantile(round(freedom, 1)) * np.sqrt(data.total))


def crossed_normal(data: Data) -> Interval:
    """Crossed variances and the normal quantile, as software for mixed models reports."""
    return data.around(norm.ppf(0.975) * np.sqrt(data.total))


def seeds_alone(data: Data) -> Interval:
    """Student's t on the seeds' differences: the grids at hand as if there were no others."""
    return data.around(quantile(data.counts[0] - 1) * np.sqrt(data.variances[0]))


def grids_alone(data: Data) -> Interval:
    """The seeds at hand as if there were no others."""
    return data.around(quantile(data.counts[1] - 1) * np.sqrt(data.variances[1]))


def bootstrap(data: Data) -> Interval:
    """Percentiles over seeds and grids drawn again, both with replacement (Owen 2007)."""
    seeds, grids = data.resamples
    leads = np.einsum("rs,rs->r", seeds, grids @ (data.sums[1] - data.sums[0]).T)
    return tuple(np.quantile(leads / (grids @ data.sizes) / data.counts[0], [0.025, 0.975]))


def fieller_share(data: Data) -> Interval:
    """`helpers.differences.share`."""
    (some, whole), square = mean_and_reach(data.sums, data.sizes, SHARE)
    return fieller(some, whole, square)


def bootstrap_share(data: Data) -> Interval:
    """Percentiles of the share, seeds and grids drawn again."""
    seeds, grids = data.resamples
    some, whole = (np.einsum("rs,rs->r", seeds, grids @ part.T)
                   for part in np.einsum("ca,asg->csg", SHARE, data.sums))
    return tuple(np.nanquantile(some / np.where(whole, whole, np.nan), [0.025, 0.975]))


METHODS = (chosen, chosen_less_rest, t_of_seeds, satterthwaite, crossed_normal, seeds_alone,
           bootstrap, grids_alone)
RATIOS = (fieller_share, bootstrap_share)
RESAMPLES = 399

DFS = {"grid_count": 93, "grids": (0.6, 0.5)}
FAR = {"rates": (0.06, 0.12), "own": (0.35, 0.45)}  # another distribution: few plans are valid
WORLDS = {
    "seeds far apart": World(),
    "seeds far apart, 93 grids": World(**DFS),
    "seeds close": World(rates=(0.9, 0.85), seeds=0.1, own=(0.12, 0.12)),
    "seeds close, 93 grids": World(rates=(0.9, 0.85), seeds=0.1, own=(0.12, 0.12), **DFS),
    "seeds alike, 93 grids": World(rates=(0.8, 0.75), seeds=0.0, own=(0.0, 0.0), **DFS),
    "low rates": World(**FAR),
    "hardly a valid plan": World(rates=(0.002, 0.003), own=(0.3, 0.3)),
    "a plateau, 1 model in 4": World(rates=(0.88, 0.8), own=(0.3, 0.4), plateau=0.25),
}
SHARES = {
    "seeds far apart, share 0.5": World(rates=(0.9, 0.7, 0.5), own=(0.3, 0.4, 0.7)),
    "seeds close, share 0.5": World(rates=(0.9, 0.75, 0.6), seeds=0.1, own=(0.12,) * 3),
    "seeds close, 93 grids, share 0.5": World(rates=(0.9, 0.75, 0.6), seeds=0.1,
                                              own=(0.12,) * 3, **DFS),
    "seeds close, share 0": World(rates=(0.9, 0.9, 0.6), seeds=0.1, own=(0.12,) * 3),
    "seeds close, nothing to share": World(rates=(0.9, 0.85, 0.895), seeds=0.1, own=(0.12,) * 3),
}


# ── measuring ───────────────────────────────────────────────────────────────────────────


def measure(world: World, seeds: int, repeats: int, methods: tuple[Callable, ...], seed: int = 1
            ) -> pd.DataFrame:
    """How often each method's interval holds the truth, and how wide it is.

    Of one seed the truth is that of its models, else that of the conditions. An interval without
    bounds (nan) holds everything.

    Returns:
        A row a method: method, covered, width (median), bounded, each but the name in 0 … 1.
    """
    rng = np.random.default_rng([seed, seeds])
    # drawn once for all data sets, which are independent of them; Poisson is as good as multinomial
    resamples = (rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES).astype(float),
                 rng.poisson(1.0, (RESAMPLES, world.grid_count)).astype(float))
    found: dict[str, list] = {method.__name__: [] for method in methods}
    for _ in range(repeats):
        sums, sizes, models = draw(world, seeds, rng)
        rates = models[:, 0] if seeds == 1 else world.truth()
        truth = rates[1] - rates[0]
        if len(rates) == 3:
            truth /= rates[2] - rates[0]
        data = Data(sums, sizes, resamples)
        for method in methods:
            low, high = method(data)
            bounded = not np.isnan(low)
            found[method.__name__].append((not bounded or low <= truth <= high,
                                           high - low if bounded else np.inf, bounded))
    return pd.DataFrame([
        [name, np.mean(covered), np.median(widths), np.mean(bounded)]
        for name, (covered, widths, bounded) in
        ((name, zip(*rows, strict=True)) for name, rows in found.items())],
        columns=["method", "covered", "width", "bounded"])


def everything(worlds: dict[str, World], methods: tuple[Callable, ...], repeats: int,
               seeds: tuple[int, ...]) -> pd.DataFrame:
    """`measure` for each world and number of seeds, which stand in front."""
    parts = []
    for name, world in tqdm(worlds.items(), desc="worlds", disable=None, leave=False):
        for count in seeds:
            part = measure(world, count, repeats, methods)
            part.insert(0, "world", name)
            part.insert(1, "seeds", count)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def wide(table: pd.DataFrame, value: str) -> str:
    """A column of `everything` in per cent as Markdown, a column a method."""
    shown = table.pivot(index=["world", "seeds"], columns="method", values=value)
    shown = shown.loc[table["world"].unique()][table["method"].unique()] * 100
    lines = [["world", "seeds", *shown.columns], ["---"] * (len(shown.columns) + 2)]
    lines += [[world, str(seeds), *(f"{number:.1f}" for number in row)]
              for (world, seeds), row in zip(shown.index, shown.to_numpy(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000, help="data sets a world")
    given = parser.parse_args(arguments)
    for title, worlds, methods, seeds in (
            ("Differences", WORLDS, METHODS, (2, 3, 5)),
            ("Differences of one seed's models", WORLDS, (chosen, grids_alone), (1,)),
            ("Shares", SHARES, RATIOS, (2, 3, 5)),
            ("Shares of one seed's models", SHARES, (fieller_share,), (1,))):
        table = everything(worlds, methods, given.repeats, seeds)
        for value in ("covered", "width", *(["bounded"] if worlds is SHARES else [])):
            print(f"\n{title}: {value}, per cent\n\n{wide(table, value)}", flush=True)


if __name__ == "__main__":
    main()
