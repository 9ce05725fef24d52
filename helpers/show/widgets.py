"""Interactive views for notebooks: a maze goes in, an ipywidgets widget comes out.

A widget needs a running kernel; a notebook shows a figure of `helpers.show.figures` beside it,
which is there on a static page too.
"""

from base64 import b64encode
from functools import cache
from html import escape

import ipywidgets

from helpers.astar import solve
from helpers.maze import Maze
from helpers.show.figures import draw_trace
from helpers.show.looks import png
from helpers.show.tables import open_list


def trace_slider(maze: Maze) -> ipywidgets.VBox:
    """A slider (and a play button) that steps through the A* trace of a maze.

    Shows the grid and, beside it, the open list in the order of insertion. The slider's value
    is the only state; picture, list and the count of events reach the page in one message, so
    none of them runs ahead of the others however slowly a picture is drawn.
    """
    trace, plan = solve(maze)
    slider = ipywidgets.IntSlider(1, 0, len(trace), description="events", readout=False,
                                  layout=ipywidgets.Layout(width="32em"))
    play = ipywidgets.Play(1, 0, len(trace), interval=900)
    ipywidgets.link((play, "value"), (slider, "value"))  # by way of the kernel, as the view comes
    view = ipywidgets.HTML()

    @cache  # a moment that was drawn is there at once when it comes again
    def page(moment: int) -> str:
        done = moment == len(trace)
        figure = draw_trace(maze, trace, moment, plan if done else None)
        image = b64encode(png(figure)).decode()
        listing = open_list(maze, trace[:moment]).to_html(index=False, border=0)
        return (f'<div style="display: flex"><img style="width: 28em" alt="{escape(figure.alt)}" '
                f'src="data:image/png;base64,{image}"><div>'
                f"<p><b>{moment} of {len(trace)} events</b>{', the search is over' * done}</p>"
                f"<p><b>open list</b>, in the order of insertion</p>{listing}</div></div>")

    def show(_=None) -> None:
        view.value = page(slider.value)

    slider.observe(show, "value")
    show()
    return ipywidgets.VBox([ipywidgets.HBox([play, slider]), view])
