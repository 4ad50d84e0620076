// Format: https://github.com/huggingface/safetensors, "Format": u64 length, JSON header, bytes without holes.
#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/graph/network.hpp"

namespace trainyard::graph {

namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian, and written as it lies");

constexpr std::uint64_t header_bytes_max = 100'000'000;
constexpr std::size_t dims_max = 16;

Error corrupt(const std::string& what) { return {Errc::corrupt, "safetensors: " + what}; }

struct Entry {
  NamedTensor tensor;
  std::uint64_t begin = 0, end = 0;
};

Result<Entry> read_entry(const std::string& name, const Json& json, std::uint64_t data_bytes) {
  const auto bad = [&](const char* what) { return corrupt(format("tensor '{}': {}", name, what)); };
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets"))
    return bad("needs dtype, shape and data_offsets");
  if (!json["dtype"].is_string() || json["dtype"].get<std::string>() != "F32") return bad("only F32 is read");
  const Json &shape = json["shape"], &offsets = json["data_offsets"];
  if (!shape.is_array() || shape.size() > dims_max) return bad("the shape is not one");
  Entry entry;
  entry.tensor.name = name;
  std::uint64_t bytes = sizeof(float);
  for (const Json& dim : shape) {
    if (!dim.is_number_unsigned() || dim.get<std::uint64_t>() > INT64_MAX) return bad("the shape is not one");
    if (__builtin_mul_overflow(bytes, dim.get<std::uint64_t>(), &bytes)) return bad("the shape is too large");
    entry.tensor.shape.push_back(dim.get<std::int64_t>());
  }
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned())
    return bad("data_offsets are not two numbers");
  entry.begin = offsets[0].get<std::uint64_t>();
  entry.end = offsets[1].get<std::uint64_t>();
  if (entry.begin > entry.end || entry.end > data_bytes) return bad("lies outside the file");
  if (entry.end - entry.begin != bytes) return bad("the shape does not fit the bytes");
  return entry;
}

}  // namespace

std::string to_safetensors(std::span<const NamedTensor> tensors) {
  Json header = Json::object();
  header["__metadata__"] = Json{{"format", "pt"}};
  std::uint64_t at = 0;
  for (const NamedTensor& tensor : tensors) {
    const std::uint64_t bytes = tensor.values.size() * sizeof(float);
    header[tensor.name] = Json{{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text = to_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data are aligned
  const std::uint64_t length = text.size();
  std::string out(sizeof length, '\0');
  std::memcpy(out.data(), &length, sizeof length);
  out += text;
  for (const NamedTensor& tensor : tensors) {
    out.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
  }
  return out;
}

Result<std::vector<NamedTensor>> from_safetensors(std::string_view bytes) {
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length) return corrupt("shorter than its header");
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > header_bytes_max || length > bytes.size() - sizeof length)
    return corrupt("shorter than its header");
  const auto header = parse_json(bytes.substr(sizeof length, length), header_bytes_max);
  if (!header) return corrupt("the header is not JSON: " + header.error().message);
  if (!header->is_object()) return corrupt("the header is not an object");
  const std::string_view data = bytes.substr(sizeof length + length);
  std::vector<Entry> entries;
  for (const auto& [name, json] : header->items()) {
    if (name == "__metadata__") continue;
    auto entry = read_entry(name, json, data.size());
    if (!entry) return entry.error();
    entries.push_back(std::move(*entry));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  std::vector<NamedTensor> out;
  for (Entry& entry : entries) {
    if (entry.begin != at)
      return corrupt(format("tensor '{}' overlaps another or leaves a hole", entry.tensor.name));
    at = entry.end;
    entry.tensor.values.resize((entry.end - entry.begin) / sizeof(float));
    if (!entry.tensor.values.empty())
      std::memcpy(entry.tensor.values.data(), data.data() + entry.begin, entry.end - entry.begin);
    out.push_back(std::move(entry.tensor));
  }
  if (at != data.size()) return corrupt("bytes are left behind the last tensor");
  return out;
}

}  // namespace trainyard::graph
