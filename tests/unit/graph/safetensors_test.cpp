#include <catch2/catch.hpp>
#include <cstring>

#include "common/base/random.hpp"
#include "common/graph/network.hpp"

namespace trainyard::graph {

namespace {

std::string file(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + std::string(data_bytes, '\0');
}

std::string entry(const std::string& name, int begin, int end, const std::string& shape,
                  const std::string& type = "F32") {
  return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":" + shape + ",\"data_offsets\":[" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

}  // namespace

TEST_CASE("tensors come back from their file, bit for bit", "[graph]") {
  const std::vector<NamedTensor> tensors{
      {"conv1.weight", {2, 1, 2}, {1.5f, -0.0f, 3e-40f, 4}}, {"empty", {0, 3}, {}}, {"scalar", {}, {7}}};
  const auto back = from_safetensors(to_safetensors(tensors));
  REQUIRE(back.has_value());
  REQUIRE(back->size() == 3);
  for (const NamedTensor& tensor : tensors) {
    const auto it =
        std::find_if(back->begin(), back->end(), [&](const auto& t) { return t.name == tensor.name; });
    REQUIRE(it != back->end());
    CHECK(it->shape == tensor.shape);
    REQUIRE(it->values.size() == tensor.values.size());
    if (!tensor.values.empty()) {
      CHECK(std::memcmp(it->values.data(), tensor.values.data(), tensor.values.size() * 4) == 0);
    }
  }
}

TEST_CASE("overlaps, holes, wrong sizes and lies are refused", "[graph]") {
  CHECK(from_safetensors(file("{" + entry("a", 0, 8, "[2]") + "}", 8)).has_value());
  for (const std::string& bad :
       {file("{" + entry("a", 0, 8, "[2]") + "," + entry("b", 4, 12, "[2]") + "}", 12),   // overlap
        file("{" + entry("a", 0, 8, "[2]") + "," + entry("b", 12, 16, "[1]") + "}", 16),  // hole
        file("{" + entry("a", 0, 8, "[2]") + "}", 12),                                    // bytes behind
        file("{" + entry("a", 0, 8, "[3]") + "}", 8),                                     // shape
        file("{" + entry("a", 0, 16, "[4]") + "}", 8),                                    // outside
        file("{" + entry("a", 0, 8, "[-2]") + "}", 8), file("{" + entry("a", 0, 8, "[2]", "F16") + "}", 8),
        file("{" + entry("a", 0, 0, "[4611686018427387904,8]") + "}", 0), file("[]", 0), file("{", 0),
        std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}"), std::string("abc")}) {
    const auto read = from_safetensors(bad);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == Errc::corrupt);
  }
}

TEST_CASE("damaged files never crash the reader", "[graph]") {
  Random random(4);
  const std::string good =
      to_safetensors(std::vector<NamedTensor>{{"a", {2, 2}, {1, 2, 3, 4}}, {"b", {1}, {5}}});
  for (int round = 0; round < 3000; ++round) {
    std::string broken = good.substr(0, random.chance(0.2) ? random.below(good.size()) : good.size());
    for (std::uint64_t n = random.below(4); n-- > 0 && !broken.empty();)
      broken[random.below(broken.size())] = static_cast<char>(random.below(256));
    (void)from_safetensors(broken);
  }
}

}  // namespace trainyard::graph
