#include "common/collective/greeting.hpp"

#include <algorithm>
#include <cstring>

#include "common/base/check.hpp"
#include "common/base/text.hpp"

namespace trainyard::collective {

namespace {

/// Writes and reads fields one behind the other; both ends of a ring have the same byte order, which the
/// version proves: it would be another number.
template <typename T>
void put(std::byte*& at, const T& value) {
  std::memcpy(at, &value, sizeof value);
  at += sizeof value;
}

template <typename T>
void take(const std::byte*& at, T& value) {
  std::memcpy(&value, at, sizeof value);
  at += sizeof value;
}

/// Takes as long for every wrong secret of the right length.
bool same_secret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned different = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    different |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  return different == 0;
}

}  // namespace

std::array<std::byte, hello_bytes> encode(const Hello& hello) {
  check(hello.secret.size() <= secret_bytes_max, "a secret of a ring is short");
  std::array<std::byte, hello_bytes> bytes{};
  std::byte* at = bytes.data();
  put(at, hello.version);
  put(at, hello.job);
  put(at, hello.incarnation);
  put(at, hello.rank);
  put(at, hello.ranks);
  put(at, static_cast<std::uint32_t>(hello.secret.size()));
  std::memcpy(at, hello.secret.data(), hello.secret.size());
  return bytes;
}

Result<Hello> decode_hello(std::span<const std::byte, hello_bytes> bytes) {
  Hello hello;
  std::uint32_t length = 0;
  const std::byte* at = bytes.data();
  take(at, hello.version);
  take(at, hello.job);
  take(at, hello.incarnation);
  take(at, hello.rank);
  take(at, hello.ranks);
  take(at, length);
  if (length > secret_bytes_max) return Error{Errc::corrupt, "a greeting whose secret is too long"};
  hello.secret.assign(reinterpret_cast<const char*>(at), length);
  return hello;
}

std::optional<std::string> refusal(const Hello& own, const Hello& hello) {
  if (hello.version != own.version)
    return format("the ring speaks version {}, not {}", own.version, hello.version);
  if (hello.job != own.job) return format("this is job {}, not {}", own.job, hello.job);
  if (!same_secret(own.secret, hello.secret)) return "wrong secret";
  if (hello.incarnation != own.incarnation)
    return format("this is incarnation {}; {} is {}", own.incarnation, hello.incarnation,
                  hello.incarnation < own.incarnation ? "over" : "still to come");
  const std::uint32_t wanted = (own.rank + own.ranks - 1) % own.ranks;
  if (hello.ranks != own.ranks || hello.rank != wanted)
    return format("rank {} of {} waits for rank {}, not for rank {} of {}", own.rank, own.ranks, wanted,
                  hello.rank, hello.ranks);
  return std::nullopt;
}

std::array<std::byte, welcome_bytes> encode(const Welcome& welcome) {
  std::array<std::byte, welcome_bytes> bytes{};
  const auto length =
      static_cast<std::uint16_t>(std::min<std::size_t>(welcome.text.size(), welcome_text_max));
  std::byte* at = bytes.data();
  put(at, static_cast<std::uint16_t>(welcome.accepted ? 1 : 0));
  put(at, length);
  std::memcpy(at, welcome.text.data(), length);
  return bytes;
}

Result<Welcome> decode_welcome(std::span<const std::byte, welcome_bytes> bytes) {
  std::uint16_t accepted = 0, length = 0;
  const std::byte* at = bytes.data();
  take(at, accepted);
  take(at, length);
  if (accepted > 1 || length > welcome_text_max) return Error{Errc::corrupt, "an answer that is none"};
  return Welcome{accepted == 1, std::string(reinterpret_cast<const char*>(at), length)};
}

}  // namespace trainyard::collective
