"""Daemons as an init system and a monitoring see them: readiness, signals, reload, health, metrics, HTTP errors."""

import json
import re
import signal
import socket
import subprocess

import harness


class Daemons(harness.Workspace):
    def setUp(self):
        super().setUp()
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notices.close)
        self.notices.bind(str(self.path / "notify"))
        self.notices.settimeout(15)

    def daemon(self, name, *arguments):
        log = open(self.path / f"{name}.log", "w+")
        self.addCleanup(log.close)
        process = subprocess.Popen([harness.BIN / name, *map(str, arguments)], stdin=subprocess.DEVNULL, stderr=log,
                                   env={**self.env, "NOTIFY_SOCKET": str(self.path / "notify")}, cwd=self.path)
        self.addCleanup(harness.end, process)
        self.assertEqual(self.notice(), "READY=1")
        return process

    def notice(self):
        return self.notices.recv(200).decode().split("\n")[0]

    def log(self, name):
        return (self.path / f"{name}.log").read_text()

    def master(self, *arguments):
        return self.daemon("trainyard-master", "--set", "master.listen=127.0.0.1:0", "--set",
                           f"master.state_dir={self.path}/m", *arguments)

    def test_daemons_tell_systemd_when_they_are_ready_and_stop_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            for name, settings in (("trainyard-master", ("master.listen=127.0.0.1:0", f"master.state_dir={self.path}/m")),
                                   ("trainyard-executor", (f"executor.work_dir={self.path}/e", "executor.master=127.0.0.1:1"))):
                process = self.daemon(name, *(part for one in settings for part in ("--set", one)))
                process.send_signal(number)
                self.assertEqual(self.notice(), "STOPPING=1")
                self.assertEqual(process.wait(10), 0, self.log(name))

    def test_sighup_reloads_what_can_be_reloaded_and_keeps_the_rest(self):
        file = self.path / "cluster.yaml"
        text = f"master: {{listen: 127.0.0.1:0, state_dir: {self.path}/m}}\nlog: {{format: text}}\n"
        file.write_text(text)
        process = self.daemon("trainyard-master", "--config", file)
        address = (self.path / "m" / "endpoint").read_text()
        for change, expected in ((text.replace("format: text", "format: json"), '"message":"SIGHUP: '),
                                 (text.replace("format: text", "format: jsn"), "cluster.yaml:2:15"),
                                 (text.replace("/m}", "/other}"), "takes effect at the next start")):
            file.write_text(change)
            process.send_signal(signal.SIGHUP)
            self.assertEqual((self.notice(), self.notice()), ("RELOADING=1", "READY=1"))
            self.assertIn(expected, self.log("trainyard-master"))
        self.assertEqual(harness.fetch(address, "/healthz")[0], 200)

    def test_up_hands_the_log_options_on_to_its_daemons(self):
        self.up("--executors", 1, "--log-format", "json", "--log-level", "debug")
        for name in ("master", "node-1"):
            for line in (self.path / "cluster" / f"{name}.log").read_text().splitlines():
                self.assertEqual(set(json.loads(line)), {"time", "level", "daemon", "message"})
        for process in self.cluster()["processes"]:
            self.assertIn("debug", process["command"])

    def test_health_readiness_and_metrics_are_served(self):
        self.master()
        address = (self.path / "m" / "endpoint").read_text()
        self.assertEqual(harness.fetch(address, "/healthz")[:2], (200, "ok\n"))
        self.assertEqual(harness.fetch(address, "/readyz")[0], 200)
        status, text, headers = harness.fetch(address, "/metrics")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4"))
        sample = re.compile(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+0-9.eInf]+')
        for line in text.splitlines():
            self.assertTrue(line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line), line)
        self.assertIn('trainyard_nodes{state="READY"} 0', text)
        status, body, headers = harness.fetch(address, "/", method="HEAD")
        self.assertEqual((status, body), (200, ""))
        self.assertGreater(int(headers["Content-Length"]), 500)

    def test_errors_of_the_api_are_json_with_the_right_status(self):
        self.master()
        address = (self.path / "m" / "endpoint").read_text()
        requests = {("GET", "/api/v1/jobs/7", None): (404, "not_found"),
                    ("GET", "/api/v1/jobs/seven", None): (400, "invalid"),
                    ("GET", "/api/v1/nodes/nobody", None): (404, "not_found"),
                    ("GET", "/elsewhere", None): (404, "not_found"),
                    ("DELETE", "/api/v1/jobs/7", None): (404, "not_found"),
                    ("POST", "/api/v1/nodes", None): (405, "invalid"),
                    ("POST", "/api/v1/jobs", "kind: poem\n"): (400, "invalid"),
                    ("POST", "/api/v1/jobs", "x" * 5_000_000): (413, "invalid")}
        for (method, path, body), (status, code) in requests.items():
            answer = harness.fetch(address, path, method, body)
            self.assertEqual(answer[0], status, (path, answer))
            error = json.loads(answer[1])["error"]
            self.assertEqual(error["code"], code)
            self.assertTrue(error["message"])
            self.assertEqual(error["details"], {})
        answer = harness.fetch(address, "/api/v1/jobs", headers={"Origin": "http://elsewhere"})
        self.assertEqual(answer[0], 403)

    def test_a_token_file_keeps_strangers_out(self):
        (self.path / "token").write_text("secret words\n")
        config = self.path / "cluster.yaml"
        config.write_text(f"security: {{token_file: {self.path}/token}}\n"
                          f"master: {{listen: 127.0.0.1:0, state_dir: {self.path}/m}}\n")
        self.daemon("trainyard-master", "--config", config)
        address = (self.path / "m" / "endpoint").read_text()
        self.assertEqual(harness.fetch(address, "/api/v1/jobs")[0], 401)
        self.assertEqual(harness.fetch(address, "/metrics")[0], 401)
        self.assertEqual(harness.fetch(address, "/healthz")[0], 200)
        self.assertIn("token", self.expect(5, "jobs", "--master", address).stderr)
        self.expect(0, "jobs", "--master", address, "--config", config)

    def test_a_daemon_that_lacks_a_file_says_which_key_named_it(self):
        done = subprocess.run([harness.BIN / "trainyard-master", "--set", "security.token_file=nowhere", "--set",
                               f"master.state_dir={self.path}/m"], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, env=self.env, cwd=self.path, timeout=20)
        self.assertEqual(done.returncode, 2)
        self.assertIn("security.token_file: nowhere", done.stderr)
        self.assertFalse((self.path / "m").exists())


if __name__ == "__main__":
    harness.main()
