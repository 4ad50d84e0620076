#include "common/codec/codec.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "common/base/random.hpp"
#include "common/codec/topk.hpp"

namespace trainyard::codec {

namespace {

constexpr Compression all[] = {Compression::none, Compression::bf16, Compression::fp16, Compression::int8,
                               Compression::topk};

std::vector<float> drawn(Random& random, std::size_t count) {
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random.normal());
  return out;
}

std::vector<float> residual_of(Compression how, std::size_t count) {
  return std::vector<float>(has_residual(how) ? count : 0);
}

std::vector<float> decoded(Compression how, std::span<const Part> parts, std::span<const std::byte> bytes,
                           std::size_t count) {
  std::vector<float> out(count, std::numeric_limits<float>::quiet_NaN());
  const Status done = decode(how, parts, bytes, out);
  if (!done) FAIL(done.error().message);
  return out;
}

std::string problem(Compression how, std::size_t count, std::span<const std::byte> bytes) {
  const Part whole{count, false};
  std::vector<float> out(count);
  const Status done = decode(how, {&whole, 1}, bytes, out);
  return done ? "" : done.error().message;
}

}  // namespace

TEST_CASE("what is decoded is what was encoded, as near as the coding is", "[codec]") {
  Random random(1);
  for (const std::size_t count : {0, 1, 63, 64, 1023, 1024, 1025, 5000}) {
    const auto values = drawn(random, count);
    const Part whole{count, false};
    for (const Compression how : all) {
      CAPTURE(static_cast<int>(how), count);
      auto residual = residual_of(how, count);
      const auto bytes = encode(how, {&whole, 1}, values, residual);
      const auto back = decoded(how, {&whole, 1}, bytes, count);
      for (std::size_t i = 0; i < count; ++i) {
        const float size = std::abs(values[i]);
        if (how == Compression::none) CHECK(back[i] == values[i]);
        if (how == Compression::bf16) CHECK(std::abs(back[i] - values[i]) <= size / 256);
        if (how == Compression::fp16) CHECK(std::abs(back[i] - values[i]) <= size / 2048 + 0x1p-25f);
        if (how == Compression::int8)
          CHECK(std::abs(back[i] - values[i]) <= 5.0f / 127);  // of a normal below 10
        if (how == Compression::topk) CHECK((back[i] == values[i] || back[i] == 0));
        if (has_residual(how)) CHECK(back[i] + residual[i] == Approx(values[i]).margin(1e-6));
      }
    }
  }
}

TEST_CASE("messages are as short as the coding says", "[codec]") {
  const std::vector<float> values(10'000, 1.0f);
  const Part whole{values.size(), false};
  const auto bytes = [&](Compression how) {
    auto residual = residual_of(how, values.size());
    return encode(how, {&whole, 1}, values, residual).size();
  };
  CHECK(bytes(Compression::none) == 40'000);
  CHECK(bytes(Compression::bf16) == 20'000);
  CHECK(bytes(Compression::fp16) == 20'000);
  CHECK(bytes(Compression::int8) == 10'000 + 10 * 4);
  CHECK(bytes(Compression::topk) == 4 + 100 * 8);
}

TEST_CASE("what was sent and what is left sum up to what there was", "[codec]") {
  Random random(2);
  constexpr std::size_t count = 3000;
  const Part whole{count, false};
  for (const Compression how : {Compression::int8, Compression::topk}) {
    CAPTURE(static_cast<int>(how));
    std::vector<double> given(count), sent(count);
    auto residual = residual_of(how, count);
    for (int step = 0; step < 200; ++step) {
      const auto values = drawn(random, count);
      const auto back = decoded(how, {&whole, 1}, encode(how, {&whole, 1}, values, residual), count);
      for (std::size_t i = 0; i < count; ++i) {
        given[i] += static_cast<double>(values[i]);
        sent[i] += static_cast<double>(back[i]);
      }
    }
    for (std::size_t i = 0; i < count; ++i)
      CHECK(sent[i] + static_cast<double>(residual[i]) == Approx(given[i]).margin(1e-3));
  }
}

TEST_CASE("exact parts arrive as they are, between others", "[codec]") {
  Random random(3);
  const std::vector<Part> parts{{5, true}, {2000, false}, {3, true}, {0, true}, {7, false}};
  constexpr std::size_t count = 2015;
  const auto values = drawn(random, count);
  for (const Compression how : all) {
    CAPTURE(static_cast<int>(how));
    auto residual = residual_of(how, count);
    const auto back = decoded(how, parts, encode(how, parts, values, residual), count);
    for (std::size_t i = 0; i < 5; ++i) CHECK(back[i] == values[i]);
    for (std::size_t i = 2005; i < 2008; ++i) CHECK(back[i] == values[i]);
    if (!residual.empty()) CHECK(residual[2] == 0);
  }
}

TEST_CASE("beyond what fp16 holds is the largest that it holds", "[codec]") {
  const std::vector<float> values{1e9f, -1e9f, 65504.0f};
  const Part whole{3, false};
  CHECK(decoded(Compression::fp16, {&whole, 1}, encode(Compression::fp16, {&whole, 1}, values, {}), 3) ==
        std::vector<float>{65504.0f, -65504.0f, 65504.0f});
}

TEST_CASE("the largest magnitudes are found, the first of equal ones", "[codec][topk]") {
  Random random(4);
  for (int round = 0; round < 200; ++round) {
    const std::size_t count = 1 + random.below(400), wanted = random.below(count + 2);
    std::vector<float> values(count);
    for (float& value : values)
      value = static_cast<float>(static_cast<int>(random.below(9)) - 4);  // many are equal
    if (round % 2 == 0) values = drawn(random, count);
    std::vector<std::uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](auto a, auto b) { return std::abs(values[a]) > std::abs(values[b]); });
    order.resize(std::min(wanted, count));
    std::sort(order.begin(), order.end());
    CHECK(largest(values, wanted) == order);
  }
}

TEST_CASE("bytes that are no message are refused", "[codec]") {
  Random random(5);
  constexpr std::size_t count = 2000;
  const auto values = drawn(random, count);
  const Part whole{count, false};
  for (const Compression how : all) {
    CAPTURE(static_cast<int>(how));
    auto residual = residual_of(how, count);
    auto bytes = encode(how, {&whole, 1}, values, residual);
    CHECK(problem(how, count, bytes) == "");
    for (const std::size_t length : {std::size_t{0}, std::size_t{3}, bytes.size() - 1})
      CHECK(problem(how, count, std::span(bytes).first(length)) != "");
    bytes.push_back(std::byte{});
    CHECK(problem(how, count, bytes) != "");
  }
  auto residual = residual_of(Compression::topk, count);
  auto bytes = encode(Compression::topk, {&whole, 1}, values, residual);
  const auto set = [&](std::size_t place, std::uint32_t value) {
    std::memcpy(bytes.data() + 4 * (1 + place), &value, 4);
  };
  set(19, count);
  CHECK(problem(Compression::topk, count, bytes) != "");
  set(19, 0);
  CHECK(problem(Compression::topk, count, bytes) != "");
  const std::uint32_t huge = 0xffffffff;
  std::memcpy(bytes.data(), &huge, 4);
  CHECK(problem(Compression::topk, count, bytes) != "");
}

TEST_CASE("an exact part that is cut off is refused", "[codec]") {
  const std::vector<Part> parts{{5, true}, {2, false}};
  std::vector<float> out(7);
  const std::vector<std::byte> bytes(19);
  CHECK_FALSE(decode(Compression::bf16, parts, bytes, out).has_value());
}

}  // namespace trainyard::codec
