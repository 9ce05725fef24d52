"""Figures of trainings: table in, Figure out."""


import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter

from helpers.optimisation import TrainingConfig, rate
from helpers.show.looks import (
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    Figure,
    error_of,
    legend,
    look_of_condition,
    look_of_seed,
    models_of,
    new_figure,
    nothing,
    percent_axis,
    styled,
)
from helpers.show.words import percent, percents, seeds_of, spaced, span


@styled
def draw_learning_curves(curves: pd.DataFrame) -> Figure:
    """Plan validity on held-out mazes as training goes on, by examples and by response tokens.

    Args:
        curves: as `evaluation.learning_curves` gives them.
    """
    figure, (axes,) = new_figure(1, 2, (12, 5), sharey=True)
    for ax, column, label in zip(axes, ("examples", "response_tokens"),
                                 ("examples trained on", "response tokens trained on"),
                                 strict=True):
        for condition, seed, place in models_of(curves):
            part = curves[(curves["condition"] == condition) & (curves["seed"] == seed)]
            look = look_of_condition(condition)
            ax.plot(part[column], part["plan_valid"], ls=look.line, marker=look.marker, lw=1.8,
                    markersize=7, color=look.colour, **look_of_seed(place))
            ax.fill_between(part[column], part["plan_valid_low"], part["plan_valid_high"],
                            color=look.colour, alpha=0.12, linewidth=0)
        ax.set(xlabel=label)
        ax.set_xlim(left=0)
        percent_axis(ax)
        ax.xaxis.set_major_formatter(lambda value, _: spaced(value))
        ax.tick_params(axis="x", labelrotation=20)
    axes[0].set_ylabel("valid plans, held-out mazes")
    legend(figure, curves, f"n = {span(curves['n'])} a point; bands: 95 % intervals")
    ends = curves.groupby(["condition", "seed"], sort=False).last().reset_index()
    figure.alt = ("Learning curves: valid plans on held-out mazes against examples and against "
                  f"response tokens trained on, {seeds_of(curves)}, n = {span(curves['n'])}. "
                  "At the end of training: "
                  + "; ".join(f"{condition} {percents(part)}"
                              for condition, part in ends.groupby("condition", sort=False)[
                                  "plan_valid"]) + ".")
    return figure


@styled
def draw_stages(along: pd.DataFrame) -> Figure:
    """Plan validity on held-out mazes as traces are taken away, a panel a condition.

    Args:
        along: of `experiments.continuous`: a line a way of going on, ``went_on``; ``left_out``
            says how much of the trace is gone by then.
    """
    ways, conditions = (list(along[name].unique()) for name in ("went_on", "condition"))
    looks = dict(zip(ways, ((INK, "o"), (ORANGE, "^"), (PURPLE, "s"), (GREEN, "D")), strict=False))
    figure, (axes,) = new_figure(1, len(conditions), (4.6 * len(conditions), 4.6), sharey=True)
    said = []
    for ax, condition in zip(axes, conditions, strict=True):
        own = along[along["condition"] == condition]
        for way, (colour, marker) in looks.items():
            for _, seed, place in models_of(part := own[own["went_on"] == way]):
                line = part[part["seed"] == seed]
                ax.errorbar(line["examples"], line["plan_valid"], error_of(line, "plan_valid"),
                            color=colour, marker=marker, lw=1.8, elinewidth=1.2, markersize=7,
                            capsize=3, **look_of_seed(place), label=None if place else way)
                said.append(f"{condition}, {way}: {percents(line['plan_valid'].iloc[[0, -1]])}")
        whole = own.loc[own["left_out"] == "all", "examples"]
        if len(whole):
            ax.axvline(whole.min(), color=FAINT, zorder=0)
        ax.set(title=look_of_condition(condition).label, xlabel="examples gone on with")
        ax.xaxis.set_major_formatter(lambda value, _: spaced(value))
        percent_axis(ax)
    axes[0].set_ylabel("valid plans, held-out mazes")
    handles = {label: handle for ax in axes
               for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4,
                  title=f"n = {span(along['n'])} a point; bars: 95 % intervals; "
                        "grey: first point without a trace")
    figure.alt = (f"Valid plans on held-out mazes while traces are taken away, {seeds_of(along)}, "
                  f"n = {span(along['n'])}, at the first point and at the last. "
                  + "; ".join(said) + ".")
    return figure


@styled
def draw_losses(metrics: pd.DataFrame) -> Figure:
    """Cross entropy of trace and plan tokens, and learning speed, over one training.

    Args:
        metrics: the lines of ``metrics.jsonl``.
    """
    figure, ((ax,),) = new_figure(1, 1, (8, 4.2))
    lines = metrics.dropna(subset="plan_loss")
    for name, label, colour, line in (("trace_loss", "trace tokens", ORANGE, "--"),
                                      ("plan_loss", "plan tokens", GREEN, "-")):
        loss = lines[name].astype(float)
        if loss.notna().any():
            ax.plot(lines["step"], loss, color=colour, alpha=0.25)
            ax.plot(lines["step"], loss.rolling(10, min_periods=1).mean(), color=colour, ls=line,
                    label=f"{label} (mean of 10 readings)")
    ax.set(xlabel="step", ylabel="cross entropy, nats a token", yscale="log")
    ax.legend()
    ax.grid(axis="y")
    last = lines.iloc[-1] if len(lines) else {}
    ends = {name: last.get(f"{name}_loss") for name in ("trace", "plan")}
    figure.alt = ("Cross entropy in nats a token over the steps of one training. "
                  + "; ".join(f"{name} tokens: {loss:.3g} at the end"
                              for name, loss in ends.items() if pd.notna(loss)) + ".")
    return figure


@styled
def draw_rate(settings: TrainingConfig, examples: int) -> Figure:
    """The learning rate (Muon's, if there is one) over the steps of a training."""
    figure, ((ax,),) = new_figure(1, 1, (8, 3))
    steps = settings.epochs * (examples // settings.batch_size)
    shares = np.array([rate(step, steps, settings) for step in range(steps)])
    name, peak = (("Muon", settings.learning_rate) if settings.optimiser == "muon"
                  else ("AdamW", settings.adam_learning_rate))
    ax.plot(shares * peak, color=GREEN)
    ax.set(xlabel="step", ylabel=f"learning rate ({name})", ylim=(0, None))
    ax.grid(axis="y")
    figure.alt = (f"Learning rate of {name} over {steps} steps. It rises to {peak:g} within "
                  f"{settings.warmup_steps} steps and ends at {shares[-1] * peak:.2g}.")
    return figure


@styled
def draw_along(along: pd.DataFrame, steps: int = 10) -> Figure:
    """What models answered while they learnt from it: plans and traces, and how long traces were.

    Args:
        along: of `experiments.grpo`, one way of going on; conditions stand side by side.
        steps: of which a point is the mean.
    """
    own = along.dropna(subset="plan_valid")
    conditions = list(own["condition"].unique())
    figure, axes = new_figure(2, max(len(conditions), 1), (4.6 * max(len(conditions), 2), 6.4),
                              sharey="row", sharex=True, height_ratios=(2, 1))
    lines = {"plan_valid": ("valid plans", GREEN, "-"),
             "trace_valid": ("valid traces", ORANGE, "--"),
             "trace_published": ("valid traces, authors' verdict", PURPLE, ":"),
             "no_spread": ("groups all alike", INK, "-.")}
    said = []
    for condition, (above, below) in zip(conditions, axes.T, strict=False):
        for seed in own["seed"].unique():
            part = own[(own["condition"] == condition) & (own["seed"] == seed)].set_index("step")
            means = part[[*lines, "trace_tokens"]].astype(float).rolling(steps, 1).mean()
            for name, (label, colour, line) in lines.items():
                above.plot(means.index, means[name], color=colour, ls=line, label=label)
            below.plot(means.index, means["trace_tokens"], color=INK)
            said.append(f"{condition}: valid plans {percents(means['plan_valid'].iloc[[0, -1]])}")
            if means["trace_valid"].notna().any():
                said[-1] += f", valid traces {percents(means['trace_valid'].iloc[[0, -1]])}"
        percent_axis(above)
        above.set_title(look_of_condition(condition).label)
        below.set(xlabel="step")
        below.grid(axis="y")
    axes[0][0].set_ylabel("answers, or groups")
    axes[1][0].set_ylabel("tokens of a trace")
    if own.empty:
        nothing(axes[0][0])
        return figure
    labels = dict(zip(*reversed(axes[0][0].get_legend_handles_labels()), strict=True))
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=4,
                  title=f"means of up to {steps} steps, answers drawn at temperature 1")
    figure.alt = (f"What models answered in each step while they learnt from it, {seeds_of(own)}, "
                  f"means of {steps} steps, at the first step and at the last. "
                  + "; ".join(said) + ".")
    return figure


@styled
def draw_changed(changed: pd.DataFrame) -> Figure:
    """How many of all weights a training changed, by way of counting, a panel a condition.

    Args:
        changed: of `experiments.subnetwork`.
    """
    table = changed[changed["weights"] == "all"]
    conditions = list(table["condition"].unique())
    ways = {"at_all": "at all", "above_1e-5": "by more than 0.00001",
            "in_bfloat16": "once rounded to bfloat16", "above_1_percent": "by more than 1 %"}
    looks = dict(zip(("grpo", "continued", "random signs"),
                     ((GREEN, ""), (ORANGE, "//"), (FAINT, "..")), strict=True))
    figure, (axes,) = new_figure(1, len(conditions), (5.6 * len(conditions), 4.4), sharey=True)
    for ax, condition in zip(axes, conditions, strict=True):
        for place, (training, (colour, hatch)) in enumerate(looks.items()):
            part = table[(table["condition"] == condition) & (table["training"] == training)]
            ax.barh(np.arange(len(ways)) + 0.27 * (place - 1), part[list(ways)].mean(),
                    height=0.25, color=colour, hatch=hatch, edgecolor="white", label=training)
        ax.set(title=look_of_condition(condition).label, xlabel="weights changed", xlim=(0, 1))
        ax.set_yticks(range(len(ways)), ways.values())
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].invert_yaxis()  # once: all share it
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    grpo = table[table["training"] == "grpo"].groupby("condition", sort=False)[list(ways)].mean()
    figure.alt = (f"Share of all weights that a training changed, {seeds_of(table)}. GRPO: "
                  + "; ".join(f"{condition} " + ", ".join(
                      f"{label} {percent(row[way])}" for way, label in ways.items())
                      for condition, row in grpo.iterrows()) + ".")
    return figure
