#!/usr/bin/env python3
"""Training steps of our engine in fp32, bf16 and fp16 on this processor, in one run and asked in turn.

Printed: the median of each and its spread in milliseconds a step, and fp32 over it (above 1 it is faster).

Usage: precision.py [--networks resnet18,mlp,...] [--threads 1,2] [--rounds 5] [--seconds 0.5] [--precisions fp32,bf16]
The binary is taken from TRAINYARD_BENCH (default build/release/bench).
"""

import argparse
import os
import pathlib
import statistics

from engine import BATCH, Side, spread


def measure(name, threads, options):
    binary = os.path.join(options.bench, "engine_step")
    sides = {precision: Side([binary, name, str(BATCH[name]), precision], threads)
             for precision in options.precisions.split(",")}
    for side in sides.values():
        side.warm()
    for _ in range(options.rounds):
        for side in sides.values():
            side.round(options.seconds)
    memory = {precision: side.end() for precision, side in sides.items()}
    first = statistics.median(next(iter(sides.values())).rounds)
    cells = [f"{spread(side.rounds)} | {first / statistics.median(side.rounds):.2f} | {memory[precision]}"
             for precision, side in sides.items()]
    print(f"| {name} | {BATCH[name]} | {threads} | " + " | ".join(cells) + " |", flush=True)


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="resnet18,mlp")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--precisions", default="fp32,bf16")
    options = parser.parse_args()
    options.bench = os.environ.get("TRAINYARD_BENCH", root / "build/release/bench")
    heads = [f"{precision}, ms a step | {options.precisions.split(',')[0]} / {precision} | MiB"
             for precision in options.precisions.split(",")]
    print("| network | batch | threads | " + " | ".join(heads) + " |")
    print("|" + "---|" * (3 + 3 * len(heads)))
    for name in options.networks.split(","):
        for threads in options.threads.split(","):
            measure(name, int(threads), options)


if __name__ == "__main__":
    main()
