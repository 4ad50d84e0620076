#include "common/store/checkpoint.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include "common/store/file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using trainyard::test::TempDir;

namespace {

store::PartInfo part(const std::string& directory, const std::string& file, std::string_view bytes) {
  const std::span<const std::byte> whole = std::as_bytes(std::span(bytes));
  const std::span<const std::byte> pieces[] = {whole.first(whole.size() / 2),
                                               whole.subspan(whole.size() / 2)};
  auto written = store::write_part(directory, file, pieces);
  REQUIRE(written);
  return *written;
}

store::Manifest checkpoint(const std::string& directory, std::uint64_t step, std::uint32_t incarnation) {
  store::Manifest manifest{step, step / 10, incarnation, {}};
  manifest.parts = {part(directory, "ps-0", "weights of shard 0"), part(directory, "ps-1", "and of shard 1")};
  REQUIRE(store::write_manifest(directory, manifest));
  return manifest;
}

void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::set<std::string> names_in(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    names.insert(entry.path().filename());
  return names;
}

}  // namespace

TEST_CASE("a checkpoint reads back as it was written", "[store]") {
  const TempDir dir;
  const std::string directory = dir / store::checkpoint_name(1200, 3);
  CHECK(store::checkpoint_name(1200, 3) == "step-000000001200-3");
  const auto written = checkpoint(directory, 1200, 3);
  const auto read = store::read_manifest(directory);
  REQUIRE(read);
  CHECK(*read == written);
  CHECK(*store::read_part(directory, read->parts[0]) == "weights of shard 0");
}

TEST_CASE("without its manifest a directory is no checkpoint", "[store]") {
  const TempDir dir;
  part(dir / "c", "ps-0", "bytes");
  CHECK(store::read_manifest(dir / "c").error().code == Errc::not_found);
}

TEST_CASE("every flipped byte and every truncation of a manifest is found", "[store]") {
  const TempDir dir;
  const auto written = checkpoint(dir / "c", 7, 1);
  const std::string path = dir / "c/manifest.json";
  const std::string good = *store::read_file(path);
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int bit : {0, 3, 5, 7}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      overwrite(path, bad);
      INFO("byte " << at << ", bit " << bit);
      REQUIRE_FALSE(store::read_manifest(dir / "c"));
    }
    overwrite(path, good.substr(0, at));
    INFO("cut at " << at);
    REQUIRE_FALSE(store::read_manifest(dir / "c"));
  }
  overwrite(path, good + "\n");
  CHECK_FALSE(store::read_manifest(dir / "c"));
  overwrite(path, good);
  CHECK(store::read_manifest(dir / "c"));
}

TEST_CASE("every flipped byte and every truncation of a part is found", "[store]") {
  const TempDir dir;
  const auto manifest = checkpoint(dir / "c", 7, 1);
  const std::string path = dir / "c/ps-0";
  const std::string good = *store::read_file(path);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    overwrite(path, bad);
    REQUIRE(store::read_manifest(dir / "c"));
    REQUIRE(store::read_part(dir / "c", manifest.parts[0]).error().code == Errc::corrupt);
    overwrite(path, good.substr(0, at));
    REQUIRE(store::read_manifest(dir / "c").error().code == Errc::corrupt);
    REQUIRE(store::read_part(dir / "c", manifest.parts[0]).error().code == Errc::corrupt);
  }
}

TEST_CASE("a manifest cannot make anyone read outside of its directory", "[store]") {
  const TempDir dir;
  REQUIRE(store::make_directories(dir / "c"));
  for (const char* file : {"../secret", "/etc/passwd", "..", ".", ""}) {
    CHECK_FALSE(store::write_manifest(dir / "c", {1, 1, 1, {{file, 0, "00000000"}}}));
    CHECK_FALSE(store::read_part(dir / "c", {file, 0, "00000000"}));
  }
}

TEST_CASE("pruning keeps the newest checkpoints, a torn one that is newer, and what is not ours", "[store]") {
  const TempDir dir;
  for (const std::uint64_t step : {10, 20, 30, 40})
    checkpoint(dir / store::checkpoint_name(step, 1), step, 1);
  checkpoint(dir / store::checkpoint_name(30, 2), 30, 2);
  part(dir / store::checkpoint_name(25, 1), "ps-0", "torn and old");
  part(dir / store::checkpoint_name(50, 2), "ps-0", "being written");
  REQUIRE(store::make_directories(dir / "notes"));
  CHECK(*store::prune(dir.path(), 2) == 4);
  CHECK(names_in(dir.path()) ==
        std::set<std::string>{"notes", "step-000000000030-2", "step-000000000040-1", "step-000000000050-2"});
  CHECK(*store::prune(dir.path(), 0) == 1);
  CHECK(names_in(dir.path()).count("step-000000000040-1") == 1);
  CHECK(*store::prune(dir / "none", 2) == 0);
}

TEST_CASE("a gang that goes on from a step finds nothing later, and nothing torn", "[store]") {
  const TempDir dir;
  checkpoint(dir / store::checkpoint_name(10, 1), 10, 1);
  checkpoint(dir / store::checkpoint_name(20, 1), 20, 1);
  checkpoint(dir / store::checkpoint_name(30, 1), 30, 1);
  part(dir / store::checkpoint_name(15, 1), "ps-0", "torn");
  overwrite(dir / "notes", "not ours");
  REQUIRE(store::rewind(dir.path(), 20));
  CHECK(names_in(dir.path()) ==
        std::set<std::string>{store::checkpoint_name(10, 1), store::checkpoint_name(20, 1), "notes"});
  // What the new life writes is the newest now, and prune keeps it.
  checkpoint(dir / store::checkpoint_name(25, 2), 25, 2);
  REQUIRE(store::prune(dir.path(), 1));
  CHECK(names_in(dir.path()) == std::set<std::string>{store::checkpoint_name(25, 2), "notes"});
  REQUIRE(store::rewind(dir.path(), 0));
  CHECK(names_in(dir.path()) == std::set<std::string>{"notes"});
  CHECK(store::rewind(dir / "nowhere", 0));
}
