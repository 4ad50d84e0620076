#!/usr/bin/env python3
"""How long a shard's death stops its job: kill -9 of a shard that has a follower, one job after the other, and the time
until the first trainer works with the follower, as its log has it.  failover.py [KILLS]; TRAINYARD_BIN as for tests."""

import os
import pathlib
import re
import signal
import statistics
import sys
import time
from datetime import datetime, timezone

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

KILLS = int(sys.argv.pop(1)) if len(sys.argv) > 1 else 7
JOB = harness.JOB.replace("parameter_servers: 2", "parameter_servers: 1\n  replicas: 1").replace("every: 1s", "every: 1h")


class Failover(harness.Workspace):
    def test_failover(self):
        self.up("--executors", 2, "--cpus", 4)
        data = self.pictures(60)
        noticed, resumed = [], []
        for kill in range(KILLS):
            file = self.job_file(name=f"job{kill}", epochs=100_000, data=data, text=JOB)
            id = int(self.expect(0, "submit", file).stdout)
            job = self.wait_job(id, lambda job: job["progress"]["step"] > 50)
            pid = next(task["pid"] for task in job["tasks"] if task["role"] == "ps" and task["index"] == 0)
            killed = time.time()
            os.kill(pid, signal.SIGKILL)
            job = self.wait_job(id, lambda job: any(event["kind"] == "shard_moved" for event in job["events"]))
            moved = next(event["time_ms"] for event in job["events"] if event["kind"] == "shard_moved")
            noticed.append(moved - killed * 1000)
            time.sleep(1)
            log = self.expect(0, "logs", id, "trainer-0")
            at = re.findall(r"(\S+Z) info .* shard ps-0 is at", log.stdout + log.stderr)[0]
            then = datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
            resumed.append((then.timestamp() - killed) * 1000)
            self.expect(0, "cancel", id)
            self.wait_end(id)
        for what, values in (("the master has decided", noticed), ("a trainer works with the follower", resumed)):
            print(f"{what}: median {statistics.median(values):.0f} ms after the kill "
                  f"({min(values):.0f} to {max(values):.0f}, {len(values)} kills)")


if __name__ == "__main__":
    harness.main()
