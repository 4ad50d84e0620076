#!/usr/bin/env python3
"""From `submit` to the first training step on an idle cluster of this machine.

Two figures for each of N jobs: what the master noted (first step reported minus submission accepted) and what the
person at the shell waits (from starting `trainyard submit` until the job shows its first step; polled every 20 ms).
Usage: submit_latency.py [N]; the binaries are taken from TRAINYARD_BIN.
"""

import json
import pathlib
import statistics
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

GOAL_SECONDS = 1.0


class Latency(harness.Workspace):
    jobs = 9

    def runTest(self):
        self.up("--executors", 1, "--cpus", 4)
        file = self.job_file(epochs=100000)
        noted, waited = [], []
        for _ in range(self.jobs):
            begin = time.monotonic()
            id = int(self.expect(0, "submit", file).stdout)
            job = self.first_step(id)
            waited.append(time.monotonic() - begin)
            noted.append((job["first_step_ms"] - job["submitted_ms"]) / 1000)
            self.expect(0, "cancel", id)
            self.wait_end(id)
        for name, values in (("master", noted), ("shell", waited)):
            print(f"{name}: median {statistics.median(values):.3f} s, least {min(values):.3f} s, "
                  f"most {max(values):.3f} s of {len(values)} jobs")
        self.assertLess(statistics.median(noted), GOAL_SECONDS)

    def first_step(self, id):
        url = f"http://{self.env['TRAINYARD_MASTER']}/api/v1/jobs/{id}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with urllib.request.urlopen(url, timeout=5) as answer:
                job = json.load(answer)
            if job.get("first_step_ms"):
                return job
            time.sleep(0.02)
        self.fail(f"no step in 60 s: {job}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Latency.jobs = int(sys.argv.pop())
    harness.main()
