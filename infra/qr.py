"""QR codes."""

import io

import segno


def svg(text: str) -> str:
    """The text as an SVG element without styles or scripts."""
    page = io.BytesIO()
    segno.make(text, error="m").save(page, kind="svg", scale=5, border=4, xmldecl=False, svgns=False, light="#fff", omitsize=False)
    return page.getvalue().decode()
