"""Whatever is wrong with what goes in: a clear message, the right exit code, nothing left behind."""

import os
import pathlib
import re
import socket
import subprocess
import unittest

import harness

POSITION = re.compile(r"[^\s:]+:\d+:\d+: ")


class BadFiles(harness.Workspace):
    def refused(self, text, *needles, name="bad"):
        file = self.path / f"{name}.yaml"
        file.write_text(text)
        for verb in ("validate", "run"):
            done = self.expect(2, verb, file)
            for needle in needles:
                self.assertIn(needle, done.stderr, f"{verb}: {done.stderr[-2000:]}")
        self.assertEqual(harness.processes_below(self.path), [])
        return done

    def good(self, **options):
        return self.job_file(data="nowhere", **options).read_text()

    def test_an_unknown_key_is_refused_with_its_place_and_the_nearest_name(self):
        done = self.refused(self.good().replace("epochs:", "epoch:"), "epochs")
        self.assertRegex(done.stderr, POSITION)

    def test_a_wrong_type_is_refused_with_its_place(self):
        self.assertRegex(self.refused(self.good().replace("epochs: 3", "epochs: many"), "train.epochs").stderr, POSITION)

    def test_every_mistake_is_told_at_once(self):
        text = self.good().replace("epochs: 3", "epochs: many").replace("batch_size: 16", "batch_size: -1")
        self.refused(text, "epochs", "batch_size")

    def test_a_tab_is_refused(self):
        self.refused(self.good().replace("  trainers: 2", "\ttrainers: 2"), "tab")

    def test_a_duplicate_key_is_refused(self):
        self.refused(self.good() + "name: again\n", "name")

    def test_an_alias_bomb_is_refused(self):
        bomb = "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: [*c, *c, *c, *c]\n"
        self.refused(bomb, "bad.yaml")

    def test_ten_megabytes_of_brackets_are_refused(self):
        self.refused("[" * 10_000_000, "bad.yaml")

    def test_a_file_that_is_not_there_is_refused(self):
        for verb in ("validate", "run", "submit"):
            self.assertIn("missing.yaml", self.expect(2, verb, "missing.yaml").stderr)

    def test_an_override_of_no_field_is_refused(self):
        self.assertIn("epochs", self.expect(2, "run", self.job_file(), "--set", "train.epoch=3").stderr)


class BadPaths(harness.Workspace):
    def test_data_that_is_not_there_is_refused_before_anything_starts(self):
        done = self.expect(2, "run", self.job_file(data=self.path / "nowhere"))
        self.assertIn("no such path", done.stderr)

    def test_an_empty_class_folder_is_refused_and_named(self):
        data = self.pictures()
        (data / "orchid").mkdir()
        self.assertIn("orchid", self.expect(2, "run", self.job_file(data=data)).stderr)

    def test_an_output_folder_that_is_a_file_is_refused(self):
        file = self.path / "taken"
        file.write_text("")
        self.expect(2, "run", self.job_file(), "--set", f"output.path={file}/out")

    def test_a_bundle_that_is_not_there_has_its_own_exit_code(self):
        self.expect(4, "evaluate", self.path / "none", "--data", self.path)
        self.expect(4, "predict", self.path / "none", "x.jpg")


class BadUse(harness.Workspace):
    def test_a_misspelt_command_names_the_nearest(self):
        self.assertIn("'submit'", self.expect(2, "submt").stderr)

    def test_wrong_usage_is_exit_code_2(self):
        for arguments in ((), ("run",), ("job",), ("job", "x"), ("up", "--executors", "0"), ("jobs", "-o", "xml"),
                          ("schema", "poem"), ("jobs", "--nope")):
            self.expect(2, *arguments)

    def test_no_master_is_exit_code_3_and_says_where_it_was_looked_for(self):
        with socket.socket() as taken:  # bound, not listening: nobody can answer there
            taken.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            for arguments in (("jobs",), ("nodes",), ("job", "1"), ("cancel", "1"), ("logs", "1"),
                              ("submit", self.job_file())):
                done = self.expect(3, *arguments, "--master", address)
                self.assertIn(address, done.stderr)
                self.assertEqual(done.stdout, "")

    def test_completion_scripts_are_valid_and_name_every_command(self):
        script = self.expect(0, "completion", "bash").stdout
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        for shell in ("bash", "zsh", "fish"):
            text = self.expect(0, "completion", shell).stdout
            for verb in ("up", "down", "run", "submit", "evaluate"):
                self.assertIn(verb, text)


class BadDaemons(harness.Workspace):
    def start(self, *settings):
        command = [harness.BIN / "trainyard-master"]
        for setting in settings:
            command += ["--set", setting]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL,
                              env=self.env, cwd=self.path)

    def test_every_binary_tells_its_version_and_how_it_is_used(self):
        for name in ("trainyard", "trainyard-master", "trainyard-executor", "trainyard-ps", "trainyard-trainer"):
            for flag in ("--help", "--version"):
                done = subprocess.run([harness.BIN / name, flag], capture_output=True, text=True, timeout=20,
                                      stdin=subprocess.DEVNULL, env=self.env)
                self.assertEqual(done.returncode, 0, (name, flag, done.stderr))
                self.assertTrue(done.stdout.strip(), (name, flag))

    def test_a_port_that_is_taken_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            done = self.start(f"master.listen=127.0.0.1:{port}", f"master.state_dir={self.path}/m")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(port, done.stderr)
            failed = self.cli("up", "--dir", self.path / "c", "--port", port)
            self.assertNotEqual(failed.returncode, 0)
            self.assertIn(port, failed.stderr)
            self.assertEqual(harness.processes_below(self.path), [])

    def test_a_state_directory_in_use_is_refused(self):
        self.up("--executors", 1)
        done = self.start("master.listen=127.0.0.1:0", f"master.state_dir={self.path}/cluster/master")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("cluster/master", done.stderr)

    def test_listening_beyond_loopback_without_tls_and_token_is_refused(self):
        done = self.start("master.listen=0.0.0.0:0", f"master.state_dir={self.path}/m")
        self.assertNotEqual(done.returncode, 0)
        for needle in ("token", "tls"):
            self.assertIn(needle, done.stderr.lower())

    def test_a_bad_cluster_file_is_refused_with_its_place(self):
        file = self.path / "cluster.yaml"
        file.write_text("master:\n  lissten: 127.0.0.1:0\n")
        done = subprocess.run([harness.BIN / "trainyard-master", "--config", file], capture_output=True, text=True,
                              timeout=20, stdin=subprocess.DEVNULL, env=self.env)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("cluster.yaml:2:3", done.stderr)
        self.assertIn("listen", done.stderr)


class BadPictures(harness.Workspace):
    def test_pictures_that_cannot_be_read_are_skipped_counted_and_listed(self):
        data = self.pictures()
        first = sorted(p for p in data.iterdir() if p.is_dir())[0]
        whole = sorted(first.iterdir())[0].read_bytes()
        (first / "truncated.jpg").write_bytes(whole[: len(whole) // 3])
        (first / "empty.jpg").write_bytes(b"")
        (first / "really_png.jpg").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
        (first / "huge.jpg").write_bytes(huge_header(whole))
        self.expect(0, "run", self.job_file(data=data, epochs=1))
        report = (self.path / "out" / "small" / "report.html").read_text()
        metrics = (self.path / "out" / "small" / "metrics.json").read_text()
        for name in ("empty.jpg", "really_png.jpg", "huge.jpg"):
            self.assertIn(name, report + metrics)


def huge_header(jpeg):
    """The same file, claiming to be 60000x60000."""
    data = bytearray(jpeg)
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    data[at + 5:at + 9] = (60000).to_bytes(2, "big") * 2
    return bytes(data)


if __name__ == "__main__":
    harness.main()
