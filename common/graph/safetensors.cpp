// Format: https://github.com/huggingface/safetensors, "Format".
#include "common/graph/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/graph/real.hpp"
#include "common/graph/safetensors_header.hpp"

namespace trainyard::graph {

namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian, and written as it lies");

Error corrupt(const std::string& what) { return {Errc::corrupt, "safetensors: " + what}; }

template <typename From, typename Convert>
void spread(std::string_view bytes, std::vector<float>& out, Convert&& convert) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
    out[i] = convert(value);
  }
}

template <typename From>
void cast(std::string_view bytes, std::vector<float>& out) {
  spread<From>(bytes, out, [](From value) { return static_cast<float>(value); });
}

struct Type {
  const char* name;
  std::size_t size;
  void (*read)(std::string_view, std::vector<float>&);
};

constexpr Type types[] = {
    {"F32", 4, cast<float>},
    {"F64", 8, cast<double>},
    {"F16", 2, [](std::string_view b, std::vector<float>& o) { spread<std::uint16_t>(b, o, float_of_half); }},
    {"BF16", 2,
     [](std::string_view b, std::vector<float>& o) { spread<std::uint16_t>(b, o, float_of_bfloat16); }},
    {"F8_E4M3", 1,
     [](std::string_view b, std::vector<float>& o) { spread<std::uint8_t>(b, o, float_of_e4m3); }},
    {"F8_E5M2", 1,
     [](std::string_view b, std::vector<float>& o) { spread<std::uint8_t>(b, o, float_of_e5m2); }},
    {"I64", 8, cast<std::int64_t>},
    {"I32", 4, cast<std::int32_t>},
    {"I16", 2, cast<std::int16_t>},
    {"I8", 1, cast<std::int8_t>},
    {"U64", 8, cast<std::uint64_t>},
    {"U32", 4, cast<std::uint32_t>},
    {"U16", 2, cast<std::uint16_t>},
    {"U8", 1, cast<std::uint8_t>},
    {"BOOL", 1, cast<std::uint8_t>},
};

/// Shape, type and place of one tensor fit each other and the data.
Result<const Type*> check_entry(const SafetensorsEntry& entry, std::uint64_t data_bytes) {
  const auto bad = [&](const std::string& what) {
    return corrupt(format("tensor '{}': {}", entry.name, what));
  };
  const auto type =
      std::find_if(std::begin(types), std::end(types), [&](const Type& t) { return entry.dtype == t.name; });
  if (type == std::end(types)) return bad(format("elements of '{}' are not read", entry.dtype.substr(0, 16)));
  std::uint64_t bytes = type->size;
  for (const std::uint64_t dim : entry.shape)
    if (dim > INT64_MAX || __builtin_mul_overflow(bytes, dim, &bytes)) return bad("the shape is too large");
  if (entry.begin > entry.end || entry.end > data_bytes) return bad("lies outside the file");
  if (entry.end - entry.begin != bytes) return bad("the shape does not fit the bytes");
  return &*type;
}

}  // namespace

std::string to_safetensors(std::span<const NamedTensor> tensors,
                           const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  header["__metadata__"] = Json{{"format", "pt"}};
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
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
  for (const NamedTensor& tensor : tensors)
    out.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
  return out;
}

Result<Safetensors> from_safetensors(std::string_view bytes) {
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length) return corrupt("shorter than its header");
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kSafetensorsHeaderMax)
    return corrupt(format("a header of {}; at most {} are allowed", size_text(length),
                          size_text(kSafetensorsHeaderMax)));
  if (length > bytes.size() - sizeof length) return corrupt("shorter than its header");
  auto header = read_safetensors_header(bytes.substr(sizeof length, length));
  if (!header) return corrupt(header.error().message);
  const std::string_view data = bytes.substr(sizeof length + length);
  std::vector<const Type*> types_of;
  std::stable_sort(header->entries.begin(), header->entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (const SafetensorsEntry& entry : header->entries) {
    const auto type = check_entry(entry, data.size());
    if (!type) return type.error();
    if (entry.begin != at)
      return corrupt(format("tensor '{}' overlaps another or leaves a hole", entry.name));
    at = entry.end;
    types_of.push_back(*type);
  }
  if (at != data.size()) return corrupt("bytes are left behind the last tensor");
  Safetensors out{{}, std::move(header->metadata)};
  for (std::size_t i = 0; i < header->entries.size(); ++i) {
    SafetensorsEntry& entry = header->entries[i];
    NamedTensor tensor{std::move(entry.name), {entry.shape.begin(), entry.shape.end()}, {}};
    tensor.values.resize((entry.end - entry.begin) / types_of[i]->size);
    types_of[i]->read(data.substr(entry.begin, entry.end - entry.begin), tensor.values);
    out.tensors.push_back(std::move(tensor));
  }
  return out;
}

}  // namespace trainyard::graph
