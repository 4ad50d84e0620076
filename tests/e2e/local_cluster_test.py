"""A cluster on this machine, by hand: up, look around, submit, cancel, down."""

import json
import os
import signal
import subprocess
import time
import unittest

import harness


class LocalCluster(harness.Workspace):
    def test_up_twice_down_twice(self):
        first = self.up("--executors", 2)
        again = self.up("--executors", 2)
        self.assertEqual(first.stdout, again.stdout)
        self.assertIn("runs already", again.stderr)
        nodes = json.loads(self.expect(0, "nodes", "-o", "json").stdout)["nodes"]
        self.assertEqual(sorted(node["name"] for node in nodes), ["node-1", "node-2"])
        pids = [process["pid"] for process in self.cluster()["processes"]]
        self.expect(0, "down", "--dir", self.path / "cluster")
        self.assertEqual([pid for pid in pids if harness.alive(pid)], [])
        self.assertEqual(harness.processes_below(self.path), [])
        self.assertIn("no cluster", self.expect(0, "down", "--dir", self.path / "cluster").stderr)
        self.expect(3, "jobs")

    def test_the_default_cluster_is_found_without_being_named(self):
        default = self.path / ".local" / "state" / "trainyard"
        self.clusters.append(default)
        self.expect(0, "up", "--executors", 1)
        self.assertIn("node-1", self.expect(0, "nodes").stdout)
        self.assertIn("node-1", self.expect(0, "node", "node-1").stdout)
        self.expect(0, "down")
        self.assertEqual(harness.processes_below(self.path), [])

    def test_what_does_not_exist_is_exit_code_4(self):
        self.up("--executors", 1)
        for arguments in (("job", "999"), ("cancel", "999"), ("logs", "999"), ("node", "nobody")):
            done = self.expect(4, *arguments)
            self.assertEqual(done.stdout, "")

    def test_what_no_node_could_ever_hold_is_exit_code_5(self):
        self.up("--executors", 1)
        for verb in (("submit",), ("submit", "--dry-run"), ("run",)):
            done = self.expect(5, *verb, self.job_file(), "--set", "cluster.resources.trainer.gpus=64")
            self.assertIn("gpu", done.stderr.lower())
        self.assertEqual(json.loads(self.expect(0, "jobs", "--all", "-o", "json").stdout)["jobs"], [])

    def test_a_job_is_submitted_seen_read_and_cancelled(self):
        self.up("--executors", 1, "--cpus", 4)
        self.expect(0, "submit", self.job_file(), "--dry-run")
        id = int(self.expect(0, "submit", self.job_file(epochs=1000)).stdout)
        job = self.wait_job(id, lambda job: job["progress"]["step"] > 0)
        self.assertEqual(job["name"], "small")
        self.assertEqual(len(job["tasks"]), 4)
        self.assertEqual({task["state"] for task in job["tasks"]}, {"RUNNING"})
        self.assertIn("small", self.expect(0, "jobs").stdout)
        self.assertIn("small", self.expect(0, "jobs", "-o", "yaml").stdout)
        self.assertIn("trainer-0", self.expect(0, "job", id).stdout)
        self.assertIn("trainer-0 | ", self.expect(0, "logs", id).stdout)
        self.assertTrue(self.expect(0, "logs", id, "trainer-0", "--tail", 1).stdout)
        pids = [task["pid"] for task in job["tasks"]]
        self.expect(0, "cancel", id)
        self.assertEqual(self.wait_end(id, 30)["state"], "CANCELLED")
        self.assert_gone(pids)
        self.expect(0, "cancel", id)
        self.assertIn("CANCELLED", self.expect(0, "jobs", "--all").stdout)

    def test_down_stops_a_running_job_and_everything_of_it(self):
        self.up("--executors", 1, "--cpus", 4)
        id = int(self.expect(0, "submit", self.job_file(epochs=1000)).stdout)
        job = self.wait_job(id, lambda job: job["progress"]["step"] > 0)
        self.expect(0, "down", "--dir", self.path / "cluster")
        self.assert_gone([task["pid"] for task in job["tasks"]], seconds=1)
        self.assertEqual(harness.processes_below(self.path), [])

    def test_ctrl_c_ends_run_with_130_and_takes_its_own_cluster_along(self):
        file = self.job_file(epochs=1000)
        run = subprocess.Popen([harness.BIN / "trainyard", "run", file], env=self.env, cwd=self.path, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for line in run.stderr:
            if "epoch 1/" in line:
                break
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=40)
        self.assertEqual(run.returncode, 130)
        self.assertEqual(harness.processes_below(self.path), [])

    def assert_gone(self, pids, seconds=15):
        deadline = time.monotonic() + seconds
        while any(harness.alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual([pid for pid in pids if harness.alive(pid)], [])


if __name__ == "__main__":
    harness.main()
