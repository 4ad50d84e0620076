"""The check of the layers finds what it is for: each rule is broken once in a small tree, and reported."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "layers.py"

GOOD = {
    "common/base/CMakeLists.txt": "trainyard_library(base SOURCES text.cpp)",
    "common/base/text.cpp": "#include \"common/base/text.hpp\"\n",
    "common/net/CMakeLists.txt": "trainyard_library(net SOURCES net.cpp DEPS trainyard_base)",
    "common/net/net.cpp": "#include <boost/asio.hpp>\n#include \"common/base/text.hpp\"\n",
    "daemons/ps/CMakeLists.txt": "trainyard_library(ps_core SOURCES core.cpp DEPS trainyard_base)",
    "daemons/ps/core.cpp": "#include \"daemons/ps/core.hpp\"\n",
}


class Layers(unittest.TestCase):
    def run_on(self, **changes):
        with tempfile.TemporaryDirectory() as directory:
            files = {**GOOD, **{k.replace("__", "/").replace("_dot_", "."): v for k, v in changes.items()}}
            for name, text in files.items():
                path = pathlib.Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            done = subprocess.run([sys.executable, CHECK, directory], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout

    def expect(self, words, **changes):
        code, text = self.run_on(**changes)
        self.assertEqual(code, 1, text)
        self.assertIn(words, text)

    def test_a_good_tree_passes(self):
        code, text = self.run_on()
        self.assertEqual(code, 0, text)

    def test_each_rule(self):
        self.expect("does not declare common/net", daemons__ps__core_dot_cpp='#include "common/net/reactor.hpp"\n')
        self.expect("does not declare common/net", common__base__text_dot_cpp='#include "common/net/reactor.hpp"\n')
        self.expect("daemons do not include each other", daemons__ps__core_dot_cpp='#include "daemons/master/core.hpp"\n')
        self.expect("belongs to common/net alone", daemons__ps__core_dot_cpp="#include <boost/asio.hpp>\n")
        self.expect("a core does not include <thread>", daemons__ps__core_dot_cpp="#include <thread>\n")
        self.expect("a core does not call ::now()", daemons__ps__core_dot_cpp="auto t = Clock::now();\n")
        self.expect("unfinished work", daemons__ps__core_dot_cpp="// TO" + "DO\n")
        self.expect("lines; 400 are allowed", daemons__ps__core_dot_cpp="\n" * 500)
        self.expect("columns; 110 are allowed", daemons__ps__core_dot_cpp="x" * 111 + "\n")
        self.expect("no libraries", common__base__CMakeLists_dot_txt="", common__net__CMakeLists_dot_txt="",
                    daemons__ps__CMakeLists_dot_txt="")


if __name__ == "__main__":
    unittest.main()
