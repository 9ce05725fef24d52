"""Interactive views for notebooks: a maze goes in, an ipywidgets widget comes out.

A widget needs a running kernel; a notebook shows a figure of `helpers.show.figures` beside it,
which is there on a static page too.
"""

from io import BytesIO

import ipywidgets
from matplotlib.figure import Figure

from helpers.astar import solve
from helpers.maze import Maze
from helpers.show.figures import draw_trace
from helpers.show.tables import open_list


def trace_slider(maze: Maze) -> ipywidgets.VBox:
    """A slider (and a play button) that steps through the A* trace of a maze.

    Shows the grid and, beside it, the open list in the order of insertion.
    """
    trace, plan = solve(maze)
    slider = ipywidgets.IntSlider(1, 0, len(trace), description="events",
                                  layout=ipywidgets.Layout(width="32em"))
    play = ipywidgets.Play(1, 0, len(trace), interval=900)
    ipywidgets.jslink((play, "value"), (slider, "value"))
    picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(width="28em"))
    listing = ipywidgets.HTML()

    def show(_=None) -> None:
        written = trace[:slider.value]
        done = slider.value == len(trace)
        picture.value = png(draw_trace(maze, trace, slider.value, plan if done else None))
        listing.value = ("<b>open list</b>, in the order of insertion"
                         + open_list(maze, written).to_html(index=False, border=0))

    slider.observe(show, "value")
    show()
    return ipywidgets.VBox([ipywidgets.HBox([play, slider]),
                            ipywidgets.HBox([picture, listing])])


def png(figure: Figure) -> bytes:
    """A figure as PNG, at its own resolution and size."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
