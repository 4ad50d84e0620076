"""How much of a second core a second trainer makes use of: all_reduce_job.py [ROUNDS] [mlp|resnet20...].

A round trains the same job with one trainer on one core (strategy local, pinned) and with two trainers on two cores
(strategy all_reduce), each with OMP_NUM_THREADS=1 and the same batch a trainer. What is compared is samples a second as
the chief's history has them, without the first epoch; the share is that of two divided by twice that of one.
"""

import csv
import gzip
import pathlib
import statistics
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

JOB = """\
name: {name}
cluster:
  trainers: {trainers}
  parameter_servers: 0
  resources: {{trainer: {{cpus: 1, memory: 512MiB}}}}
strategy: {{kind: {strategy}}}
data:
  source: {{kind: mnist, path: {data}}}
  split: {{train: 0.95, validation: 0.05, test: 0, seed: 7}}
  transform: [{{normalize: mnist}}]
  batch_size: {batch}
model: {model}
train:
  epochs: {epochs}
  optimizer: {{kind: sgd, learning_rate: 0.02, momentum: 0.9}}
checkpoint: {{every: 1h, keep: 1}}
output: {{path: {output}}}
"""

MLP = "{layers: [flatten, {dense: {units: 256}}, relu, {dense: {units: 128}}, relu, {dense: {units: 10}}]}"
MODELS = {"mlp": {"model": MLP, "records": 60000, "batch": 64, "epochs": 4},
          "resnet20": {"model": "{preset: resnet20}", "records": 2000, "batch": 64, "epochs": 3}}


class Bench(harness.Workspace):
    def digits(self, records):
        """The first records of MNIST's parts, in a folder."""
        folder = self.path / f"mnist-{records}"
        folder.mkdir(exist_ok=True)
        for part, count in (("train", records), ("t10k", 500)):
            for kind, head, each in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
                data = gzip.open(harness.SHARED / "data" / "mnist" / f"{part}-{kind}-ubyte.gz").read()
                cut = data[:4] + struct.pack(">I", count) + data[8:head + count * each]
                (folder / f"{part}-{kind}-ubyte").write_bytes(cut)
        return folder

    def speed(self, name, trainers, strategy, cores, settings):
        name = f"{name}-{trainers}"
        file = self.path / f"{name}.yaml"
        file.write_text(JOB.format(name=name, trainers=trainers, strategy=strategy, output=self.path / "out" / name,
                                   data=self.digits(settings["records"]), **settings))
        done = subprocess.run(["taskset", "-c", cores, self.bin / "trainyard", "run", file, "--executors", "1"],
                              env={**self.env, "OMP_NUM_THREADS": "1"}, cwd=self.path, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        with (self.path / "out" / name / "history.csv").open() as rows:
            speeds = [float(row["samples_per_second"]) for row in csv.DictReader(rows)]
        return statistics.median(speeds[1:])

    def runTest(self):
        pass


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    bench = Bench()
    bench.setUp()
    try:
        for name in sys.argv[2:] or MODELS:
            ones, twos, shares = [], [], []
            for _ in range(rounds):
                ones.append(bench.speed(name, 1, "local", "0", MODELS[name]))
                twos.append(bench.speed(name, 2, "all_reduce", "0,1", MODELS[name]))
                shares.append(twos[-1] / (2 * ones[-1]))
            print(f"{name}: one trainer {statistics.median(ones):.0f}, two {statistics.median(twos):.0f} samples/s; "
                  f"share {statistics.median(shares):.3f} [{min(shares):.3f}..{max(shares):.3f}], {rounds} rounds",
                  flush=True)
    finally:
        bench.doCleanups()


if __name__ == "__main__":
    main()
