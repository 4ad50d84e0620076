// What a row holds before its first update: a pure function of the seed, the table and the id, so that it
// does not depend on the number of shards, on threads or on who asked first.
#pragma once

#include <cstdint>
#include <span>

namespace trainyard::rows {

enum class FirstKind : std::uint8_t {
  zeros,
  uniform,  // between -scale and scale
  bell,     // deviation `scale`, never beyond 3.47 of it: the sum of four uniform numbers (Irwin 1927, Hall
         // 1927). All integers until the last multiplication, so that no library's logarithm has a word in it
};

struct First {
  FirstKind kind = FirstKind::zeros;
  float scale = 0;
  friend bool operator==(const First&, const First&) = default;
};

void first_values(const First& first, std::uint64_t seed, std::uint64_t table, std::uint64_t id,
                  std::span<float> out);

}  // namespace trainyard::rows
