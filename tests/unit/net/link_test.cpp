#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include "common/base/random.hpp"
#include "common/net/local_link.hpp"
#include "common/net/local_server.hpp"

namespace trainyard::net {

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

struct Pair {
  std::shared_ptr<SlotPool> here_pool = std::make_shared<SlotPool>(1024 * mib);
  std::shared_ptr<SlotPool> there_pool = std::make_shared<SlotPool>(1024 * mib);
  std::unique_ptr<LocalLink> here, there;
};

Pair pair_of(LocalLink::Bounds bounds = local_bounds()) {
  Pair pair;
  auto ends = local_pair();
  REQUIRE(ends.has_value());
  auto offered = LocalLink::offer(std::move(ends->first), pair.here_pool, bounds);
  REQUIRE(offered.has_value());
  pair.here = std::move(*offered);
  pair.there = LocalLink::accept(std::move(ends->second), pair.there_pool, bounds);
  return pair;
}

SharedBytes bytes_of(std::size_t count, std::uint64_t seed) {
  auto out = std::make_shared<std::vector<std::byte>>(count);
  Random random(seed);
  for (auto& one : *out) one = static_cast<std::byte>(random.below(256));
  return out;
}

bool same(std::span<const std::byte> left, std::span<const std::byte> right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end());
}

std::size_t open_files() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST_CASE("records come out of a ring as they went in, around its end and of any size", "[net]") {
  alignas(64) static std::byte memory[ring_bytes(1024)];
  std::memset(memory, 0, sizeof(memory));
  RingWriter writer(memory);
  RingReader reader(memory);
  Random random(7);
  std::vector<std::vector<std::byte>> waiting;
  std::size_t sent = 0, full = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (random.chance(0.55)) {
      const auto room = writer.begin(1 + random.below(writer.record_bytes_max()));
      if (room.empty()) {
        ++full;
        continue;
      }
      for (auto& one : room) one = static_cast<std::byte>(random.below(256));
      waiting.emplace_back(room.begin(), room.end());
      writer.commit();
      ++sent;
    } else if (!waiting.empty()) {
      const auto got = reader.peek();
      REQUIRE(same(got, waiting.front()));
      reader.pop();
      waiting.erase(waiting.begin());
    } else {
      REQUIRE(reader.peek().empty());
    }
  }
  CHECK(sent > 5000);
  CHECK(full > 100);
  CHECK_FALSE(reader.broken());
  CHECK_FALSE(writer.broken());
}

TEST_CASE("a record that was begun and not finished is never seen", "[net]") {
  alignas(64) static std::byte memory[ring_bytes(1024)];
  std::memset(memory, 0, sizeof(memory));
  RingWriter writer(memory);
  RingReader reader(memory);
  const auto half = writer.begin(100);
  std::memset(half.data(), 0xff, half.size());
  CHECK(reader.peek().empty());
  CHECK(reader.sleep());
  CHECK(writer.commit());  // the reader sleeps
  CHECK(reader.peek().size() == 100);
}

TEST_CASE("a ring whose other end writes nonsense is broken, and nothing is read from it", "[net]") {
  alignas(64) static std::byte memory[ring_bytes(1024)];
  std::memset(memory, 0, sizeof(memory));
  auto& state = *reinterpret_cast<RingState*>(memory);
  SECTION("more was written than fits") { state.written = 4096; }
  SECTION("half a word was written") { state.written = 12; }
  SECTION("a record is longer than what was written") {
    const std::uint64_t length = 500;
    std::memcpy(memory + sizeof(RingState), &length, sizeof(length));
    state.written = 64;
  }
  SECTION("a record has no length") { state.written = 64; }
  RingReader reader(memory);
  CHECK(reader.peek().empty());
  CHECK(reader.broken());
  CHECK_FALSE(reader.sleep());
  state.read = 5000;
  RingWriter writer(memory);
  CHECK(writer.begin(8).empty());
  CHECK(writer.broken());
}

TEST_CASE("messages of any size arrive whole and in order, both ways", "[net]") {
  Pair pair = pair_of();
  std::vector<std::size_t> sizes{0,       1, 3, 4, 4096, 16 * 1024, 16 * 1024 + 1, 64 * 1024, 64 * 1024 + 1,
                                 64 * mib};
  Random random(11);
  for (int i = 0; i < 60; ++i) sizes.push_back(random.below(200'000));
  for (const bool back : {false, true}) {
    auto& from = back ? *pair.there : *pair.here;
    auto& to = back ? *pair.here : *pair.there;
    for (const std::size_t size : sizes) {
      const SharedBytes sent = bytes_of(size, size);
      const std::string header = "header of " + std::to_string(size);
      REQUIRE(from.send(header, sent, 1s) == LocalLink::Sent::yes);
      const auto got = to.receive(5s);
      REQUIRE(got.has_value());
      CHECK(got->header == header);
      CHECK(same(got->payload.bytes(), sent.view));
    }
  }
}

TEST_CASE("a header that no record holds goes with its payload in a slot", "[net]") {
  Pair pair = pair_of();
  const std::string header(3 * mib, 'h');
  const SharedBytes sent = bytes_of(1001, 1);
  REQUIRE(pair.here->send(header, sent) == LocalLink::Sent::yes);
  const auto got = pair.there->receive(1s);
  REQUIRE(got.has_value());
  CHECK(got->header == header);
  CHECK(same(got->payload.bytes(), sent.view));
}

TEST_CASE("what lies in a slot already is not copied, and can be sent again", "[net]") {
  Pair pair = pair_of();
  const auto slot = pair.here_pool->take(mib);
  REQUIRE(slot != nullptr);
  const SharedBytes given(slot->memory.bytes().first(mib), slot);
  for (int i = 0; i < 2; ++i) {
    REQUIRE(pair.here->send("again", given) == LocalLink::Sent::yes);
    REQUIRE(pair.there->receive(1s).has_value());
  }
  CHECK(pair.here_pool->bytes() == mib);
}

TEST_CASE("a slot is used again once nobody looks at it, and not before", "[net]") {
  Pair pair = pair_of();
  const SharedBytes first = bytes_of(mib, 1), second = bytes_of(mib, 2);
  REQUIRE(pair.here->send("a", first) == LocalLink::Sent::yes);
  auto held = pair.there->receive(1s);
  REQUIRE(held.has_value());
  REQUIRE(pair.here->send("b", second) == LocalLink::Sent::yes);
  CHECK(pair.here_pool->bytes() == 2 * mib);
  CHECK(same(held->payload.bytes(), first.view));
  CHECK(pair.here->held_bytes() == 2 * mib);
  held.reset();
  static_cast<void>(pair.there->receive(1s));
  CHECK(pair.here->held_bytes() == 0);
  for (int i = 0; i < 10; ++i) {
    REQUIRE(pair.here->send("c", first) == LocalLink::Sent::yes);
    static_cast<void>(pair.there->receive(1s));
  }
  CHECK(pair.here_pool->bytes() == 2 * mib);
}

TEST_CASE("a peer that does not read costs bounded memory", "[net]") {
  auto bounds = local_bounds();
  bounds.held_bytes_max = 8 * mib;
  Pair pair = pair_of(bounds);
  int sent = 0;
  while (pair.here->send("more", bytes_of(mib, 1)) == LocalLink::Sent::yes) ++sent;
  CHECK(sent >= 7);
  CHECK(pair.here_pool->bytes() <= 9 * mib);
  CHECK(pair.here->send("more", bytes_of(mib, 1), 20ms) == LocalLink::Sent::full);
  REQUIRE(pair.there->receive(1s).has_value());
  CHECK(pair.here->send("more", bytes_of(mib, 1), 1s) == LocalLink::Sent::yes);
  int small = 0;
  while (pair.here->send("small", nullptr) == LocalLink::Sent::yes) ++small;
  CHECK(small > 1000);
}

TEST_CASE("a sender that waits for room goes on as soon as the reader lets go, on whatever thread", "[net]") {
  auto bounds = local_bounds();
  bounds.held_bytes_max = mib;
  Pair pair = pair_of(bounds);
  for (int i = 0; i < 3; ++i) REQUIRE(pair.here->send("x", bytes_of(mib, 1)) == LocalLink::Sent::yes);
  std::vector<LocalMessage> held;
  for (int i = 0; i < 3; ++i) held.push_back(std::move(*pair.there->receive(1s)));
  std::thread other([&] {
    std::this_thread::sleep_for(50ms);
    held.clear();
  });
  const auto began = std::chrono::steady_clock::now();
  CHECK(pair.here->send("y", bytes_of(mib, 2), 20s) == LocalLink::Sent::yes);
  CHECK(std::chrono::steady_clock::now() - began < 10s);
  other.join();
}

TEST_CASE("slots of other sizes make room for each other within the bound of the pool", "[net]") {
  SlotPool pool(10 * mib);
  const auto first = pool.take(6 * mib);
  REQUIRE(first != nullptr);
  CHECK(pool.take(6 * mib) == nullptr);
  CHECK(pool.take(11 * mib) == nullptr);
  for (std::size_t size = 64 * 1024; size < 4 * mib; size += 256 * 1024) REQUIRE(pool.take(size) != nullptr);
  CHECK(pool.bytes() <= 10 * mib);
}

TEST_CASE("two threads send fifty thousand messages each way and lose none", "[net]") {
  Pair pair = pair_of();
  constexpr int count = 50'000;
  std::thread echo([&] {
    for (int i = 0; i < count; ++i) {
      auto got = pair.there->receive(20s);
      if (!got) return;
      const auto bytes = got->payload.bytes();
      auto copy = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
      if (pair.there->send(got->header, copy, 20s) != LocalLink::Sent::yes) return;
    }
  });
  int sent = 0, heard = 0, wrong = 0;
  const SharedBytes large = bytes_of(20'000, 3), little = bytes_of(9, 4);
  while (heard < count) {
    while (sent < count && sent - heard < 20) {
      if (pair.here->send(std::to_string(sent), sent % 7 == 0 ? large : little, 20s) != LocalLink::Sent::yes)
        break;
      ++sent;
    }
    const auto got = pair.here->receive(20s);
    if (!got) break;
    const auto& expected = heard % 7 == 0 ? large : little;
    if (got->header != std::to_string(heard) || !same(got->payload.bytes(), expected.view)) ++wrong;
    ++heard;
  }
  echo.join();
  CHECK(heard == count);
  CHECK(wrong == 0);
}

TEST_CASE("a peer that is killed while it writes leaves whole messages and an end", "[net]") {
  auto ends = local_pair();
  REQUIRE(ends.has_value());
  const pid_t child = ::fork();
  if (child == 0) {
    ends->second.reset();
    const auto pool = std::make_shared<SlotPool>(256 * mib);
    auto link = LocalLink::offer(std::move(ends->first), pool, local_bounds());
    // Until it is killed: all bytes of a message are the same.
    for (std::uint32_t i = 1;; ++i) {
      const auto bytes = std::make_shared<std::vector<std::byte>>(3 * mib, static_cast<std::byte>(i));
      // However long the reader takes: what is not sent would be missing there.
      while ((*link)->send(std::to_string(i), bytes, 1s) == LocalLink::Sent::full) {
      }
    }
  }
  ends->first.reset();
  const auto link =
      LocalLink::accept(std::move(ends->second), std::make_shared<SlotPool>(mib), local_bounds());
  std::optional<LocalMessage> kept;
  std::uint32_t next = 1;
  while (auto got = link->receive(5s)) {
    const auto bytes = got->payload.bytes();
    REQUIRE(got->header == std::to_string(next));
    REQUIRE(bytes.size() == 3 * mib);
    REQUIRE(std::all_of(bytes.begin(), bytes.end(),
                        [&](std::byte one) { return one == static_cast<std::byte>(next); }));
    if (++next == 20) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    kept = std::move(got);
  }
  CHECK(next >= 20);
  CHECK(link->ended());
  REQUIRE(kept.has_value());
  CHECK(kept->payload.bytes().front() == static_cast<std::byte>(next - 1));
  CHECK(link->send("anybody?", nullptr) == LocalLink::Sent::ended);
}

TEST_CASE("memory that a dead peer held is not written while it may still look at it", "[net]") {
  const auto pool = std::make_shared<SlotPool>(64 * mib);
  auto ends = local_pair();
  REQUIRE(ends.has_value());
  auto sender = LocalLink::offer(std::move(ends->first), pool, local_bounds());
  REQUIRE(sender.has_value());
  const auto receiver =
      LocalLink::accept(std::move(ends->second), std::make_shared<SlotPool>(mib), local_bounds());
  const SharedBytes sent = bytes_of(mib, 1);
  REQUIRE((*sender)->send("hold on", sent) == LocalLink::Sent::yes);
  const auto held = receiver->receive(1s);
  REQUIRE(held.has_value());
  sender->reset();
  for (int i = 0; i < 5; ++i) {
    const auto slot = pool->take(mib);
    REQUIRE(slot != nullptr);
    std::memset(slot->memory.bytes().data(), 0, mib);
  }
  CHECK(same(held->payload.bytes(), sent.view));
}

TEST_CASE("memory is its owner's alone, sealed, and refused when it is not", "[net]") {
  const auto memory = SharedMemory::make(1000);
  REQUIRE(memory.has_value());
  struct stat info {};
  REQUIRE(::fstat(memory->descriptor(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(::ftruncate(memory->descriptor(), 0) != 0);
  CHECK_FALSE(
      SharedMemory::adopt(Descriptor(::dup(memory->descriptor())), 100'000, SharedMemory::Access::read));
  CHECK(SharedMemory::adopt(Descriptor(::dup(memory->descriptor())), 1000, SharedMemory::Access::read));
  std::FILE* const file = std::tmpfile();
  REQUIRE(file != nullptr);
  CHECK_FALSE(SharedMemory::adopt(Descriptor(::dup(::fileno(file))), 4096, SharedMemory::Access::read));
  std::fclose(file);
}

TEST_CASE("what a peer shares costs no open files", "[net]") {
  Pair pair = pair_of();
  REQUIRE(pair.here->send("first", bytes_of(mib, 1)) == LocalLink::Sent::yes);
  std::vector<LocalMessage> held;
  held.push_back(std::move(*pair.there->receive(1s)));
  for (int i = 0; i < 10; ++i) {
    REQUIRE(pair.here->send("more", bytes_of(mib, 1)) == LocalLink::Sent::yes);
    const std::size_t before = open_files();
    held.push_back(std::move(*pair.there->receive(1s)));
    CHECK(open_files() == before);
  }
}

TEST_CASE("links leave no open files and no memory behind", "[net]") {
  const std::size_t before = open_files();
  for (int i = 0; i < 50; ++i) {
    Pair pair = pair_of();
    for (const std::size_t size : {mib, std::size_t{10}, 2 * mib})
      REQUIRE(pair.here->send("x", bytes_of(size, 1)) == LocalLink::Sent::yes);
    const auto held = pair.there->receive(1s);
    REQUIRE(held.has_value());
  }
  CHECK(open_files() == before);
}

TEST_CASE("notes of another layout, kind or length are refused", "[net]") {
  const auto bytes_of_note = [](const Note& note) { return std::as_bytes(std::span(&note, 1)); };
  Note note{.kind = Note::Kind::slot, .id = 3, .bytes = 4096};
  CHECK(read_note(bytes_of_note(note), true).has_value());
  CHECK_FALSE(read_note(bytes_of_note(note), false).has_value());
  CHECK_FALSE(read_note(bytes_of_note(note).first(8), true).has_value());
  note.kind = Note::Kind::bell;
  CHECK_FALSE(read_note(bytes_of_note(note), true).has_value());
  note.kind = static_cast<Note::Kind>(99);
  CHECK_FALSE(read_note(bytes_of_note(note), false).has_value());
  note = {.magic = 1};
  CHECK_FALSE(read_note(bytes_of_note(note), false).has_value());
}

}  // namespace trainyard::net
