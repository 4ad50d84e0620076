#include "daemons/shim/output.hpp"

#include <catch2/catch.hpp>
#include <filesystem>

#include "common/runtime/task_files.hpp"
#include "common/store/file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using trainyard::test::TempDir;

TEST_CASE("a log rotates at its bound, keeps one older file, and reads as one stream", "[shim]") {
  const TempDir dir;
  const std::string file = dir / "stdout.log";
  std::string all;
  {
    shim::LogFile log(file, 100);
    for (int i = 0; i < 50; ++i) {
      const std::string line = "line " + std::to_string(i) + "\n";
      log.append(line);
      all += line;
    }
    CHECK(log.dropped() == 0);
  }
  CHECK(std::filesystem::file_size(file) <= 110);
  CHECK(std::filesystem::file_size(file + ".1") <= 110);
  CHECK_FALSE(std::filesystem::exists(file + ".2"));
  const auto whole = runtime::read_log(file, 0, 1000, 0);
  REQUIRE(whole);
  CHECK(whole->end == all.size());
  CHECK(whole->offset > 0);
  CHECK(whole->bytes == all.substr(whole->offset));
  const auto late = runtime::read_log(file, all.size() - 8, 1000, 0);
  CHECK(late->bytes == "line 49\n");
  CHECK(runtime::read_log(file, 0, 1000, 2)->bytes == "line 48\nline 49\n");
  CHECK(runtime::read_log(file, all.size() + 500, 1000, 0)->offset == all.size());
}

TEST_CASE("a log that does not exist is empty", "[shim]") {
  const auto part = runtime::read_log("/nowhere/stdout.log", 0, 100, 5);
  REQUIRE(part);
  CHECK(part->bytes.empty());
  CHECK(part->end == 0);
}

TEST_CASE("what the disk refuses is dropped and counted", "[shim]") {
  if (!std::filesystem::exists("/dev/full")) return;
  const TempDir dir;
  std::filesystem::create_symlink("/dev/full", dir / "log");
  shim::LogFile log(dir / "log", 1 << 20);
  log.append("0123456789");
  log.append("abc");
  CHECK(log.dropped() == 13);
}

TEST_CASE("the tail keeps the last lines, each within its bound", "[shim]") {
  shim::LineTail tail(3, 5);
  tail.append("one\ntwo\nlonger than five\n");
  tail.append("a\rb");
  tail.append("c");
  CHECK(tail.lines() == std::vector<std::string>{"longe", "a", "bc"});
}
