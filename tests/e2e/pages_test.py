"""The pages in a real browser: nothing is wider than the window, on a desk and on a phone. Skipped without Chromium."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading

import harness

WIDTHS = (1280, 400)

# The page in a frame of the width of a phone: browsers refuse windows as narrow as that.
FRAME = """<!doctype html><body style="margin:0"><iframe src="{page}" style="border:0;width:{width}px;height:4000px"
onload="const d = this.contentDocument;
document.title = JSON.stringify({{wide: d.documentElement.scrollWidth, images: d.images.length,
  broken: [...d.images].filter(i => !i.naturalWidth).length, curves: d.querySelectorAll('polyline').length,
  rows: d.querySelectorAll('tr').length, bars: d.querySelectorAll('.bar').length}})"></iframe>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Pages(harness.Workspace):
    def setUp(self):
        super().setUp()
        self.browser = shutil.which("chromium") or shutil.which("google-chrome")
        if self.browser is None:
            self.skipTest("no Chromium")
        self.site = self.path / "site"
        self.site.mkdir()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(self.site)))
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.address = "http://127.0.0.1:%d" % server.server_port

    def look(self, page, width):
        """What a browser makes of a page of the site."""
        frame = f"{width}-{page}"  # of its own, or the browser shows the one that it has kept
        (self.site / frame).write_text(FRAME.format(page=page, width=width))
        done = subprocess.run([self.browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                               f"--user-data-dir={self.path}/browser", "--window-size=1400,1200",
                               f"{self.address}/{frame}"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=90)
        title = re.search(r"<title>(.*?)</title>", done.stdout)
        self.assertTrue(title, done.stderr[-1000:])
        return json.loads(title.group(1))

    def test_report_predictions_and_dashboard_fit_the_window(self):
        data = self.pictures()
        self.up("--executors", 2, "--cpus", 4)
        for name in ("small", "a-name-of-a-job-that-is-as-long-as-names-may-be-and-then-some-1"):
            self.expect(0, "submit", self.job_file(epochs=4, data=data), "--wait", "--set", f"name={name}")
        bundle = self.path / "out" / "small"
        shutil.copy(bundle / "report.html", self.site)
        files = sorted(data.rglob("*.jpg"))[:6]
        self.expect(0, "predict", bundle, *files, "--html", self.site / "predictions.html")
        dashboard = harness.fetch(self.env["TRAINYARD_MASTER"], "/")[1]
        (self.site / "dashboard.html").write_text(re.sub(r'<meta http-equiv="refresh"[^>]*>', "", dashboard))
        for width in WIDTHS:
            report = self.look("report.html", width)
            self.assertLessEqual(report["wide"], width)
            self.assertEqual((report["curves"], report["broken"]), (4, 0))
            self.assertGreaterEqual(report["rows"], 12)
            self.assertGreaterEqual(report["images"], 5)
            self.assertEqual(report["bars"], 5 * report["images"])
            predictions = self.look("predictions.html", width)
            self.assertLessEqual(predictions["wide"], width)
            self.assertEqual((predictions["images"], predictions["broken"], predictions["bars"]), (6, 0, 30))
            shown = self.look("dashboard.html", width)
            self.assertLessEqual(shown["wide"], width)
            self.assertGreaterEqual(shown["rows"], 2 + 3)


if __name__ == "__main__":
    harness.main()
