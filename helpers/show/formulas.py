"""Markdown as HTML whose formulas are small drawings: MathJax would come from elsewhere."""

import re
from functools import cache
from html import escape
from io import StringIO
from zlib import crc32

from matplotlib import rc_context
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser, math_to_image
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath


class Renderer(IPythonRenderer):
    """Markdown whose formulas are small drawings: MathJax would come from elsewhere."""

    def inline_math(self, body: str) -> str:
        return formula(body)

    def block_math(self, body: str) -> str:
        return f'<p class="formula">{formula(body)}</p>\n'


def markdown(source: str) -> str:
    renderer = Renderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)


@cache
def formula(tex: str) -> str:
    """A formula as inline SVG with its TeX as words; the TeX alone where it cannot be drawn."""
    words = " ".join(tex.split())
    drawn = re.sub(r"\\[bp]mod\b", r"\\;\\mathrm{mod}\\;", words)
    drawn = re.sub(r"\\text\{([^}]*)\}", lambda m: rf"\mathrm{{{m[1]}}}".replace(" ", r"\ "), drawn)
    size = FontProperties(size=12)
    buffer = StringIO()
    try:
        depth = MathTextParser("path").parse(f"${drawn}$", 72, size).depth
        with rc_context({"mathtext.fontset": "cm", "svg.hashsalt": "formula"}):
            math_to_image(f"${drawn}$", buffer, size, dpi=72, format="svg", color="#010203")
    except ValueError:
        return f"<code>{escape(words)}</code>"
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg"):].replace("#010203", "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="[^"]*patch[^"]*"', "", svg)
    name = f"formula{crc32(tex.encode()):x}"
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg", f'<svg class="formula" role="img" aria-label="{escape(words)}" '
                               f'style="vertical-align: {-depth:.1f}pt"', 1)
