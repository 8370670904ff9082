"""Draw the dashboard as one PNG, every panel from a running Prometheus, to look at without Grafana.

    python -m docker.monitoring.render http://127.0.0.1:9090 dashboard.png [--minutes 15]

Takes queries, legends, units and stacking from the dashboard itself, so a panel that is empty or
nonsense here is so in Grafana. Needs matplotlib, of the extra `dev`.
"""

import argparse
import itertools
import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from docker.monitoring.panels import Panel, rows_with
from docker.monitoring.series import service_metrics

_COLUMNS = 3
_NUM_POINTS = 200
# Grafana's choice for a graph whose scrapes are 15 s apart; here also for shorter ones.
_LEAST_RATE_SECONDS = 10
_UNITS = {"reqps": "requests/s", "s": "s", "percentunit": "share", "bytes": "", "none": ""}


@dataclass(frozen=True)
class Window:
    """What is looked at: seconds since the epoch, and between two points."""

    start: float
    end: float

    @property
    def step(self) -> float:
        return max(1.0, (self.end - self.start) / _NUM_POINTS)

    @property
    def rate_interval(self) -> str:
        """What `$__rate_interval` stands for."""
        return f"{max(_LEAST_RATE_SECONDS, math.ceil(4 * self.step))}s"


@dataclass(frozen=True)
class Line:
    """One time series of a panel: seconds since the window's start, and values."""

    legend: str
    seconds: Sequence[float]
    values: Sequence[float]


def draw_dashboard(prometheus: str, path: Path, window: Window) -> list[str]:
    """Draw all panels; gives the titles of those without data.

    Raises:
        OSError: Prometheus does not answer, or refuses a query.
    """
    panels = [panel for row in rows_with(service_metrics()) for panel in row.panels]
    num_rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(6 * _COLUMNS, 3 * num_rows), layout="constrained")
    axes = list(figure.subplots(num_rows, _COLUMNS, squeeze=False).flat)
    empty = []
    for panel, one in zip(panels, axes, strict=False):
        lines = _ask(prometheus, panel, window)
        _draw_panel(one, panel, lines)
        if not lines:
            empty.append(panel.title)
    for unused in axes[len(panels) :]:
        unused.set_axis_off()
    figure.savefig(path, dpi=70)
    return empty


def _ask(prometheus: str, panel: Panel, window: Window) -> list[Line]:
    lines = []
    for query in panel.queries:
        parameters = {
            "query": query.expression.replace("$__rate_interval", window.rate_interval),
            "start": window.start,
            "end": window.end,
            "step": window.step,
        }
        url = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as reply:
            answer = json.load(reply)
        lines += [
            _line(query.legend, one["metric"], one["values"], window)
            for one in answer["data"]["result"]
        ]
    return lines


def _line(
    legend: str, labels: Mapping[str, str], points: Sequence[tuple[float, str]], window: Window
) -> Line:
    return Line(
        legend=re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), legend),
        seconds=[at - window.start for at, _ in points],
        values=[float(value) for _, value in points],
    )


def _draw_panel(axes: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    axes.set_title(panel.title, fontsize=10)
    axes.set_ylabel(_UNITS.get(panel.unit, panel.unit), fontsize=8)
    axes.tick_params(labelsize=7)
    if not lines:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes)
        return
    if panel.is_stacked:
        seconds = sorted({at for line in lines for at in line.seconds})
        by_second = [dict(zip(line.seconds, line.values, strict=True)) for line in lines]
        heights = [[values.get(at, 0.0) for at in seconds] for values in by_second]
        axes.stackplot(seconds, heights, labels=[line.legend for line in lines], alpha=0.6)
    else:
        for line in lines:
            axes.plot(*_with_gaps(line), label=line.legend, linewidth=1)
    top = axes.get_ylim()[1]
    axes.set_ylim(0, 1.35 * top)  # what is above the lines is the legend's
    if panel.unit == "bytes":
        axes.yaxis.set_major_formatter(EngFormatter(unit="B"))
    axes.legend(fontsize=7, ncols=2, loc="upper left", framealpha=0.6)


def _with_gaps(line: Line) -> tuple[list[float], list[float]]:
    """The line, interrupted where points are missing: where a replica was away."""
    seconds, values = list(line.seconds[:1]), list(line.values[:1])
    steps = [after - before for before, after in itertools.pairwise(line.seconds)]
    for step, at, value in zip(steps, line.seconds[1:], line.values[1:], strict=True):
        if step > 1.5 * min(steps):
            seconds.append(at - step / 2)
            values.append(math.nan)
        seconds.append(at)
        values.append(value)
    return seconds, values


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m docker.monitoring.render")
    parser.add_argument("prometheus", help="its address, http://HOST:PORT")
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--minutes", type=float, default=15, help="until now (15)")
    options = parser.parse_args(arguments)
    now = time.time()
    window = Window(now - 60 * options.minutes, now)
    empty = draw_dashboard(options.prometheus.rstrip("/"), options.out, window)
    sys.stderr.write(f"{options.out}; without data: {', '.join(empty) or 'none'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
