"""What the end-to-end tests share: the real binaries, clusters in temporary directories, small jobs, and waiting.

Only the standard library is used. TRAINYARD_BIN is the directory of the binaries, TRAINYARD_SHARED that of real
datasets (optional). Nothing survives a test: clusters are brought down and directories removed even when it fails.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TRAINYARD_BIN", ROOT / "build" / "release" / "bin"))
SHARED = pathlib.Path(os.environ.get("TRAINYARD_SHARED", ROOT.parent / "shared"))
SKIPPED = 77  # what CTest knows as a skipped test

BUNDLE_FILES = ("model.onnx", "weights.safetensors", "labels.txt", "bundle.yaml", "metrics.json", "history.csv",
                "report.html")

JOB = """\
kind: train
name: {name}
cluster:
  trainers: 2
  parameter_servers: 2
  restarts: 3
  resources:
    trainer: {{cpus: 0.5, memory: 512MiB}}
    ps: {{cpus: 0.25, memory: 256MiB}}
data:
  source: {{kind: images, path: {data}}}
  split: {{train: 0.8, validation: 0.1, test: 0.1, seed: 7}}
  transform: [{{resize: [32, 32]}}, {{flip: horizontal}}, {{normalize: imagenet}}]
  batch_size: 16
model:
  layers:
    - conv2d: {{filters: 16, kernel: 3}}
    - batch_norm: {{}}
    - relu: {{}}
    - max_pool: {{size: 2}}
    - conv2d: {{filters: 32, kernel: 3}}
    - relu: {{}}
    - max_pool: {{size: 2}}
    - flatten: {{}}
    - dense: {{units: 5}}
  loss: softmax_cross_entropy
train:
  epochs: {epochs}
  optimizer: {{kind: sgd, learning_rate: 0.03, momentum: 0.9}}
  seed: 7
checkpoint: {{every: 1s, keep: 2}}
output: {{path: {output}}}
"""


def environment(**extra):
    """This process's environment without what would lead the CLI to somebody's real cluster."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TRAINYARD_")}
    kept.update(NO_COLOR="1", **extra)
    return kept


class Workspace(unittest.TestCase):
    """A test with a directory of its own, which is also HOME and the working directory of what it starts."""

    def setUp(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="trainyard-e2e-"))
        self.addCleanup(shutil.rmtree, self.path, ignore_errors=True)
        self.clusters = []
        self.addCleanup(self.stop_clusters)
        self.env = environment(HOME=str(self.path), TMPDIR=str(self.path))
        self.bin = BIN

    def stop_clusters(self):
        for directory in self.clusters:
            self.cli("down", "--dir", directory)
        leftovers = processes_below(self.path)
        for pid in leftovers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    # What is typed at a shell.

    def cli(self, *arguments, env=None, timeout=120):
        return subprocess.run([self.bin / "trainyard", *map(str, arguments)], env={**self.env, **(env or {})},
                              cwd=self.path, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout)

    def expect(self, code, *arguments, **options):
        done = self.cli(*arguments, **options)
        self.assertEqual(done.returncode, code,
                         f"trainyard {' '.join(map(str, arguments))}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        self.assertNotIn("terminate called", done.stderr)
        return done

    def up(self, *arguments, directory=None):
        directory = directory or self.path / "cluster"
        if directory not in self.clusters:
            self.clusters.append(directory)
        done = self.expect(0, "up", "--dir", directory, *arguments)
        self.env["TRAINYARD_MASTER"] = done.stdout.strip()
        return done

    def start(self, *arguments, **options):
        """The program, running beside the test; ended with it."""
        process = subprocess.Popen([self.bin / "trainyard", *map(str, arguments)], env=self.env, cwd=self.path,
                                   text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, **options)
        self.addCleanup(end, process)
        return process

    def use_trainer(self, script):
        """Binaries whose trainer is this Python program: what a task of somebody else may do to a node."""
        self.bin = self.path / "bin"
        shutil.copytree(BIN, self.bin)
        trainer = self.bin / "trainyard-trainer"
        trainer.unlink()
        trainer.write_text(f"#!{sys.executable} -B\n{script}")
        trainer.chmod(0o755)

    def small_disk(self, megabytes):
        """A file system of a few megabytes of its own, or the test is skipped by name."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="disk-", dir=self.path))
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder],
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if mounted.returncode != 0:
            raise unittest.SkipTest(f"no small file system can be mounted here: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], stdin=subprocess.DEVNULL, check=True)
        return folder

    def cluster(self, directory=None):
        return json.loads(((directory or self.path / "cluster") / "cluster.json").read_text())

    def daemon_pid(self, name):
        return next(p["pid"] for p in self.cluster()["processes"] if p["name"] == name)

    # Jobs.

    def pictures(self, count=24):
        """Drawn flowers, `count` of each of the five kinds."""
        folder = self.path / f"flowers-{count}"
        if not folder.exists():
            subprocess.run([python_with("PIL"), ROOT / "scripts" / "make_flowers.py", folder, "--count", str(count)],
                           check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return folder

    def job_file(self, name="small", epochs=3, data=None, text=JOB):
        file = self.path / f"{name}.yaml"
        file.write_text(text.format(name=name, epochs=epochs, data=data or self.pictures(),
                                    output=self.path / "out" / name))
        return file

    def job(self, id):
        return json.loads(self.expect(0, "job", id, "-o", "json").stdout)

    def wait_until(self, holds, seconds=30):
        deadline = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), deadline, "it did not come to hold")
            time.sleep(0.05)

    def wait_job(self, id, until, seconds=60):
        """Polls until until(job) holds. A master that is away for a moment is no failure."""
        deadline = time.monotonic() + seconds
        job = None
        while time.monotonic() < deadline:
            done = self.cli("job", id, "-o", "json")
            if done.returncode == 0:
                job = json.loads(done.stdout)
                if until(job):
                    return job
            time.sleep(0.1)
        self.fail(f"job {id} did not come so far in {seconds} s:\n{json.dumps(job, indent=1)[-4000:]}")

    def wait_end(self, id, seconds=120):
        return self.wait_job(id, lambda job: job["state"] in ("SUCCEEDED", "FAILED", "CANCELLED"), seconds)

    def assert_bundle(self, folder):
        missing = [name for name in BUNDLE_FILES if not (pathlib.Path(folder) / name).is_file()]
        self.assertEqual(missing, [], f"{folder} has {sorted(p.name for p in pathlib.Path(folder).iterdir())}")


def python_with(*modules):
    """A Python that has these modules, or the test is skipped by name."""
    for python in ("/usr/bin/python3", sys.executable):
        if subprocess.run([python, "-c", "import " + ", ".join(modules)], stdin=subprocess.DEVNULL,
                          capture_output=True).returncode == 0:
            return python
    raise unittest.SkipTest(f"no Python with {', '.join(modules)}")


def drop_key(value, key):
    """Removes a key wherever it is in nested JSON."""
    if isinstance(value, dict):
        value.pop(key, None)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        drop_key(inner, key)


def processes_below(directory):
    """Trainyard's processes that work below a directory."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(") ")[2][:1]
        except OSError:
            continue
        if state != "Z" and "trainyard-" in command.partition("\0")[0] and f"{directory}/" in command:
            found.append(int(entry.name))
    return found


def end(process):
    """Kills what a test has started, if it still runs, and closes its pipes."""
    if process.poll() is None:
        process.kill()
    process.communicate()


def fetch(address, path, method="GET", body=None, headers=None):
    """Status, body, headers of one HTTP request; errors are answers too."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        connection.close()


def fill(folder):
    """Writes until the file system is full. Gives the file that fills it."""
    file = folder / "fill"
    with open(file, "wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass
    return file


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in ("Z", "X")
    except OSError:
        return False


def need_shared(name):
    """The real dataset, or the test is skipped by name."""
    folder = SHARED / "data" / name
    if not folder.is_dir():
        raise unittest.SkipTest(f"no dataset at {folder}")
    return folder


def main():
    """unittest.main, but a run that skipped everything ends with the code that CTest knows as skipped."""
    result = unittest.main(module="__main__", exit=False, verbosity=2).result
    if not result.wasSuccessful() or result.testsRun == 0:
        sys.exit(1)
    sys.exit(SKIPPED if len(result.skipped) == result.testsRun else 0)
