"""The report, as Markdown and JSON, and charts drawn by hand."""
import json
import math

COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#ff7f0e", "#7f7f7f", "#17becf"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 320, 60, 40, 30


def axis_text(x, y, text, anchor="middle"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text}</text>'


def frame(title, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            f'font-size="11"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
            f'{axis_text(WIDTH / 2, 16, title)}{"".join(parts)}</svg>\n')


def lines(title, x_label, y_label, series):
    """A chart with logarithmic axes; `series` are points (x, y) by name."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points if y > 0]
    low_x, high_x = math.log2(min(xs)), math.log2(max(xs))
    low_y, high_y = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    across, down = WIDTH - LEFT - 130, HEIGHT - BOTTOM - TOP

    def place(x, y):
        return (LEFT + (math.log2(x) - low_x) / max(high_x - low_x, 1e-9) * across,
                TOP + (high_y - math.log10(max(y, 10 ** low_y))) / max(high_y - low_y, 1e-9) * down)
    parts = []
    for power in range(low_y, high_y + 1):
        _, y = place(min(xs), 10 ** power)
        parts.append(f'<path d="M{LEFT} {y:.0f}h{across}" stroke="#ddd"/>'
                     + axis_text(LEFT - 6, y + 4, f"{10 ** power:g}", "end"))
    for x in sorted(set(xs)):
        parts.append(axis_text(place(x, 10 ** low_y)[0], HEIGHT - BOTTOM + 14, f"{x:g}"))
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="{WIDTH - 122}" y="{TOP + 18 * i}" width="10" height="10" fill="{colour}"/>'
                     + axis_text(WIDTH - 108, TOP + 18 * i + 9, name, "start"))
    parts.append(axis_text(LEFT + across / 2, HEIGHT - 6, x_label))
    parts.append(axis_text(LEFT, TOP - 4, y_label))
    return frame(title, parts)


def bars(title, unit, stacks):
    """Horizontal stacked bars: parts by name, by bar."""
    names = list(dict.fromkeys(name for stack in stacks.values() for name in stack))
    most = max(sum(stack.values()) for stack in stacks.values()) or 1
    across = WIDTH - 300
    parts = []
    step = min(40, (HEIGHT - 60) / max(len(stacks), 1))
    for row, (label, stack) in enumerate(stacks.items()):
        x, y = 190, TOP + row * step
        parts.append(axis_text(184, y + step / 2 + 2, label, "end"))
        for name, value in stack.items():
            width = value / most * across
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{step - 6:.1f}" '
                         f'fill="{COLOURS[names.index(name) % len(COLOURS)]}"/>')
            x += width
        parts.append(axis_text(x + 4, y + step / 2 + 2, f"{sum(stack.values()):.0f}", "start"))
    for i, name in enumerate(names):
        x = 20 + i * 76
        parts.append(f'<rect x="{x}" y="{HEIGHT - 22}" width="9" height="9" fill="{COLOURS[i % len(COLOURS)]}"/>'
                     + axis_text(x + 12, HEIGHT - 14, name, "start"))
    return frame(f"{title} ({unit})", parts)


def number(value):
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def charts(details):
    found = {}
    if details.get("load"):
        load = details["load"]
        found["latency-against-load"] = lines("GET one task: latency against load", "connections", "ms", {
            f"{who} {key}": [(r["connections"], r[who][key]) for r in load]
            for who in ("taskflow", "drf") for key in ("p50", "p99")})
    if details.get("sizes"):
        found["cost-against-size"] = bars("CPU of one request against the number of tasks", "microseconds", {
            f"{name}, {size['tasks']:,} tasks": size[name]["cpu_us"]
            for name in ("one", "list") for size in details["sizes"]})
    return found


def markdown(result, pictures, report):
    details, about = result["details"], result["about"]
    text = ["# Benchmarks", "",
            f"Made by `{about['command']}` on {about['date']}: {about['processors']} processors ({about['model']}), "
            f"{about['tasks']:,} tasks in 100 organizations, commit {about['commit']}. "
            f"Nothing here is written by hand; the figures are also in [{report}.json]({report}.json). "
            "How they are made: "
            "[Tests/Benchmarks](../Tests/Benchmarks/README.md).", "",
            f"Every ratio is the median of {about['rounds']} rounds in which both sides took turns, "
            f"{about['seconds']} s each, with the load generator on the same machine. "
            f"Absolute figures depend on the machine, and on what else ran on it: "
            f"the load average was {about['load_before']} before and {about['load_after']} after. "
            "Rate limits were off.", "",
            "| what | target | measured | met |", "|---|---|---|---|"]
    for row in result["rows"]:
        relation = {">=": "≥", "<=": "≤"}[row["relation"]]
        met = "not measured" if row["met"] is None else "yes" if row["met"] else "**no**"
        note = f" ({row['note']})" if row["note"] else ""
        text.append(f"| {row['what']}{note} | {relation} {row['target']:g} {row['unit']} | "
                    f"{number(row['measured'])} {row['unit'] if row['measured'] is not None else ''} | {met} |")
    text += ["", "The growth of memory over half an hour is not part of this run.", "",
             "## What was set against what", "",
             "CPU is microseconds of processor time for each request, from `/proc/PID/stat`.", ""]
    for name, sides in details["comparisons"].items():
        text += [f"### {name}", "", "| side | requests/s | p50 ms | p99 ms | CPU |", "|---|---|---|---|---|"]
        for side, found in sides.items():
            cpu = ", ".join(f"{process} {spent:.0f}" for process, spent in found["cpu_us"].items() if spent >= 1)
            times = " | ".join(number(found[key]) for key in ("rate", "p50", "p99"))
            text.append(f"| {side} | {times} | {cpu} |")
        text.append("")
    for name in pictures:
        text += [f"![{name.replace('-', ' ')}]({report}/{name}.svg)", ""]
    if details.get("lag"):
        text += ["## Event lag", "", 
                 "From the commit of a created task to the commit that applied it in Notification, by Postgres's "
                 "commit times.", "", "| asked/s | reached/s | events | p50 ms | p99 ms | longest ms |",
                 "|---|---|---|---|---|---|"]
        text += [f"| {r['asked']} | {r['reached']:.0f} | {r['events']} | {r['p50']:.2f} | {r['p99']:.2f} | "
                 f"{r['max']:.2f} |" for r in details["lag"]] + [""]
    if details.get("memory"):
        text += ["## Resident memory, MB", "", "| | " + " | ".join(next(iter(details["memory"].values()))) + " |",
                 "|---|" + "---|" * len(next(iter(details["memory"].values())))]
        text += [f"| {label} | " + " | ".join(f"{v:.0f}" for v in found.values()) + " |"
                 for label, found in details["memory"].items()] + [""]
    if details.get("pages"):
        text += ["## Every list at two sizes", "",
                 "p99 in ms of an admin's page of up to 50, two connections, and how many tasks are on the page.", "",
                 "| query | " + " | ".join(f"{size} tasks | shown" for size in details["pages"]) + " | ratio |",
                 "|---|" + "---|" * (2 * len(details["pages"]) + 1)]
        small, large = details["pages"].values()
        text += [f"| `{page}` | {small[page]['p99']:.1f} | {small[page]['tasks']} | {large[page]['p99']:.1f} | "
                 f"{large[page]['tasks']} | {large[page]['p99'] / small[page]['p99']:.2f} |" for page in small] + [""]
    if details.get("explain"):
        text += ["### The slowest of them", "", "```", details["explain"], "```", ""]
    return "\n".join(text).rstrip() + "\n"


def write(result, folder, name):
    """`name`.md, `name`.json and the charts in a folder `name`."""
    pictures = charts(result["details"])
    (folder / name).mkdir(parents=True, exist_ok=True)
    for picture, text in pictures.items():
        (folder / name / f"{picture}.svg").write_text(text)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown(result, pictures, name))
