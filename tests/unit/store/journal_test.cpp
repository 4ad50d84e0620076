#include "common/store/journal.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "common/base/mailbox.hpp"
#include "common/base/text.hpp"
#include "common/store/file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using trainyard::test::TempDir;

namespace {

/// The owner's thread of a journal: runs what is posted when asked to.
struct Owner {
  Mailbox<std::function<void()>> posted{1000};
  std::vector<Error> failures;

  Result<std::unique_ptr<store::Journal>> open(const std::string& directory) {
    return store::open_journal(
        directory, [this](std::function<void()> work) { posted.put(std::move(work)); },
        [this](Error error) { failures.push_back(std::move(error)); });
  }
  bool run_one(Duration patience = 5s) {
    auto work = posted.take_for(patience);
    if (work) (*work)();
    return work.has_value();
  }
  void run_until(const bool& flag) {
    while (!flag) REQUIRE(run_one());
  }
};

void append_durably(Owner& owner, store::Journal& journal, const std::string& record) {
  bool durable = false;
  journal.append(record);
  journal.when_durable([&] { durable = true; });
  owner.run_until(durable);
}

void spoil(const std::string& path, std::size_t at) {
  std::string bytes = *store::read_file(path);
  REQUIRE(at < bytes.size());
  bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("records come back in order after the journal is opened again", "[store]") {
  const TempDir dir;
  const std::vector<std::string> records{"a", std::string("\0binary\0", 8), "", std::string(100'000, 'x')};
  {
    Owner owner;
    auto journal = owner.open(dir.path());
    REQUIRE(journal);
    CHECK((*journal)->read_all()->empty());
    for (const auto& record : records) append_durably(owner, **journal, record);
    CHECK(*(*journal)->read_all() == records);
  }
  Owner owner;
  auto journal = owner.open(dir.path());
  REQUIRE(journal);
  CHECK(*(*journal)->read_all() == records);
}

TEST_CASE("what is appended is written before the journal closes", "[store]") {
  const TempDir dir;
  Owner owner;
  {
    auto journal = owner.open(dir.path());
    for (int i = 0; i < 500; ++i) (*journal)->append(std::to_string(i));
  }
  CHECK((*owner.open(dir.path()))->read_all()->size() == 500);
}

TEST_CASE("with nothing to write, durable is told at once; else in the order of asking", "[store]") {
  const TempDir dir;
  Owner owner;
  auto journal = owner.open(dir.path());
  std::string order;
  (*journal)->when_durable([&] { order += "a"; });
  CHECK(order == "a");
  (*journal)->append("record");
  (*journal)->when_durable([&] { order += "b"; });
  CHECK((*journal)->read_all()->size() == 1);       // the record is durable, but b was not told yet
  (*journal)->when_durable([&] { order += "c"; });  // so c waits behind b
  CHECK(order == "a");
  while (order.size() < 3) REQUIRE(owner.run_one());
  CHECK(order == "abc");
}

TEST_CASE("compaction replaces everything and later records follow it", "[store]") {
  const TempDir dir;
  {
    Owner owner;
    auto journal = owner.open(dir.path());
    for (int i = 0; i < 100; ++i) (*journal)->append("old");
    REQUIRE((*journal)->compact({"one", "two"}));
    append_durably(owner, **journal, "three");
  }
  Owner owner;
  CHECK(*(*owner.open(dir.path()))->read_all() == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("a state directory in use is refused with the pid of its holder", "[store]") {
  const TempDir dir;
  Owner owner;
  const auto first = owner.open(dir.path());
  REQUIRE(first);
  const auto second = owner.open(dir.path());
  REQUIRE(!second);
  CHECK(second.error().code == Errc::conflict);
  CHECK(second.error().message.find(format("process {}", ::getpid())) != std::string::npos);
}

TEST_CASE("a spoiled or foreign journal is refused as corrupt and names the file", "[store]") {
  const TempDir dir;
  Owner owner;
  {
    auto journal = owner.open(dir.path());
    REQUIRE((*journal)->compact({std::string(3000, 'r'), std::string(3000, 's')}));
  }
  const std::string path = dir / "journal.db";
  std::string expected_place = path;
  SECTION("a byte of a record") {
    const std::string bytes = *store::read_file(path);
    spoil(path, bytes.find("rrrr") + 100);
    auto journal = owner.open(dir.path());
    REQUIRE(journal);
    const auto records = (*journal)->read_all();
    REQUIRE(!records);
    CHECK(records.error().code == Errc::corrupt);
    CHECK(records.error().message.find(path) == 0);
  }
  SECTION("the header of the file") {
    spoil(path, 3);
    const auto opened = owner.open(dir.path());
    REQUIRE(!opened);
    CHECK(opened.error().code == Errc::corrupt);
    CHECK(opened.error().message.find(path) == 0);
  }
  SECTION("a text file") {
    std::ofstream(path) << std::string(5000, 't');
    CHECK(owner.open(dir.path()).error().code == Errc::corrupt);
  }
}

TEST_CASE("a failed write is told once, and nothing after it is ever announced", "[store]") {
  const TempDir dir;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    Owner owner;
    auto journal = owner.open(dir.path());
    if (!journal) ::_exit(2);
    const rlimit limit{200'000, 200'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    bool announced = false;
    for (int i = 0; i < 3; ++i) {
      (*journal)->append(std::string(300'000, 'x'));
      (*journal)->when_durable([&] { announced = true; });
      owner.run_one(200ms);
    }
    if (announced) ::_exit(3);
    if (owner.failures.size() != 1) ::_exit(4);
    if ((*journal)->compact({"x"})) ::_exit(5);
    ::_exit(owner.failures[0].code == Errc::io ? 0 : 6);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 0);
  Owner owner;
  CHECK((*owner.open(dir.path()))->read_all()->empty());
}

TEST_CASE("every record that was announced survives kill -9 in the middle of appending", "[store]") {
  const TempDir dir;
  std::size_t announced_before = 0;
  for (int round = 0; round < 8; ++round) {
    int channel[2];
    REQUIRE(::pipe(channel) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      Owner owner;
      auto journal = owner.open(dir.path());
      if (!journal || !(*journal)->read_all()) ::_exit(1);
      for (std::uint64_t i = 0;; ++i) {
        (*journal)->append(format("{:0{}}", i, 1 + i % 700));
        (*journal)->when_durable([&channel] {
          const ssize_t told = ::write(channel[1], "x", 1);
          static_cast<void>(told);
        });
        while (owner.run_one(i % 5 == 0 ? 1ms : 0ms)) {
        }
      }
    }
    ::close(channel[1]);
    std::size_t announced = 0;
    char buffer[4096];
    while (announced < 40 + 17 * static_cast<std::size_t>(round)) {
      const ssize_t got = ::read(channel[0], buffer, sizeof buffer);
      REQUIRE(got > 0);
      announced += static_cast<std::size_t>(got);
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    for (ssize_t got; (got = ::read(channel[0], buffer, sizeof buffer)) > 0;)
      announced += static_cast<std::size_t>(got);
    ::close(channel[0]);
    Owner owner;
    auto journal = owner.open(dir.path());
    REQUIRE(journal);
    const auto records = (*journal)->read_all();
    REQUIRE(records);
    CHECK(records->size() >= announced_before + announced);
    announced_before = records->size();
  }
}
