"""The course of a run as an SVG: calls, cores and set-up times over the seconds. No library: three panels of lines."""

from collections.abc import Sequence
from html import escape
from typing import Any

WIDTH, PANEL, LEFT, RIGHT, GAP, TOP = 900, 150, 60, 150, 40, 50
COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8d6a9f")


def draw(result: dict[str, Any], title: str) -> str:
    course = result["course"]
    end_s = max([*course["at_s"], *course["answered_at_s"], 1.0])
    window = _window(result)
    panels = [
        _panel(0, "calls", end_s, window, course["at_s"], {name: course[name] for name in ("talking", "waiting")}),
        _panel(
            1, "CPU cores", end_s, window, course["at_s"], {n: course[n] for n in ("engine", "generator") if course[n]}
        ),
        _dots(2, "INVITE to 200, ms", end_s, window, course["answered_at_s"], course["set_up_ms"]),
    ]
    height = TOP + 3 * (PANEL + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
        ' font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="{LEFT}" y="24" font-size="14">{escape(title)}</text>\n' + "".join(panels) + "</svg>\n"
    )


def _window(result: dict[str, Any]) -> tuple[float, float]:
    asked = result["parameters"]
    return asked["warm_up_s"], asked["warm_up_s"] + asked["duration_s"]


def _nice(highest: float) -> float:
    """The end of an axis: 1, 2 or 5 times a power of ten."""
    step = 10.0 ** len(str(int(highest))) / 10 if highest >= 1 else 0.1
    return next((n * step for n in (1, 2, 5, 10) if n * step >= highest), highest)


def _x(at_s: float, end_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at_s / end_s


def _frame(number: int, name: str, end_s: float, window: tuple[float, float], highest: float) -> tuple[str, float]:
    """Axes, and the measured window as a grey field. Also where the panel's bottom is."""
    top = TOP + number * (PANEL + GAP)
    bottom = top + PANEL
    from_x, to_x = (_x(min(at_s, end_s), end_s) for at_s in window)
    parts = [
        f'<rect x="{from_x:.1f}" y="{top}" width="{to_x - from_x:.1f}" height="{PANEL}" fill="#f2f2f2"/>',
        f'<path d="M{LEFT} {top}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="#444"/>',
        f'<text x="{LEFT}" y="{top - 6}">{escape(name)}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        parts.append(
            f'<text x="{LEFT - 6}" y="{bottom - PANEL * share + 4}" text-anchor="end">{highest * share:g}</text>'
        )
        parts.append(
            f'<text x="{_x(end_s * share, end_s)}" y="{bottom + 15}" text-anchor="middle">{end_s * share:.0f} s</text>'
        )
    return "\n".join(parts) + "\n", bottom


def _panel(
    number: int,
    name: str,
    end_s: float,
    window: tuple[float, float],
    at_s: Sequence[float],
    lines: dict[str, Sequence[float]],
) -> str:
    highest = _nice(max((max(values, default=0.0) for values in lines.values()), default=1.0))
    svg, bottom = _frame(number, name, end_s, window, highest)
    for place, (label, values) in enumerate(lines.items()):
        points = " ".join(
            f"{_x(at, end_s):.1f},{bottom - PANEL * value / highest:.1f}"
            for at, value in zip(at_s, values, strict=False)
        )
        colour, y = COLOURS[place], bottom - PANEL + 14 + 18 * place
        svg += f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>\n'
        svg += f'<text x="{WIDTH - RIGHT + 12}" y="{y}" fill="{colour}">{escape(label)}</text>\n'
    return svg


def _dots(
    number: int, name: str, end_s: float, window: tuple[float, float], at_s: Sequence[float], values: Sequence[float]
) -> str:
    highest = _nice(max(values, default=1.0))
    svg, bottom = _frame(number, name, end_s, window, highest)
    dots = "".join(
        f"M{_x(at, end_s):.1f} {bottom - PANEL * value / highest:.1f}h.01"
        for at, value in zip(at_s, values, strict=True)
    )
    return (
        svg + f'<path d="{dots}" stroke="{COLOURS[2]}" stroke-width="3" stroke-linecap="round" stroke-opacity="0.4"/>\n'
    )
