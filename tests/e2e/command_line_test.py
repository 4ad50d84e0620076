"""The command line itself: options, outputs that parse, a terminal and none, what is written where."""

import json
import os
import pty
import signal
import subprocess
import sys

import harness


class CommandLine(harness.Workspace):
    def test_an_option_that_is_not_there_is_named(self):
        for arguments in (("--nope",), ("--nope=1", "jobs"), ("jobs", "--nope")):
            self.assertIn("--nope", self.expect(2, *arguments).stderr)

    def test_every_file_is_validated_and_each_mistake_has_its_place(self):
        good = self.job_file("good")
        bad = self.path / "bad.yaml"
        bad.write_text(good.read_text().replace("epochs: 3", "epochs: 0").replace("keep: 2", "keep: few"))
        lines = self.expect(2, "validate", good, bad).stderr.splitlines()
        self.assertEqual(sum(str(bad) + ":" in line for line in lines), 2, lines)
        self.assertIn("good.yaml: a valid job file", lines[0])
        self.expect(0, "validate", good, harness.ROOT / "configs" / "cluster.yaml")

    def test_the_schema_accepts_what_the_program_accepts(self):
        check = ("import json, sys, yaml, jsonschema\n"
                 "schema = json.load(sys.stdin)\n"
                 "jsonschema.Draft7Validator.check_schema(schema)\n"
                 "jsonschema.validate(yaml.safe_load(open(sys.argv[1])), schema)\n")
        python = harness.python_with("jsonschema", "yaml")
        files = {"job": [self.job_file(), *(harness.ROOT / "configs" / "jobs").glob("*.yaml")],
                 "cluster": [harness.ROOT / "configs" / "cluster.yaml"]}
        for kind, names in files.items():
            schema = self.expect(0, "schema", kind).stdout
            for name in names:
                subprocess.run([python, "-c", check, name], input=schema, text=True, check=True)
            bad = self.path / "bad.yaml"
            bad.write_text("no_such_key: 1\n")
            done = subprocess.run([python, "-c", check, bad], input=schema, text=True, capture_output=True)
            self.assertNotEqual(done.returncode, 0)

    def test_overrides_reach_nested_keys_and_bad_ones_are_refused(self):
        file = self.job_file(data=self.pictures())
        self.up("--executors", 1, "--cpus", 4)
        id = int(self.expect(0, "submit", file, "--set", "train.optimizer.learning_rate=0.5", "--set",
                             "cluster.resources.trainer.cpus=1.5", "--set", "data.transform=[{resize: [16, 16]}]",
                             "--set", "train.epochs=100000").stdout)
        yaml = (self.path / "cluster" / "node-1" / "tasks" / f"{id}-trainer-0-1" / "job.yaml")
        self.wait_job(id, lambda job: job["progress"]["step"] > 0)
        text = yaml.read_text()
        for line in ("learning_rate: 0.5", "cpus: 1.5", "size: [16, 16]"):
            self.assertIn(line, text)
        self.expect(0, "cancel", id)
        for bad, needle in (("train.epochs", "key.path=value"), ("=3", "key.path=value"), ("train.epochs=x", "'x'"),
                            ("train.epochs=", "train.epochs"), ("train..epochs=1", "train..epochs"),
                            ("train.epoch=1", "epochs"), ("model=[1", "model"), ("train.epochs=*a", "train.epochs")):
            for verb in ("submit", "run"):
                self.assertIn(needle, self.expect(2, verb, file, "--set", bad).stderr)

    def test_json_and_yaml_hold_the_same_and_stdout_holds_nothing_else(self):
        python = harness.python_with("yaml")
        self.up("--executors", 1, "--cpus", 4)
        dry = json.loads(self.expect(0, "submit", self.job_file(), "--dry-run", "-o", "json").stdout)
        self.assertEqual((dry["dry_run"], len(dry["placement"])), (True, 4))
        done = self.expect(0, "submit", self.job_file(), "--wait", "-o", "json")
        job = json.loads(done.stdout)
        self.assertEqual(job["state"], "SUCCEEDED")
        self.assertIn("epoch 1/3", done.stderr)
        for arguments in (("jobs", "--all"), ("job", job["id"]), ("nodes",), ("node", "node-1")):
            from_json = json.loads(self.expect(0, *arguments, "-o", "json").stdout)
            yaml = self.expect(0, *arguments, "-o", "yaml").stdout
            to_json = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
            from_yaml = json.loads(subprocess.run([python, "-c", to_json], input=yaml, text=True, check=True,
                                                  stdout=subprocess.PIPE).stdout)
            for value in (from_json, from_yaml):
                harness.drop_key(value, "last_heard_ms")
            self.assertEqual(from_yaml, from_json)
            narrow, wide = (self.expect(0, *arguments, "-o", form).stdout for form in ("table", "wide"))
            self.assertGreaterEqual(len(wide), len(narrow))
        self.assertEqual(self.cli("jobs", "--queue", "other", "--all", "-o", "json").stdout, '{\n  "jobs": []\n}\n')
        again = json.loads(self.expect(0, "run", self.job_file(), "-o", "json").stdout)
        self.assertEqual(again["id"], job["id"] + 1)

    def test_a_list_that_is_watched_is_printed_again_when_it_changes(self):
        self.up("--executors", 1, "--cpus", 4)
        watch = self.start("jobs", "--all", "--watch", "-o", "json")
        self.assertEqual(json.loads(watch.stdout.readline()), {"jobs": []})
        id = int(self.expect(0, "submit", self.job_file(epochs=1)).stdout)
        self.assertEqual(json.loads(watch.stdout.readline())["jobs"][0]["id"], id)
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=10)
        self.assertEqual(watch.returncode, 130)

    def test_ctrl_c_leaves_a_submitted_job_running(self):
        self.up("--executors", 1, "--cpus", 4)
        for verb in (("run",), ("submit", "--wait")):
            follower = self.start(*verb, self.job_file(epochs=100000))
            next(line for line in follower.stderr if "epoch 1/" in line)
            follower.send_signal(signal.SIGINT)
            _, errors = follower.communicate(timeout=10)
            self.assertEqual(follower.returncode, 130)
            self.assertIn("goes on", errors)
            job = json.loads(self.expect(0, "jobs", "-o", "json").stdout)["jobs"][0]
            self.assertEqual(job["state"], "RUNNING")
            self.expect(0, "cancel", job["id"])
            self.wait_end(job["id"])

    def terminal(self, *arguments, until=None, keys=None, close=False, **environment):
        """Runs on a terminal; once `until` was shown, types `keys` or closes it. What was shown, and the exit."""
        env = {**self.env, "TERM": "xterm", **environment}
        pid, screen = pty.fork()
        if pid == 0:
            os.chdir(self.path)
            os.execve(self.bin / "trainyard", ["trainyard", *map(str, arguments)], env)
        shown = b""
        while True:
            try:
                part = os.read(screen, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
            if until and until in shown:
                until = None
                if close:
                    os.close(screen)
                    break
                os.write(screen, keys)
        return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_a_terminal_gets_a_bar_and_colours_and_no_color_is_honoured(self):
        file = self.job_file(epochs=20)
        shown, code = self.terminal("run", file, NO_COLOR="")
        self.assertEqual(code, 0)
        self.assertIn("\x1b[32mSUCCEEDED\x1b[0m", shown)
        self.assertIn("small [####################]", shown)
        plain, _ = self.terminal("run", file, NO_COLOR="1")
        self.assertNotIn("\x1b[3", plain)
        dumb, _ = self.terminal("run", file, NO_COLOR="", TERM="dumb")
        self.assertNotIn("\x1b", dumb)
        self.assertNotIn("\x1b", self.expect(0, "run", file, env={"NO_COLOR": ""}).stderr)

    def test_ctrl_c_typed_at_a_terminal_stops_the_cluster_of_a_run_after_a_checkpoint(self):
        shown, code = self.terminal("run", self.job_file(epochs=100000), until=b"epoch 9/", keys=b"\x03")
        self.assertEqual(code, 130, shown[-500:])
        saved = list((self.path / "out" / "small" / "checkpoints").glob("step-*/manifest.json"))
        self.assertTrue(saved, "checkpointed first")
        self.assertEqual(harness.processes_below(self.path), [])

    def test_a_terminal_that_is_closed_takes_the_cluster_of_a_run_along(self):
        self.terminal("run", self.job_file(epochs=100000), until=b"epoch 3/", close=True)
        self.assertEqual(harness.processes_below(self.path), [])
        self.assertEqual(list(self.path.glob("trainyard-run-*")), [])

    def test_a_reader_that_leaves_takes_the_cluster_of_a_run_along(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([self.bin / "trainyard", "run", self.job_file(epochs=1)], env=self.env, cwd=self.path,
                              stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.DEVNULL, timeout=60)
        os.close(writer)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(harness.processes_below(self.path), [])


if __name__ == "__main__":
    harness.main()
