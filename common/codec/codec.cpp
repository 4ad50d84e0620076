#include "common/codec/codec.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/codec/topk.hpp"
#include "common/tensor/half.hpp"

namespace trainyard::codec {

namespace {

constexpr std::size_t block = 1024;  // of int8
constexpr std::size_t one_in = 100;  // topk: one value in so many
constexpr float largest_half = 65504.0f;

using Bytes = std::vector<std::byte>;

template <typename T>
void put(Bytes& out, const T* values, std::size_t count) {
  const auto* const from = reinterpret_cast<const std::byte*>(values);
  out.insert(out.end(), from, from + count * sizeof(T));
}

/// Reads what put() wrote; whoever asks knows that it is there.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <typename T>
  void take(T* to, std::size_t count) {
    if (count == 0) return;  // memcpy wants an address also for nothing
    std::memcpy(to, bytes_.data(), count * sizeof(T));
    bytes_ = bytes_.subspan(count * sizeof(T));
  }
  template <typename T>
  T take() {
    T value;
    take(&value, 1);
    return value;
  }
  std::size_t left() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

void encode_half(Compression how, std::span<const float> values, Bytes& out) {
  std::vector<std::uint16_t> halves(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    halves[i] = how == Compression::bf16
                    ? tensor::bf16_from_float(values[i])
                    : tensor::f16_from_float(std::clamp(values[i], -largest_half, largest_half));
  put(out, halves.data(), halves.size());
}

void decode_half(Compression how, Reader& in, std::span<float> values) {
  std::vector<std::uint16_t> halves(values.size());
  in.take(halves.data(), halves.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] =
        how == Compression::bf16 ? tensor::float_from_bf16(halves[i]) : tensor::float_from_f16(halves[i]);
}

/// `values` have their residual added; they become what was left out.
void encode_int8(std::span<float> values, Bytes& out) {
  std::array<std::int8_t, block> codes;
  for (std::size_t first = 0; first < values.size(); first += block) {
    const auto some = values.subspan(first, std::min(block, values.size() - first));
    float most = 0;
    for (const float value : some) most = std::max(most, std::abs(value));
    const float scale = most / 127;
    put(out, &scale, 1);
    for (std::size_t i = 0; i < some.size(); ++i) {
      const float code = scale > 0 ? std::nearbyint(some[i] / scale) : 0;
      codes[i] = static_cast<std::int8_t>(std::clamp(code, -127.0f, 127.0f));
      some[i] -= static_cast<float>(codes[i]) * scale;
    }
    put(out, codes.data(), some.size());
  }
}

void decode_int8(Reader& in, std::span<float> values) {
  std::array<std::int8_t, block> codes;
  for (std::size_t first = 0; first < values.size(); first += block) {
    const auto some = values.subspan(first, std::min(block, values.size() - first));
    const auto scale = in.take<float>();
    in.take(codes.data(), some.size());
    for (std::size_t i = 0; i < some.size(); ++i) some[i] = static_cast<float>(codes[i]) * scale;
  }
}

void encode_topk(std::span<float> values, Bytes& out) {
  const auto places = largest(values, (values.size() + one_in - 1) / one_in);
  const auto count = static_cast<std::uint32_t>(places.size());
  put(out, &count, 1);
  put(out, places.data(), places.size());
  for (const std::uint32_t place : places) {
    put(out, &values[place], 1);
    values[place] = 0;
  }
}

Status decode_topk(Reader& in, std::span<float> values) {
  std::ranges::fill(values, 0.0f);
  if (in.left() < sizeof(std::uint32_t)) return Error{Errc::corrupt, "topk: no count"};
  const auto count = in.take<std::uint32_t>();
  if (in.left() != std::size_t{count} * (sizeof(std::uint32_t) + sizeof(float)))
    return Error{Errc::corrupt, format("topk: {} bytes for {} values", in.left(), count)};
  std::vector<std::uint32_t> places(count);
  in.take(places.data(), count);
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i] >= values.size() || (i > 0 && places[i] <= places[i - 1]))
      return Error{Errc::corrupt,
                   format("topk: place {} of {} values is out of order", places[i], values.size())};
    values[places[i]] = in.take<float>();
  }
  return {};
}

/// Bytes of `count` values; of topk it is the message that tells.
std::size_t bytes_of(Compression how, std::size_t count) {
  switch (how) {
    case Compression::none:
      return count * sizeof(float);
    case Compression::bf16:
    case Compression::fp16:
      return count * sizeof(std::uint16_t);
    case Compression::int8:
      return count + (count + block - 1) / block * sizeof(float);
    case Compression::topk:
      break;
  }
  return 0;
}

Status decode_values(Compression how, Reader& in, std::span<float> values) {
  if (how == Compression::topk) return decode_topk(in, values);
  if (const std::size_t wanted = bytes_of(how, values.size()); in.left() != wanted)
    return Error{Errc::corrupt, format("{} bytes for {} values, not {}", in.left(), values.size(), wanted)};
  if (how == Compression::none)
    in.take(values.data(), values.size());
  else if (how == Compression::int8)
    decode_int8(in, values);
  else
    decode_half(how, in, values);
  return {};
}

/// Calls use(first, length) for the stretches that are exact, or for the others.
template <typename Use>
void each_part(std::span<const Part> parts, bool exact, const Use& use) {
  std::size_t first = 0;
  for (const Part& part : parts) {
    if (part.exact == exact && part.length > 0) use(first, part.length);
    first += part.length;
  }
}

std::size_t length_of(std::span<const Part> parts, bool exact) {
  std::size_t length = 0;
  each_part(parts, exact, [&](std::size_t, std::size_t some) { length += some; });
  return length;
}

}  // namespace

bool has_residual(Compression how) { return how == Compression::int8 || how == Compression::topk; }

std::vector<std::byte> encode(Compression how, std::span<const Part> parts, std::span<const float> values,
                              std::span<float> residual) {
  check(residual.size() == (has_residual(how) ? values.size() : 0), "a residual is of all values or of none");
  Bytes out;
  out.reserve(length_of(parts, true) * sizeof(float) + bytes_of(how, values.size()));
  each_part(parts, true, [&](std::size_t first, std::size_t length) { put(out, &values[first], length); });
  std::vector<float> coded;
  coded.reserve(length_of(parts, false));
  each_part(parts, false, [&](std::size_t first, std::size_t length) {
    for (std::size_t i = first; i < first + length; ++i)
      coded.push_back(residual.empty() ? values[i] : values[i] + residual[i]);
  });
  if (how == Compression::none) {
    put(out, coded.data(), coded.size());
  } else if (!has_residual(how)) {
    encode_half(how, coded, out);
  } else {
    how == Compression::int8 ? encode_int8(coded, out) : encode_topk(coded, out);
    std::size_t at = 0;
    each_part(parts, false, [&](std::size_t first, std::size_t length) {
      std::copy_n(coded.data() + at, length, residual.data() + first);
      at += length;
    });
  }
  return out;
}

Status decode(Compression how, std::span<const Part> parts, std::span<const std::byte> bytes,
              std::span<float> values) {
  const std::size_t exact = length_of(parts, true), others = length_of(parts, false);
  check(exact + others == values.size(), "the parts cover the values");
  Reader in(bytes);
  if (in.left() < exact * sizeof(float))
    return Error{Errc::corrupt, format("{} bytes for {} exact values", in.left(), exact)};
  each_part(parts, true, [&](std::size_t first, std::size_t length) { in.take(&values[first], length); });
  std::vector<float> coded(others);
  if (const Status done = decode_values(how, in, coded); !done) return done;
  std::size_t at = 0;
  each_part(parts, false, [&](std::size_t first, std::size_t length) {
    std::copy_n(coded.data() + at, length, values.data() + first);
    at += length;
  });
  return {};
}

}  // namespace trainyard::codec
