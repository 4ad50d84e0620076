#!/usr/bin/env python3
"""Tables (Markdown, printed) and pictures (SVG) of what dc_asgd.py wrote.

Usage: dc_asgd_plot.py CSV FOLDER
Writes FOLDER/dc_asgd_rates.svg, dc_asgd_curves.svg and dc_asgd_lambda.svg. Needs nothing but Python.
"""

import collections
import csv
import html
import math
import pathlib
import statistics
import sys

RULES = {"sync": "SSGD", "async": "ASGD", "constant": "DC-ASGD-c", "adaptive": "DC-ASGD-a"}
COLOURS = {"SGD": "#444444", "SSGD": "#1b7837", "ASGD": "#c51b1b", "DC-ASGD-c": "#d98c00", "DC-ASGD-a": "#2166ac"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 340, 62, 130, 34, 46


class Plot:
    """Lines with error bars over one axis; its places are given, evenly spaced or not."""

    def __init__(self, title, x_title, y_title, places, labels, low, high):
        self.places, self.low, self.high = places, low, high
        self.legend = 0
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
                      f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
                      f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
                      self.text(LEFT, 20, title, "start", 14),
                      self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_title, "middle"),
                      f'<g transform="rotate(-90 16 {HEIGHT / 2})">{self.text(16, HEIGHT / 2, y_title, "middle")}</g>']
        step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if (high - low) / s <= 8)
        tick = -(-low // step) * step
        while tick <= high + 1e-9:
            y = self.y(tick)
            self.parts += [f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>',
                           self.text(LEFT - 6, y + 4, f"{tick:g}" if step >= 1 else f"{tick:.2f}", "end")]
            tick += step
        for place, label in zip(places, labels):
            self.parts.append(self.text(self.x(place), HEIGHT - BOTTOM + 18, label, "middle"))

    @staticmethod
    def text(x, y, words, anchor, size=12):
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(words)}</text>'

    def x(self, place):
        first, last = self.places[0], self.places[-1]
        return LEFT + 14 + (place - first) / max(1e-9, last - first) * (WIDTH - LEFT - RIGHT - 28)

    def y(self, value):
        inside = min(max(value, self.low), self.high)
        return HEIGHT - BOTTOM - (inside - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def line(self, name, points, dashed=False, shift=0.0):
        """points: (place, value, spread)"""
        colour = COLOURS[name.split(",")[0]]
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        at = [(self.x(place) + shift, self.y(value), self.y(value - spread), self.y(value + spread))
              for place, value, spread in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in at)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        for x, y, low, high in at:
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            if low != high:
                self.parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}"/>')
        y = TOP + 12 + 18 * self.legend
        x = WIDTH - RIGHT + 8
        self.parts += [f'<line x1="{x}" x2="{x + 18}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"{dash}/>',
                       self.text(x + 24, y + 4, name, "start")]
        self.legend += 1

    def write(self, path):
        path.write_text("\n".join(self.parts + ["</svg>"]) + "\n")


def read(path):
    """{(rule, trainers, rate, lambda, decay, turns): {seed: {epoch: row}}}; rows with numbers in percent."""
    runs = collections.defaultdict(lambda: collections.defaultdict(dict))
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            key = (row["rule"], int(row["trainers"]), float(row["rate"]), float(row["lambda"]), float(row["decay"]),
                   row["turns"])
            values = {name: float(row[name]) for name in ("train_loss", "test_loss")}
            values |= {name: 100 * float(row[name]) for name in ("train_error", "test_error")}
            runs[key][int(row["seed"])][int(row["epoch"])] = values
    return runs


def spread_of(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def last(seeds, name="test_error"):
    """The value of the last epoch of each seed."""
    return [epochs[max(epochs)][name] for _, epochs in sorted(seeds.items())]


def name_of(rule, trainers):
    return "SGD" if trainers == 1 else RULES[rule]


def shown(values, digits=2):
    """Mean and standard deviation."""
    if not values:
        return ""
    if math.inf in values:
        return "diverged"
    more = f" ± {spread_of(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{more}"


def usual(runs, rule, trainers, strength, turns="fixed"):
    """{rate: seeds} of a rule with the strength that the table has."""
    return {key[2]: seeds for key, seeds in runs.items()
            if key[:2] == (rule, trainers) and key[5] == turns and key[3] == strength.get(rule, 0)
            and key[4] == (0.95 if rule == "adaptive" else 0)}


def rates_table(runs, strength, column):
    rates = sorted({key[2] for key in runs})
    print("| | trainers | " + " | ".join(f"rate {rate:g}" for rate in rates) + " | seeds |")
    print("|---|---|" + "---|" * (len(rates) + 1))
    for trainers in (1, 4, 8):
        for rule in RULES:
            of = usual(runs, rule, trainers, strength)
            if not of or (trainers == 1 and rule != "sync"):
                continue
            digits = 3 if column.endswith("loss") else 2
            counts = [str(len(of.get(rate, {}))) for rate in rates]
            print(f"| {name_of(rule, trainers)} | {trainers} | "
                  + " | ".join(shown(last(of[rate], column), digits) if rate in of else "" for rate in rates)
                  + f" | {', '.join(counts)} |")
    print()


def paired(runs, strength):
    """Differences to ASGD, seed by seed: what the seeds have in common cancels."""
    print("| trainers | rate | ASGD − SGD | DC-ASGD-c − ASGD | DC-ASGD-a − ASGD |\n|---|---|---|---|---|")
    for trainers in (4, 8):
        base = usual(runs, "async", trainers, strength)
        for rate in sorted(base):
            cells = []
            for rule, count, sign in (("sync", 1, -1), ("constant", trainers, 1), ("adaptive", trainers, 1)):
                other = usual(runs, rule, count, strength).get(rate, {})
                both = sorted(set(other) & set(base[rate]))
                cells.append(shown([sign * (a - b) for a, b in zip(last({s: other[s] for s in both}),
                                                                  last({s: base[rate][s] for s in both}))]))
            print(f"| {trainers} | {rate:g} | " + " | ".join(cells) + " |")
    print()


def rates_picture(runs, strength, path):
    rates = sorted({key[2] for key in runs})
    values = [value for (rule, trainers, *_), seeds in runs.items() for value in last(seeds) if value < 90]
    plot = Plot("Test error by learning rate, 8 trainers", "learning rate", "test error, %", list(range(len(rates))),
                [f"{rate:g}" for rate in rates], min(values) - 1, max(values) + 1)
    for rule, trainers in (("sync", 1), ("sync", 8), ("async", 8), ("constant", 8), ("adaptive", 8)):
        of = usual(runs, rule, trainers, strength)
        if of:
            errors = [(rates.index(rate), last(of[rate])) for rate in sorted(of)]
            plot.line(name_of(rule, trainers), [(at, statistics.mean(own), spread_of(own)) for at, own in errors],
                      dashed=trainers == 1)
    plot.write(path)


def curves_picture(runs, strength, rate, path):
    lines = []
    for rule, trainers in (("sync", 1), ("sync", 8), ("async", 8), ("constant", 8), ("adaptive", 8)):
        seeds = usual(runs, rule, trainers, strength).get(rate)
        if seeds:
            epochs = sorted(set.intersection(*(set(one) for one in seeds.values())))
            lines.append((name_of(rule, trainers), trainers == 1,
                          [(epoch, statistics.mean([one[epoch]["train_loss"] for one in seeds.values()]),
                            spread_of([one[epoch]["train_loss"] for one in seeds.values()])) for epoch in epochs]))
    values = [point[1] for _, _, points in lines for point in points]
    epochs = [point[0] for point in lines[0][2]]
    plot = Plot(f"Training loss, 8 trainers, rate {rate:g}", "epoch", "mean loss, nats", epochs, list(map(str, epochs)),
                min(values) - 0.05, max(values) + 0.05)
    for number, (name, dashed, points) in enumerate(lines):
        plot.line(name, points, dashed, shift=2.0 * number - 4)
    plot.write(path)


def sweep(runs, rate, path):
    """What lambda and decay do, of the first seed."""
    runs = {key: {1: seeds[1]} for key, seeds in runs.items() if 1 in seeds}
    plain = last(usual(runs, "async", 8, {}).get(rate, {}))
    found = {}
    print(f"8 trainers, rate {rate:g}, the first seed:\n\n| | lambda | decay | test error, % | training loss |")
    print("|---|---|---|---|---|")
    for key, seeds in sorted(runs.items()):
        if key[0] in ("constant", "adaptive", "async") and key[1:3] == (8, rate) and key[5] == "fixed":
            losses = last(seeds, "train_loss")
            print(f"| {RULES[key[0]]} | {key[3]:g} | {key[4]:g} | "
                  f"{'' if math.inf in losses else shown(last(seeds))} | {shown(losses, 3)} |")
            if key[4] == (0.95 if key[0] == "adaptive" else 0):
                found.setdefault(key[0], []).append((key[3], statistics.mean(losses), spread_of(losses)))
    print()
    strengths = sorted({point[0] for rule in ("constant", "adaptive") for point in found.get(rule, [])})
    if not plain or not strengths:
        return
    zero = found["async"][0]
    points = [point[1] for rule in found for point in found[rule] if point[1] < 10]
    plot = Plot(f"Training loss by lambda, 8 trainers, rate {rate:g}", "lambda (0: ASGD)", "mean loss, nats",
                list(range(len(strengths) + 1)), ["0"] + [f"{s:g}" for s in strengths], min(points) - 0.02,
                max(points) + 0.02)
    for rule in ("constant", "adaptive"):
        own = [(0, zero[1], zero[2])]
        own += [(strengths.index(s) + 1, loss, spread) for s, loss, spread in sorted(found.get(rule, [])) if loss < 10]
        plot.line(RULES[rule], own)
    plot.write(path)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    runs, folder = read(sys.argv[1]), pathlib.Path(sys.argv[2])
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    import dc_asgd
    strength = {"constant": dc_asgd.CONSTANT, "adaptive": dc_asgd.ADAPTIVE}
    top = max(dc_asgd.RATES)
    for column in ("test_error", "train_loss"):
        print(f"{column} of the last epoch\n")
        rates_table(runs, strength, column)
    paired(runs, strength)
    sweep(runs, top, folder / "dc_asgd_lambda.svg")
    for rule in ("async", "constant", "adaptive"):
        for rate, seeds in sorted(usual(runs, rule, 8, strength, "shuffled").items()):
            print(f"shuffled turns, 8 trainers, rate {rate:g}: {RULES[rule]} {shown(last(seeds))}, {len(seeds)} seeds")
    rates_picture(runs, strength, folder / "dc_asgd_rates.svg")
    curves_picture(runs, strength, top, folder / "dc_asgd_curves.svg")


if __name__ == "__main__":
    main()
