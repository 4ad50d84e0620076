#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "common/base/random.hpp"
#include "common/graph/safetensors.hpp"

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

template <typename T>
std::string bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

TEST_CASE("tensors come back from their file, bit for bit", "[graph]") {
  const std::vector<NamedTensor> tensors{
      {"conv1.weight", {2, 1, 2}, {1.5f, -0.0f, 3e-40f, 4}}, {"empty", {0, 3}, {}}, {"scalar", {}, {7}}};
  const auto back = from_safetensors(to_safetensors(tensors));
  REQUIRE(back.has_value());
  REQUIRE(back->tensors.size() == 3);
  CHECK(back->metadata == std::map<std::string, std::string>{{"format", "pt"}});
  for (const NamedTensor& tensor : tensors) {
    const auto it = std::find_if(back->tensors.begin(), back->tensors.end(),
                                 [&](const auto& t) { return t.name == tensor.name; });
    REQUIRE(it != back->tensors.end());
    CHECK(it->shape == tensor.shape);
    REQUIRE(it->values.size() == tensor.values.size());
    if (!tensor.values.empty()) {
      CHECK(std::memcmp(it->values.data(), tensor.values.data(), tensor.values.size() * 4) == 0);
    }
  }
}

TEST_CASE("metadata come back from their file", "[graph]") {
  const std::map<std::string, std::string> metadata{{"epoch", "3"}, {"note", "a \"quoted\" word"}};
  const auto back = from_safetensors(to_safetensors({}, metadata));
  REQUIRE(back.has_value());
  CHECK(back->tensors.empty());
  CHECK(back->metadata.at("epoch") == "3");
  CHECK(back->metadata.at("note") == "a \"quoted\" word");
  CHECK(back->metadata.at("format") == "pt");
}

TEST_CASE("every type of the format is read as float", "[graph]") {
  const auto one = [](const std::string& type, const std::string& bytes, const std::string& shape = "[2]") {
    std::string all = file("{" + entry("a", 0, static_cast<int>(bytes.size()), shape, type) + "}", 0) + bytes;
    const auto read = from_safetensors(all);
    REQUIRE(read.has_value());
    REQUIRE(read->tensors.size() == 1);
    return read->tensors[0].values;
  };
  using Floats = std::vector<float>;
  CHECK(one("F32", bytes<float>({1.5f, -2})) == Floats{1.5f, -2});
  CHECK(one("F64", bytes<double>({0.1, -1e300}))[0] == 0.1f);
  CHECK(std::isinf(one("F64", bytes<double>({0.1, -1e300}))[1]));
  // 1.5; the smallest subnormal; minus infinity; 65504, the largest.
  CHECK(one("F16", bytes<std::uint16_t>({0x3e00, 0x0001, 0xfc00, 0x7bff}), "[4]") ==
        Floats{1.5f, 0x1p-24f, -INFINITY, 65504});
  CHECK(std::isnan(one("F16", bytes<std::uint16_t>({0x7e00, 0}))[0]));
  CHECK(one("BF16", bytes<std::uint16_t>({0x3fc0, 0xc000})) == Floats{1.5f, -2});
  // E4M3: 1.5, the smallest subnormal, 448, the largest. E5M2: 1.5, minus infinity.
  CHECK(one("F8_E4M3", bytes<std::uint8_t>({0x3c, 0x01, 0x7e}), "[3]") == Floats{1.5f, 0x1p-9f, 448});
  CHECK(std::isnan(one("F8_E4M3", bytes<std::uint8_t>({0x7f, 0xff}))[1]));
  CHECK(one("F8_E5M2", bytes<std::uint8_t>({0x3e, 0xfc})) == Floats{1.5f, -INFINITY});
  CHECK(one("I64", bytes<std::int64_t>({-3, 1 << 20})) == Floats{-3, 1 << 20});
  CHECK(one("I32", bytes<std::int32_t>({-3, 7})) == Floats{-3, 7});
  CHECK(one("I16", bytes<std::int16_t>({-3, 7})) == Floats{-3, 7});
  CHECK(one("I8", bytes<std::int8_t>({-3, 7})) == Floats{-3, 7});
  CHECK(one("U64", bytes<std::uint64_t>({3, 1ull << 40})) == Floats{3, 0x1p40f});
  CHECK(one("U32", bytes<std::uint32_t>({3, 1u << 31})) == Floats{3, 0x1p31f});
  CHECK(one("U16", bytes<std::uint16_t>({3, 65535})) == Floats{3, 65535});
  CHECK(one("U8", bytes<std::uint8_t>({3, 255})) == Floats{3, 255});
  CHECK(one("BOOL", bytes<std::uint8_t>({0, 1})) == Floats{0, 1});
}

TEST_CASE("overlaps, holes, wrong sizes, doubles and lies are refused, and the message says which",
          "[graph]") {
  CHECK(from_safetensors(file("{" + entry("a", 0, 8, "[2]") + "}  ", 8)).has_value());
  const std::string a = entry("a", 0, 8, "[2]");
  struct Broken {
    std::string bytes, says;
  };
  for (const auto& [bad, says] : {
           Broken{file("{" + a + "," + entry("b", 4, 12, "[2]") + "}", 12), "'b' overlaps"},
           Broken{file("{" + a + "," + entry("b", 12, 16, "[1]") + "}", 16), "leaves a hole"},
           Broken{file("{" + a + "}", 12), "behind the last tensor"},
           Broken{file("{" + entry("a", 0, 8, "[3]") + "}", 8), "does not fit the bytes"},
           Broken{file("{" + entry("a", 0, 16, "[4]") + "}", 8), "outside the file"},
           Broken{file("{" + entry("a", 8, 0, "[2]") + "}", 8), "outside the file"},
           Broken{file("{" + entry("a", 0, 8, "[-2]") + "}", 8), "a negative number"},
           Broken{file("{" + entry("a", 0, 8, "[2.0]") + "}", 8), "a fraction"},
           Broken{file("{" + entry("a", 0, 8, "[2]", "F4") + "}", 8), "'F4' are not read"},
           Broken{file("{" + entry("a", 0, 0, "[4611686018427387904,8]") + "}", 0), "too large"},
           Broken{file("{" + entry("a", 0, 4, "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]") + "}", 4), "too many"},
           Broken{file("{" + a + "," + a + "}", 8), "'a' comes twice"},
           Broken{file(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8),
                  "dtype comes twice"},
           Broken{file(R"({"a":{"dtype":"F32","shape":[2]}})", 8), "needs dtype, shape and data_offsets"},
           Broken{file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8), "not two numbers"},
           Broken{file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", 8),
                  "a number has no place"},
           Broken{file(R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8), "a list"},
           Broken{file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8), "no field 'x'"},
           Broken{file(R"({"__metadata__":{"a":1}})", 0), "a number has no place"},
           Broken{file(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "come twice"},
           Broken{file(R"({"__metadata__":"a"})", 0), "text has no place"},
           Broken{file("[]", 0), "does not begin with {"},
           Broken{file(" {}", 0), "does not begin with {"},
           Broken{file("{", 0), "not JSON"},
           Broken{file("{}x", 0), "not JSON"},
           Broken{file(std::string(100000, '{'), 0), "not JSON"},
           Broken{std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}"), "at most"},
           Broken{std::string("\x00\xe1\xf5\x05\x00\x00\x00\x00{}", 10), "shorter than its header"},
           Broken{std::string("abc"), "shorter than its header"},
       }) {
    const auto read = from_safetensors(bad);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == Errc::corrupt);
    CAPTURE(read.error().message, says);
    CHECK(read.error().message.find(says) != std::string::npos);
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
