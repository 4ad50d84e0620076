#include "common/store/file.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "common/base/text.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using trainyard::test::TempDir;

namespace {
std::uint32_t crc_of(std::string_view text, std::uint32_t seed = 0) {
  return store::crc32(std::as_bytes(std::span(text)), seed);
}
std::size_t files_in(const std::string& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}
}  // namespace

TEST_CASE("crc32 gives the published check value, also in pieces", "[store]") {
  CHECK(crc_of("123456789") == 0xCBF43926u);
  CHECK(crc_of("") == 0);
  const std::string text(1000, 'x');
  CHECK(crc_of(text.substr(333), crc_of(text.substr(0, 333))) == crc_of(text));
}

TEST_CASE("an atomic write leaves the new content and no other file", "[store]") {
  const TempDir dir;
  REQUIRE(store::write_atomic(dir / "a", "first"));
  REQUIRE(store::write_atomic(dir / "a", "second"));
  CHECK(*store::read_file(dir / "a") == "second");
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("a write that does not fit on the disk keeps the old content and leaves nothing behind",
          "[store]") {
  const TempDir dir;
  REQUIRE(store::write_atomic(dir / "a", "old"));
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto written = store::write_atomic(dir / "a", std::string(5000, 'n'));
    ::_exit(!written && written.error().code == Errc::io ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
  CHECK(*store::read_file(dir / "a") == "old");
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("reading says what is wrong with a file", "[store]") {
  const TempDir dir;
  CHECK(store::read_file(dir / "none").error().code == Errc::not_found);
  CHECK(store::read_file(dir.path()).error().message.find("is a directory") != std::string::npos);
  REQUIRE(store::write_atomic(dir / "big", std::string(100, 'b')));
  CHECK(store::read_file(dir / "big", 99).error().message.find("larger than 99B") != std::string::npos);
  CHECK(store::read_file(dir / "big", 100)->size() == 100);
  CHECK_FALSE(store::read_file("/proc/self/status")->empty());
}

TEST_CASE("directories are made with their parents, and a file in the way is named", "[store]") {
  const TempDir dir;
  CHECK(store::make_directories(dir / "a/b/c"));
  CHECK(store::make_directories(dir / "a/b/c"));
  CHECK(std::filesystem::is_directory(dir / "a/b/c"));
  REQUIRE(store::write_atomic(dir / "file", ""));
  const auto refused = store::make_directories(dir / "file/x");
  REQUIRE(!refused);
  CHECK(refused.error().message.find(dir / "file") != std::string::npos);
}

TEST_CASE("a second lock on a file is refused with the holder's pid until the first is gone", "[store]") {
  const TempDir dir;
  {
    auto first = store::FileLock::take(dir / "lock");
    REQUIRE(first);
    const store::FileLock moved = std::move(*first);
    const auto second = store::FileLock::take(dir / "lock");
    REQUIRE(!second);
    CHECK(second.error().code == Errc::conflict);
    CHECK(second.error().message == format("{}: is held by process {}", dir / "lock", ::getpid()));
  }
  CHECK(store::FileLock::take(dir / "lock"));
}

TEST_CASE("a lock dies with the process that held it", "[store]") {
  const TempDir dir;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = store::FileLock::take(dir / "lock");
    ssize_t ignored = ::write(ready[1], "x", 1);
    static_cast<void>(ignored);
    ::pause();
  }
  char byte;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK(store::FileLock::take(dir / "lock").error().message.find(std::to_string(child)) != std::string::npos);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(store::FileLock::take(dir / "lock"));
  ::close(ready[0]);
  ::close(ready[1]);
}
