"""kill -9 of each process in the middle of a job. Daemons come back and nothing of the job notices; a dead task is
seen at once, and the gang goes on from its last checkpoint."""

import os
import signal
import time
import unittest

import harness


class Kill(harness.Workspace):
    EPOCHS = 60

    def begin(self):
        """A job that is well under way and has a checkpoint."""
        self.up("--executors", 2, "--cpus", 4)
        self.id = int(self.expect(0, "submit", self.job_file(epochs=self.EPOCHS, data=self.pictures(60))).stdout)
        job = self.wait_job(self.id, lambda job: job["state"] == "RUNNING" and job["progress"]["epoch"] >= 3)
        time.sleep(1.5)  # longer than checkpoint.every
        return job

    def pids(self, job):
        return {f"{task['role']}-{task['index']}": task["pid"] for task in job["tasks"]}

    def assert_succeeds(self, restarts):
        job = self.wait_end(self.id)
        self.assertEqual(job["state"], "SUCCEEDED", job["cause"])
        self.assertEqual(job["restarts"], restarts)
        self.assert_bundle(self.path / "out" / "small")
        self.assertEqual([entry["epoch"] for entry in job["history"]], list(range(1, self.EPOCHS + 1)))

    def kill_daemon(self, name):
        before = self.begin()
        os.kill(self.daemon_pid(name), signal.SIGKILL)
        time.sleep(1)
        self.assertIn(name, self.up("--executors", 2).stderr)  # a second `up` brings back what died
        after = self.wait_job(self.id, lambda job: job["progress"]["step"] > before["progress"]["step"])
        self.assertEqual(self.pids(before), self.pids(after), "tasks did not run on undisturbed")
        self.assertEqual(after["incarnation"], before["incarnation"])
        self.assert_succeeds(restarts=0)

    def kill_task(self, role):
        before = self.begin()
        killed_at = time.time()
        os.kill(self.pids(before)[f"{role}-0"], signal.SIGKILL)
        after = self.wait_job(self.id, lambda job: job["incarnation"] > before["incarnation"], 15)
        noticed = min(event["time_ms"] for event in after["events"] if event["time_ms"] >= killed_at * 1000)
        self.assertLess(noticed / 1000 - killed_at, 1.0, after["events"])
        self.assert_succeeds(restarts=1)

    def test_master(self):
        self.kill_daemon("master")

    def test_executor(self):
        self.kill_daemon("node-1")

    def test_trainer(self):
        self.kill_task("trainer")

    def test_shard(self):
        self.kill_task("ps")


if __name__ == "__main__":
    harness.main()
