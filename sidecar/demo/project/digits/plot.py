"""A line of numbers as an SVG picture, without a plotting library."""

from pathlib import Path

WIDTH, HEIGHT = 320, 160


def curve(values, path):
    """Writes a curve of values between 0 and 1."""
    step = WIDTH / max(1, len(values) - 1)
    points = " ".join(f"{i * step:.0f},{HEIGHT * (1 - v):.0f}" for i, v in enumerate(values))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<polyline points="{points}" fill="none" stroke="teal" stroke-width="2"/></svg>\n'
    )
