"""What a reader guessed beforehand, drawn into a finished figure as stars::

    with_guess(figure, {("swapped", "Wilson"): 50})

A guess is named by what the figure itself prints, in any order: the panel, the place on its axis (a
label, or a number), and, where there are several, whose marks. Rates are in per cent.
"""

import math
import re
from collections.abc import Iterable, Mapping
from numbers import Real

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryLocator
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, PercentFormatter

from helpers.generators import GENERATORS
from helpers.show.looks import INK, Figure, styled

Word = str | float


@styled
def with_guess(figure: Figure, guess: Mapping[tuple[Word, ...], float]) -> Figure:
    """The figure, with a star at each place that was guessed.

    Args:
        figure: a chart; without a guess it stays as it is.
        guess: words of the figure → a number on the scale of the axis, per cent where that has
            some. Where no panel is named the first counts.

    Raises:
        ValueError: no such guess, a word that the figure does not have, no place, or no number, or
            one beyond 0 to 100 per cent.
    """
    guess = _read(guess)
    for words, value in guess.items():
        ax, along, place, mark = _found(figure, words)
        across = ax.yaxis if along is ax.xaxis else ax.xaxis
        if isinstance(percent := across.get_major_formatter(), PercentFormatter):
            if not 0 <= value <= 100:
                raise ValueError(f"guess: got {value}, takes 0 to 100 per cent")
            value *= percent.xmax / 100
        x, y = (place, value) if along is ax.xaxis else (value, place)
        ax.plot(x, y, ls="", marker="*", markersize=15, markerfacecolor="none", zorder=8,
                markeredgewidth=1.5, color=mark.get_color() if mark else INK)
    if guess:
        for legend in figure.legends[:1]:
            title = legend.get_title()
            title.set_text("; ".join(filter(None, (title.get_text(), "stars: guessed"))))
        figure.alt += " Guessed, as stars: " + "; ".join(
            f"{', '.join(map(str, words))} {value:g}" for words, value in guess.items()) + "."
    return figure


def _read(guess: Mapping) -> dict[tuple[Word, ...], float]:
    """A guess as it is meant: a single word needs no brackets."""
    if not isinstance(guess, Mapping):
        raise ValueError(f"guess: got {guess!r}, takes {{(words of the figure): number}}")
    read = {}
    for key, value in guess.items():
        words = key if isinstance(key, tuple) else (key,)
        if foreign := [word for word in words if not (isinstance(word, str) or _is_number(word))]:
            raise ValueError(f"guess: got {foreign[0]!r}, takes a word or a number of the figure")
        if not _is_number(value):
            raise ValueError(f"guess: got {value!r} for {', '.join(map(str, words))}, takes a "
                             "number")
        read[words] = value
    return read


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _found(figure: Figure, words: tuple[Word, ...]) -> tuple[Axes, Axis, float, Line2D | None]:
    """The panel that words name, the axis of the place, the place on it, and whose mark."""
    panels = [ax for ax in figure.axes if ax.axison]
    named = [ax for word in words for ax in panels if _plain(word) in _names(ax)]
    ax = (named or panels)[0]
    marks = _marks(figure, panels)
    places = {name: (axis, at) for axis in (ax.yaxis, ax.xaxis) for at, label in _labels(axis)
              for name in _spellings(label)}
    found, mark = None, None
    for word in words:
        name = _plain(word)
        fitting = [one for label, one in marks.items() if _plain(label).startswith(name)]
        if name in places:
            found = places[name]
        elif not isinstance(word, str) and not any(map(str.isalpha, "".join(_words(ax)))):
            found = ax.xaxis, float(word)
        elif fitting:
            mark = fitting[0]
        elif not any(name in _names(panel) for panel in panels):
            raise ValueError(f"guess: got {word!r}, takes one of " + _listed(
                [*(panel.get_title() for panel in panels), *_words(ax), *marks]))
    if found is None:
        raise ValueError(f"guess: {', '.join(words) or 'nothing'} says no place, takes one of "
                         f"{_listed(_words(ax)) or 'the numbers of the axis'}")
    mark = mark if isinstance(mark, Line2D) else None  # bars have no place of their own
    return ax, found[0], _beside(ax, *found, mark), mark


def _beside(ax: Axes, along: Axis, place: float, mark: Line2D | None) -> float:
    """Where near a place the marks of that colour stand, if there are some."""
    lines = [line for line in ax.lines if mark and line.get_color() == mark.get_color()]
    near = [at for line in lines for at in (
        line.get_xdata() if along is ax.xaxis else line.get_ydata()) if abs(at - place) < 0.5]
    return min(near, key=lambda at: abs(at - place), default=place)


def _marks(figure: Figure, panels: Iterable[Axes]) -> dict:
    """The marks of all legends, by what is said of them."""
    legends = [*figure.legends, *filter(None, (ax.get_legend() for ax in panels))]
    return {text.get_text(): mark for legend in legends for mark, text in
            zip(legend.legend_handles, legend.get_texts(), strict=True)}


def _names(ax: Axes) -> set[str]:
    """How a panel may be called: by its title, or by what it measures."""
    return {name for text in (ax.get_title(), ax.get_xlabel().partition(" / ")[0])
            if text for name in _spellings(text)}


def _labels(axis: Axis) -> list[tuple[float, str]]:
    """Places that have words of their own, no numbers of a scale."""
    if not isinstance(axis.get_major_locator(), FixedLocator | StrCategoryLocator):
        return []
    places = axis.get_majorticklocs()
    labels = axis.get_major_formatter().format_ticks(places)
    return [(float(at), label) for at, label in zip(places, labels, strict=True) if label]


def _words(ax: Axes) -> list[str]:
    return [label for axis in (ax.xaxis, ax.yaxis) for _, label in _labels(axis)]


def _listed(labels: Iterable[str]) -> str:
    """Labels, each once and on one line."""
    lines = (" ".join(label.replace("-\n", "-").split()) for label in labels if label)
    return ", ".join(dict.fromkeys(lines))


def _spellings(label: str) -> set[str]:
    """A label, and the code of the generator whose label it is."""
    codes = [name for name, one in GENERATORS.items() if _plain(one.label) == _plain(label)]
    return {_plain(name) for name in (label, *codes)}


def _plain(word: Word) -> str:
    """Without case, spaces, hyphens within words and line ends."""
    if not isinstance(word, str):
        return f"{word:g}"
    return re.sub(r"[^\w+-]+|_|(?<=\w)-", "", word.replace("×", "x")).casefold()
