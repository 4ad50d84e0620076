#!/usr/bin/env python3
"""Predictions of the pretrained networks beside the checkout, by our engine and by onnxruntime, in one run.

Both sides stay up as processes and are asked in turn. Printed: the medians and spreads of both, their ratio
(onnxruntime over ours; above 1 we are faster), and the most memory that each side had.

Usage: inference.py [--networks mobilenet_v2_100_224,...] [--threads 1,2] [--batches 1,64] [--rounds 7] [--seconds 1.0]
The binary is taken from TRAINYARD_BENCH (default build/release/bench), the networks from TRAINYARD_SHARED (default
../shared), onnxruntime from TRAINYARD_ORT_PYTHON, a Python that has it (default: build/venv/bin/python).
"""

import argparse
import os
import pathlib
import statistics
import sys
import time

from engine import Side, spread

NETWORKS = ("mobilenet_v2_100_224", "squeezenet_1_1")


def peer(path, batch):
    """The other side: the same protocol as engine_infer."""
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = ((numpy.arange(batch * 3 * 224 * 224) % 251) / 125 - 1).astype(numpy.float32).reshape(batch, 3, 224, 224)
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    for line in sys.stdin:
        begin = time.perf_counter()
        for _ in range(int(line)):
            result = session.run([output], {name: images})
        took = (time.perf_counter() - begin) * 1000 / int(line)
        print(took, float(result[0].ravel()[0]), flush=True)


def measure(network, batch, threads, options):
    path = os.path.join(options.models, network + ".onnx")
    ours = Side([options.ours, path, str(batch)], threads)
    other = Side([options.ort, "-B", __file__, "--peer", path, str(batch)], threads)
    for side in (ours, other):
        side.warm()
    for _ in range(options.rounds):
        for side in (ours, other):
            side.round(options.seconds)
    memory = [side.end() for side in (ours, other)]
    ratio = statistics.median(other.rounds) / statistics.median(ours.rounds)
    print(f"| {network} | {batch} | {threads} | {spread(ours.rounds)} | {spread(other.rounds)} | {ratio:.2f} "
          f"| {memory[0]} / {memory[1]} |", flush=True)


def main():
    if sys.argv[1:2] == ["--peer"]:
        return peer(sys.argv[2], int(sys.argv[3]))
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--batches", default="1,64")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    options.models = os.path.join(os.environ.get("TRAINYARD_SHARED", root.parent / "shared"), "models")
    options.ours = os.path.join(os.environ.get("TRAINYARD_BENCH", root / "build/release/bench"), "engine_infer")
    options.ort = os.environ.get("TRAINYARD_ORT_PYTHON", str(root / "build/venv/bin/python"))
    print("| network | batch | threads | ours, ms: median (spread) | onnxruntime, ms | onnxruntime / ours "
          "| most memory, MiB |\n|---|---|---|---|---|---|---|")
    for network in options.networks.split(","):
        for batch in options.batches.split(","):
            for threads in options.threads.split(","):
                measure(network, int(batch), int(threads), options)


if __name__ == "__main__":
    main()
