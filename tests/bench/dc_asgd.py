#!/usr/bin/env python3
"""The trainings of docs/experiments/dc_asgd.md. Each that is over is a line an epoch in a CSV file, and not run again.

Usage: dc_asgd.py PICTURES CSV [--stage sweep,table,rates,seeds,turns] [--processes 1]
PICTURES is CIFAR-10 as JPEG files (train/<class>/*.jpg, test/<class>/*.jpg): a folder, or a tar of it. The program is
taken from TRAINYARD_BENCH (default build/release/bench). Each process is one thread. dc_asgd_plot.py makes tables and
pictures of the CSV.
"""

import argparse
import csv
import os
import pathlib
import queue
import subprocess
import sys
import tarfile
import tempfile
import threading

COLUMNS = ["rule", "trainers", "rate", "lambda", "decay", "seed", "turns", "batch", "epochs", "clip", "declines",
           "epoch", "train_loss", "train_error", "test_loss", "test_error", "seconds"]
SIDE, TRAIN, TEST = 16, 10000, 5000
BATCH, EPOCHS, DECLINES = 32, 8, "5;7"
RATES = (0.1, 0.2, 0.4)
SEEDS = (1, 2, 3)
# What the sweep of stage 1 chose.
CONSTANT, ADAPTIVE, KEEP = 30, 2, 0.95
CASES = [("sync", 1)] + [(rule, trainers) for trainers in (8, 4)
                         for rule in ("async", "adaptive", "constant", "sync")]


def run(rule, trainers, rate, seed=1, strength=None, keep=None, turns="fixed"):
    """One training, as the program takes it."""
    usual = {"constant": (CONSTANT, 0), "adaptive": (ADAPTIVE, KEEP)}.get(rule, (0, 0))
    strength, keep = usual[0] if strength is None else strength, usual[1] if keep is None else keep
    return f"{rule} {trainers} {rate:g} {strength:g} {keep:g} {seed} {turns} {BATCH} {EPOCHS} 0 {DECLINES}"


def stages():
    top, others = max(RATES), sorted(RATES)[-2::-1]
    sweep = [run("async", 8, top)]
    sweep += [run("adaptive", 8, top, strength=s) for s in (0.5, 1, 2, 4, 8, 32)]
    sweep += [run("constant", 8, top, strength=s) for s in (0.04, 1, 10, 30, 100)]
    sweep += [run("adaptive", 8, top, strength=2, keep=k) for k in (0, 0.5)]
    return {"sweep": sweep,
            "table": [run(*case, top, seed) for seed in SEEDS for case in CASES],
            "rates": [run(*case, rate) for rate in others for case in CASES],
            "seeds": [run(*case, rate, seed) for rate in others for seed in SEEDS for case in CASES],
            "turns": [run(rule, 8, top, seed, turns="shuffled") for seed in SEEDS
                      for rule in ("async", "constant", "adaptive")]}


def finished(path):
    """The runs whose last epoch is there, and the rows of those."""
    if not path.exists():
        return set(), []
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    whole = {" ".join(row[:11]) for row in rows if len(row) == len(COLUMNS) and row[8] == row[11]}
    return whole, [row for row in rows if " ".join(row[:11]) in whole]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("csv", type=pathlib.Path)
    parser.add_argument("--stage", default="sweep,table,rates,seeds,turns")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    done, rows = finished(options.csv)
    with open(options.csv, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS] + rows)

    todo = queue.Queue()
    asked = set(done)
    for stage in options.stage.split(","):
        for line in stages()[stage]:
            if line not in asked:
                asked.add(line)
                todo.put(line)
    print(f"{len(done)} runs are done, {todo.qsize()} to go", file=sys.stderr)

    here = pathlib.Path(__file__).resolve().parent
    bench = pathlib.Path(os.environ.get("TRAINYARD_BENCH", here.parents[1] / "build/release/bench"))
    lock = threading.Lock()
    with tempfile.TemporaryDirectory() as folder:
        if options.pictures.is_dir():
            folder = options.pictures
        else:
            with tarfile.open(options.pictures) as archive:
                archive.extractall(folder)

        def work():
            program = subprocess.Popen(
                [bench / "dc_asgd", folder, here / "dc_asgd.yaml", str(SIDE), str(TRAIN), str(TEST)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
            while True:
                try:
                    line = todo.get_nowait()
                except queue.Empty:
                    break
                program.stdin.write(line + "\n")
                program.stdin.flush()
                own = []
                while not own or own[-1].split(",")[8] != own[-1].split(",")[11]:
                    own.append(program.stdout.readline())
                    if not own[-1]:
                        sys.exit("the program ended early")
                with lock, open(options.csv, "a") as file:
                    file.writelines(own)
                print(own[-1].strip(), file=sys.stderr)
            program.stdin.close()
            program.wait()

        workers = [threading.Thread(target=work) for _ in range(options.processes)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    main()
