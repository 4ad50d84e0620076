#!/usr/bin/env python3
"""Holds the includes against the layers: scripts/layers.py [ROOT]. Prints each breach as file:line: message.

A directory may include what the DEPS of its libraries name, and what those name. Daemons never include each other;
cores include plain values only; each outside library has one owner; files and lines stay short.
"""

import pathlib
import re
import sys

FILE_LINES_MAX = 400
LINE_COLUMNS_MAX = 110

# Header prefix -> the directories that may include it.
OWNERS = {
    "spdlog/": ["common/base"],
    "nlohmann/": ["common/base"],
    "yaml-cpp/": ["common/config"],
    "google/protobuf/": ["common/protocol"],
    "boost/": ["common/net"],
    "zmq": ["common/net"],
    "sqlite3.h": ["common/store"],
    "oneapi/": ["common/ops"],
    "cuda": ["common/ops"],
    "cublas": ["common/ops"],
    "cudnn": ["common/ops"],
    "omp.h": ["common/ops"],
    "onnx/": ["common/graph"],
    "turbojpeg.h": ["common/data"],
    "zlib.h": ["common/data"],
    "CLI/": ["common/runtime", "daemons/cli", "daemons/trainer"],
}

# What decides does no input or output: these targets may not touch clocks, files, threads or sockets.
CORES = ["master_core", "executor_core", "ps_core", "trainer_core"]
CORE_FORBIDDEN = ["<thread>", "<mutex>", "<atomic>", "<condition_variable>", "<fstream>", "<iostream>", "<filesystem>",
                  "<unistd.h>", "<sys/", "<cstdio>", "<csignal>", "<random>"]
CORE_CALLS = ["::now()", "getenv(", "random_token("]

# Plain values: anybody above base may include these headers without linking their layer.
PLAIN = {"common/protocol/messages.hpp", "common/protocol/fields.hpp", "common/protocol/data.hpp", "common/protocol/rows.hpp",
         "common/config/job_spec.hpp", "common/config/cluster_spec.hpp"}


def libraries(root):
    """name -> (directory, own source files, names of trainyard libraries that it may use)."""
    found = {}
    for cmake in sorted([*root.glob("common/**/CMakeLists.txt"), *root.glob("daemons/**/CMakeLists.txt")]):
        text = re.sub(r"#.*", "", cmake.read_text())
        pattern = r"trainyard_(library|daemon)\(\s*(\S+)\s+SOURCES\s+(.*?)(?:\bDEPS\s+(.*?))?\)"
        for kind, name, sources, deps in re.findall(pattern, text, re.S):
            directory = cmake.parent.relative_to(root).as_posix()
            uses = [d.removeprefix("trainyard_") for d in (deps or "").split() if d.startswith("trainyard_")]
            files = {(cmake.parent / s).relative_to(root).as_posix() for s in sources.split() if s.endswith(".cpp")}
            found[name] = (directory, files, uses)
    return found


def reachable(name, found):
    seen, queue = set(), [name]
    while queue:
        one = queue.pop()
        if one in seen or one not in found:
            continue
        seen.add(one)
        queue.extend(found[one][2])
    return seen


def headers_of(files):
    """The headers that belong to these sources: same name, beside them."""
    return {re.sub(r"\.cpp$", ".hpp", f) for f in files}


def check(root):
    breaches = []
    found = libraries(root)
    if not found:
        return ["no libraries are declared under " + str(root)]
    sources = sorted(p for top in ("common", "daemons", "tests") for ext in ("*.[ch]pp", "*.cu")
                     for p in (root / top).rglob(ext))
    for path in sources:
        file = path.relative_to(root).as_posix()
        lines = path.read_text().split("\n")
        if len(lines) - 1 > FILE_LINES_MAX:
            breaches.append(f"{file}:1: {len(lines) - 1} lines; {FILE_LINES_MAX} are allowed")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_COLUMNS_MAX and "R\"" not in line and "://" not in line:
                if not file.startswith("tests/") and not line.lstrip().startswith(("\"", ".", "--soft")):
                    breaches.append(f"{file}:{number}: {len(line)} columns; {LINE_COLUMNS_MAX} are allowed")
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                breaches.append(f"{file}:{number}: unfinished work is not marked in the code, it is done")
            match = re.match(r"\s*#\s*include\s+([<\"])([^>\"]+)", line)
            if not match or file.startswith("tests/"):
                continue
            breaches += [f"{file}:{number}: {m}" for m in check_include(file, match[2], found)]
        breaches += check_core(file, lines, found)
    return breaches


def owner_names(file, found):
    """The targets whose sources or headers this file is; else those of its directory."""
    exact = [n for n, (_, files, _) in found.items() if file in files or file in headers_of(files)]
    if exact:
        return exact
    directory = file.rsplit("/", 1)[0]
    return [n for n, (d, _, _) in found.items() if directory == d or directory.startswith(d + "/")]


def check_include(file, included, found):
    for prefix, owners in OWNERS.items():
        if included.startswith(prefix) and not any(file.startswith(o + "/") for o in owners):
            return [f"<{included}> belongs to {' and '.join(owners)} alone"]
    parts = included.split("/")
    if parts[0] == "daemons":
        if not file.startswith(f"daemons/{parts[1]}/"):
            return [f"\"{included}\": daemons do not include each other"]
        return []
    if parts[0] != "common" or included in PLAIN:
        return []
    target_dir = "/".join(included.split("/")[:2])
    own_dir = "/".join(file.split("/")[:2])
    if target_dir == own_dir:
        return []
    if target_dir == "common/base":
        return []
    names = owner_names(file, found)
    allowed = set()
    for name in names:
        for reached in reachable(name, found):
            allowed.add("/".join(found[reached][0].split("/")[:2]))
    if names and target_dir not in allowed:
        return [f"\"{included}\": {' or '.join(sorted(names))} does not declare {target_dir} in its DEPS"]
    return []


def check_core(file, lines, found):
    breaches = []
    for core in CORES:
        if core not in found:
            continue
        files = found[core][1]
        if file not in files and file not in headers_of(files):
            continue
        for number, line in enumerate(lines, 1):
            for word in CORE_FORBIDDEN:
                if "#include" in line and word in line:
                    breaches.append(f"{file}:{number}: a core does not include {word}")
            for call in CORE_CALLS:
                if call in line.split("//")[0]:
                    breaches.append(f"{file}:{number}: a core does not call {call}")
    return breaches


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[1])
    breaches = check(root)
    for breach in breaches:
        print(breach)
    print(f"{len(breaches)} breaches" if breaches else "the layers hold")
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
