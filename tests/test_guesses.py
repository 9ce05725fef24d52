"""What a reader guesses stands in the figure, where the figure has what is guessed."""

import pandas as pd
import pytest
from matplotlib.ticker import PercentFormatter
from test_charts import headline

from helpers.conditions import CONDITIONS
from helpers.show import charts, curves, looks
from helpers.show.guesses import with_guess
from helpers.show.looks import INK


def stars(figure) -> list[tuple[int, float, float, str]]:
    """Panel, place, height and colour of each star."""
    assert looks.png(figure).startswith(b"\x89PNG")
    return [(number, *(float(data[0]) for data in line.get_data()), line.get_color())
            for number, ax in enumerate(figure.axes) for line in ax.lines
            if line.get_marker() == "*"]


@pytest.fixture
def figure():
    return charts.draw_headline(headline(distributions=["wilson", "drunkards_walk"]))


def test_without_a_guess_a_figure_stays_as_it_is(figure):
    before, alt = looks.png(figure), figure.alt
    assert looks.png(with_guess(figure, {})) == before
    assert figure.alt == alt


def test_stars_stand_where_their_models_do(figure):
    seen = {line.get_color(): list(line.get_xdata()) for line in figure.axes[0].lines}
    with_guess(figure, {("swapped", "drunkards_walk"): 40, ("Wilson", "solution_only"): 0,
                        ("Is the trace a valid A* run?", "correct", "Drunkard's Walk"): 100})
    first, second, third = sorted(stars(figure), key=lambda star: (star[0], star[2]))
    grey, orange, blue = (CONDITIONS[name].colour
                          for name in ("solution_only", "swapped", "correct"))
    assert first == (0, seen[grey][0], 0, grey)
    assert second == (0, seen[orange][1], 0.4, orange)
    assert third[0] == 1
    assert third[2:] == (1, blue)
    assert figure.legends[0].get_title().get_text().endswith("; stars: guessed")
    assert "swapped, drunkards_walk 40" in figure.alt


@pytest.mark.parametrize(("guess", "message"), [
    ({("swopped", "Wilson"): 40}, r"got 'swopped', takes one of Is the plan valid\?, .*Wilson"),
    ({("swapped", "DFS"): 40}, "got 'DFS', takes one of .*Wilson, Drunkard's Walk, .*swapped"),
    ({("swapped",): 40}, "guess: swapped says no place, takes one of Wilson, Drunkard's Walk$"),
    ({("swapped", "Wilson"): 140}, "guess: got 140, takes 0 to 100 per cent"),
    ({("swapped", "Wilson"): "40"}, "guess: got '40' for swapped, Wilson, takes a number"),
    ({("swapped", "Wilson"): (30, 50)}, r"guess: got \(30, 50\) for swapped, Wilson, takes a "),
    ({("swapped", "Wilson"): None}, "guess: got None for swapped, Wilson, takes a number"),
    ({("swapped", "Wilson"): float("nan")}, "guess: got nan for swapped, Wilson, takes a number"),
    ({("swapped", ("Wilson",)): 40}, r"guess: got \('Wilson',\), takes a word or a number"),
    ({"swapped, Wilson": 40}, "got 'swapped, Wilson', takes one of .*Wilson"),
    ({("swapped", 3): 40}, "guess: got 3, takes one of .*Wilson"),
    ({(): 40}, "guess: nothing says no place, takes one of Wilson, Drunkard's Walk$"),
    ([40], r"guess: got \[40\], takes {\(words of the figure\): number}"),
    (None, "guess: got None, takes ")])
def test_a_guess_of_something_else(figure, guess, message):
    with pytest.raises(ValueError, match=message):
        with_guess(figure, guess)
    assert not stars(figure)


def test_a_single_word_needs_no_brackets(figure):
    assert [star[2] for star in stars(with_guess(figure, {"Wilson": 40}))] == [0.4]


def test_places_that_are_numbers():
    """Those of a scale as they are; those that are labels by what they say."""
    rates = pd.DataFrame([("correct", 1, kind, weight, 40, rate) for kind in ("wilson", "dfs")
                          for weight, rate in ((1.0, 0.5), (4.0, 0.75))],
                         columns=["condition", "seed", "distribution", "plan_weight", "n",
                                  "plan_valid"])
    figure = with_guess(charts.draw_plan_weight(rates), {("DFS", 4): 60, ("Wilson", "1"): 50})
    assert [star[:3] for star in stars(figure)] == [(0, 0, 0.5), (1, 1, 0.6)]
    losses = pd.DataFrame({"step": [10, 20], "trace_loss": [2.0, 1.0], "plan_loss": [3.0, 2.0]})
    figure = with_guess(curves.draw_losses(losses), {("plan tokens", 0): 3.5})
    assert stars(figure) == [(0, 0, 3.5, looks.GREEN)]


def test_bars_that_lie():
    changed = pd.DataFrame([("correct", 1, training, "all", 0.9, 0.5, 0.3, 0.1)
                            for training in ("grpo", "continued", "random signs")],
                           columns=["condition", "seed", "training", "weights", "at_all",
                                    "above_1e-5", "in_bfloat16", "above_1_percent"])
    figure = with_guess(curves.draw_changed(changed), {("correct", "grpo", "at all"): 30})
    assert isinstance(figure.axes[0].xaxis.get_major_formatter(), PercentFormatter)
    assert stars(figure) == [(0, 0.3, 0, INK)]
