"""What a task is told, what it may do to its node, and what is left of it afterwards: nothing."""

import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import harness

STRAYS = """
import os, signal, time
pidfile = os.environ["TRAINYARD_OUTPUT_DIR"] + ".pids"
def stray():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.closerange(0, 64)
    with open(pidfile, "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(3600)
if os.fork() == 0:          # an ordinary child
    stray()
if os.fork() == 0:          # and one that detaches itself as a daemon does
    os.setsid()
    if os.fork() == 0:
        stray()
    os._exit(0)
time.sleep(3600)
"""

LOUD = """
import os, sys, time
for i in range(4000):
    print("line %06d %s" % (i, "x" * 80), flush=False)
sys.stdout.flush()
print("done", file=sys.stderr, flush=True)
time.sleep(3600)
"""


class Told(harness.Workspace):
    """The real trainer and shard of a real job."""

    def begin(self, *settings):
        self.up("--executors", 1, "--cpus", 4, "--gpus", 2)
        arguments = [part for setting in settings for part in ("--set", setting)]
        id = int(self.expect(0, "submit", self.job_file(epochs=100000), *arguments).stdout)
        return id, self.wait_job(id, lambda job: job["progress"]["step"] > 0)

    def environment_of(self, pid):
        pairs = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        return dict(pair.split("=", 1) for pair in pairs if pair)

    def test_every_task_is_told_what_the_contract_names(self):
        id, job = self.begin("cluster.resources.trainer.gpus=1", "cluster.resources.trainer.cpus=1.5")
        gpus = []
        for task in job["tasks"]:
            told = self.environment_of(task["pid"])
            self.assertEqual(told["TRAINYARD_JOB"], str(id))
            self.assertEqual(told["TRAINYARD_ROLE"], task["role"])
            self.assertEqual(told["TRAINYARD_INDEX"], str(task["index"]))
            self.assertEqual(told["TRAINYARD_INCARNATION"], "1")
            self.assertEqual(json.loads(told["TRAINYARD_CLUSTER_SPEC"])["gang"], {"trainer": 2, "ps": 2})
            self.assertEqual(told["TRAINYARD_OUTPUT_DIR"], str(self.path / "out" / "small"))
            self.assertTrue(told["TRAINYARD_CHECKPOINT_DIR"].startswith(told["TRAINYARD_OUTPUT_DIR"]))
            trainer = task["role"] == "trainer"
            self.assertEqual(told["OMP_NUM_THREADS"], "2" if trainer else "1")
            self.assertEqual(told["CUDA_VISIBLE_DEVICES"] != "", trainer)
            gpus += [told["CUDA_VISIBLE_DEVICES"]] if trainer else []
        self.assertEqual(sorted(gpus), ["0", "1"], "each GPU is granted once")

    def test_every_task_listens_where_the_cluster_spec_says(self):
        id, job = self.begin()
        addresses = {f"{task['role']}-{task['index']}": task["address"] for task in job["tasks"]}
        self.assertEqual(len(set(addresses.values())), 4, addresses)
        for name, address in addresses.items():
            host, port = address.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=5).close()
            role, index = name.rsplit("-", 1)
            self.assertEqual(job["cluster_spec"][role][int(index)], address)
        metrics = harness.fetch(addresses["trainer-1"], "/metrics")[1]
        steps = re.search(r"^trainyard_trainer_steps_total (\d+)", metrics, re.M)
        self.assertGreater(int(steps.group(1)), 0)
        for phase in ("input", "compute", "exchange"):
            self.assertIn(f'trainyard_trainer_seconds_total{{phase="{phase}"}}', metrics)

    def test_logs_can_be_followed_from_any_line_until_the_job_ends(self):
        id, _ = self.begin()
        follow = self.start("logs", id, "-f")
        next(line for line in follow.stdout if "epoch 3/" in line)
        tail = self.start("logs", id, "trainer-0", "-f", "--tail", 0)
        seen = [line for line in itertools.islice(follow.stdout, 40) if "epoch" in line]
        self.assertTrue(any(line.startswith("trainer-0 | ") for line in seen), seen)
        newest = int(re.search(r"epoch (\d+)/", seen[-1]).group(1))
        first = re.search(r"epoch (\d+)/", next(line for line in tail.stdout if "epoch" in line))
        self.assertGreater(int(first.group(1)), 3, "--tail 0 shows what is new only")
        self.assertEqual(len(self.expect(0, "logs", id, "trainer-0", "--tail", 3).stdout.splitlines()), 3)
        self.expect(0, "cancel", id)
        rest = follow.stdout.read()  # also what is buffered already, which communicate() would pass over
        self.assertEqual((follow.wait(timeout=30), follow.stderr.read()), (0, ""))
        last = [int(n) for n in re.findall(r"epoch (\d+)/", rest)]
        self.assertEqual(last, list(range(newest + 1, newest + 1 + len(last))), "no line is lost or repeated")
        self.assertIn("asked to save and stop", rest)

    def test_the_cause_of_a_killed_task_names_the_signal(self):
        id, job = self.begin("cluster.restarts=0")
        os.kill(job["tasks"][1]["pid"], signal.SIGKILL)
        job = self.wait_end(id)
        self.assertEqual(job["state"], "FAILED")
        self.assertIn("signal 9 (SIGKILL", job["cause"])
        task = job["tasks"][1]
        self.assertEqual((task["state"], task["signal"], task["exit_code"]), ("FAILED", 9, None))
        self.assertIn("trainer-1 on node-1 was killed by signal 9", self.expect(0, "job", id).stdout)


class Foreign(harness.Workspace):
    """A program in the trainer's place that behaves badly."""

    def begin(self, script, *settings):
        self.use_trainer(script)
        self.up("--executors", 1, "--cpus", 4)
        id = int(self.expect(0, "submit", self.job_file(), "--set", "cluster.trainers=1", *settings).stdout)
        job = self.wait_job(id, lambda job: all(task["pid"] for task in job["tasks"]) and job["tasks"])
        return id, job

    def assert_all_gone(self, pids, seconds):
        deadline = time.monotonic() + seconds
        while any(map(harness.alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual([pid for pid in pids if harness.alive(pid)], [])

    def strays(self):
        file = self.path / "out" / "small.pids"
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            pids = file.read_text().split() if file.exists() else []
            if len(pids) == 2:
                return [int(pid) for pid in pids]
            time.sleep(0.05)
        self.fail("the strays did not start")

    def test_what_a_task_left_behind_is_gone_after_a_cancel(self):
        (self.path / "out").mkdir()
        id, job = self.begin(STRAYS)
        pids = [task["pid"] for task in job["tasks"]] + self.strays()
        self.expect(0, "cancel", id)
        self.assertEqual(self.wait_end(id, 30)["state"], "CANCELLED")
        self.assert_all_gone(pids, 1)

    def test_what_a_killed_task_left_behind_is_gone_with_it(self):
        (self.path / "out").mkdir()
        id, job = self.begin(STRAYS, "--set", "cluster.restarts=0")
        strays = self.strays()
        os.kill(job["tasks"][0]["pid"], signal.SIGKILL)
        self.assertEqual(self.wait_end(id, 30)["state"], "FAILED")
        self.assert_all_gone(strays, 1)

    def test_down_leaves_no_stray(self):
        (self.path / "out").mkdir()
        _, job = self.begin(STRAYS)
        pids = [task["pid"] for task in job["tasks"]] + self.strays()
        self.expect(0, "down", "--dir", self.path / "cluster")
        self.assert_all_gone(pids, 0)

    def test_a_log_is_rotated_at_its_size(self):
        self.use_trainer(LOUD)
        self.up("--executors", 1, "--cpus", 1)
        master = self.env["TRAINYARD_MASTER"]
        quiet = self.start_executor(master, "executor.name=quiet", "executor.log_bytes_max=64KiB", "executor.cpus=8",
                                    f"executor.work_dir={self.path}/quiet")
        id = int(self.expect(0, "submit", self.job_file(), "--set", "cluster.trainers=1", "--set",
                             "cluster.resources.trainer.cpus=6").stdout)
        self.wait_job(id, lambda job: job["tasks"] and any(t["pid"] for t in job["tasks"] if t["role"] == "trainer"))
        log = self.path / "quiet" / "tasks" / f"{id}-trainer-0-1"
        deadline = time.monotonic() + 10
        while not (log / "stderr.log").exists() or b"done" not in (log / "stderr.log").read_bytes():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        sizes = {file.name: file.stat().st_size for file in log.glob("stdout.log*")}
        self.assertIn("stdout.log.1", sizes)
        self.assertLess(sum(size for name, size in sizes.items() if name in ("stdout.log", "stdout.log.1")),
                        4 * 64 * 1024)
        text = self.expect(0, "logs", id, "trainer-0", "--tail", 2).stdout
        self.assertIn("line 003999", text)
        quiet.send_signal(signal.SIGTERM)

    def start_executor(self, master, *settings):
        command = [self.bin / "trainyard-executor", "--set", f"executor.master={master}"]
        for setting in settings:
            command += ["--set", setting]
        process = subprocess.Popen(command, env=self.env, cwd=self.path, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(harness.end, process)
        return process


if __name__ == "__main__":
    harness.main()
