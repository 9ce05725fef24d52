"""Figures of trainings: table in, Figure out."""


import numpy as np
import pandas as pd

from helpers.optimisation import TrainingConfig, rate
from helpers.show.looks import (
    GREEN,
    ORANGE,
    Figure,
    legend,
    look_of_condition,
    look_of_seed,
    models_of,
    new_figure,
    percent_axis,
    styled,
)
from helpers.show.words import percents, seeds_of, spaced, span


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
