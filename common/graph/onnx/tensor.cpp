// Source: onnx.proto, TensorProto: which field holds which type, and the layout of raw_data.
#include "common/graph/onnx/tensor.hpp"

#include <bit>
#include <cstring>
#include <fstream>

#include "common/base/text.hpp"
#include "common/graph/model.hpp"
#include "common/graph/real.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using onnx::TensorProto;
static_assert(std::endian::native == std::endian::little, "raw data are little-endian, and read as they lie");

std::size_t raw_size(std::int32_t type) {
  switch (type) {
    case TensorProto::INT8:
    case TensorProto::UINT8:
    case TensorProto::BOOL:
      return 1;
    case TensorProto::INT16:
    case TensorProto::UINT16:
    case TensorProto::FLOAT16:
    case TensorProto::BFLOAT16:
      return 2;
    case TensorProto::DOUBLE:
    case TensorProto::INT64:
      return 8;
    default:
      return 4;
  }
}

template <typename From, typename To>
void convert(const char* from, std::vector<std::byte>& bytes, std::size_t count, To (*one)(From)) {
  for (std::size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + i * sizeof(From), sizeof(From));
    const To out = one(value);
    std::memcpy(bytes.data() + i * sizeof(To), &out, sizeof(To));
  }
}

template <typename From, typename To>
To cast(From value) {
  return static_cast<To>(value);
}

void from_raw(std::int32_t type, const char* raw, std::vector<std::byte>& out, std::size_t count) {
  switch (type) {
    case TensorProto::DOUBLE:
      return convert<double, float>(raw, out, count, cast);
    case TensorProto::FLOAT16:
      return convert<std::uint16_t, float>(raw, out, count, float_of_half);
    case TensorProto::BFLOAT16:
      return convert<std::uint16_t, float>(raw, out, count, float_of_bfloat16);
    case TensorProto::INT8:
      return convert<std::int8_t, std::int32_t>(raw, out, count, cast);
    case TensorProto::INT16:
      return convert<std::int16_t, std::int32_t>(raw, out, count, cast);
    case TensorProto::UINT16:
      return convert<std::uint16_t, std::int32_t>(raw, out, count, cast);
    case TensorProto::UINT32:
      return convert<std::uint32_t, std::int64_t>(raw, out, count, cast);
    case TensorProto::BOOL:
      return convert<std::uint8_t, std::uint8_t>(
          raw, out, count, [](std::uint8_t value) -> std::uint8_t { return value != 0; });
    default:
      if (count > 0) std::memcpy(out.data(), raw, out.size());
  }
}

Error wrong_size(const Signature& of, std::uint64_t have, std::uint64_t want, const char* unit) {
  return {Errc::corrupt, format("{} of {} has {} {} of data; it needs {}", of.shape.text(), name_of(of.type),
                                have, unit, want)};
}

/// The typed field that holds elements of this type, as raw little-endian elements.
template <typename Element, typename Field>
std::string packed(const Field& field) {
  std::string out(static_cast<std::size_t>(field.size()) * sizeof(Element), '\0');
  for (int i = 0; i < field.size(); ++i) {
    const auto value = static_cast<Element>(field.Get(i));
    std::memcpy(out.data() + static_cast<std::size_t>(i) * sizeof(Element), &value, sizeof(Element));
  }
  return out;
}

std::string from_fields(const TensorProto& tensor) {
  switch (tensor.data_type()) {
    case TensorProto::FLOAT:
      return packed<float>(tensor.float_data());
    case TensorProto::DOUBLE:
      return packed<double>(tensor.double_data());
    case TensorProto::INT64:
      return packed<std::int64_t>(tensor.int64_data());
    case TensorProto::UINT32:
      return packed<std::uint32_t>(tensor.uint64_data());
    case TensorProto::INT32:
      return packed<std::int32_t>(tensor.int32_data());
    case TensorProto::INT8:
    case TensorProto::UINT8:
    case TensorProto::BOOL:
      return packed<std::uint8_t>(tensor.int32_data());
    default:
      return packed<std::uint16_t>(tensor.int32_data());
  }
}

Result<std::string> from_folder(const TensorProto& tensor, Folder& folder, std::uint64_t wanted) {
  std::string location;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() != "offset" && entry.key() != "length") continue;
    const auto number = parse_uint(entry.value());
    if (!number)
      return Error{Errc::corrupt, format("external data with {} '{}'", entry.key(), shown(entry.value()))};
    if (entry.key() == "offset") offset = *number;
    if (entry.key() == "length") length = *number;
  }
  return folder.read(location, offset, length, wanted);
}

}  // namespace

Result<std::string> Folder::read(const std::string& location, std::uint64_t offset,
                                 std::optional<std::uint64_t> length, std::uint64_t wanted) {
  namespace fs = std::filesystem;
  // A region may serve several tensors, but not without end.
  constexpr std::uint64_t times_max = 4;
  const auto bad = [&](Errc code, const std::string& what) {
    return Error{code, format("external data '{}': {}", shown(location), what)};
  };
  if (!path_) return bad(Errc::refused, "the model is not read from a file, so there is no folder for it");
  std::error_code error;
  const fs::path root = fs::canonical(path_->empty() ? "." : *path_, error);
  if (error) return bad(Errc::io, error.message());
  const fs::path relative(location);
  if (location.empty() || location.find('\0') != std::string::npos || relative.is_absolute())
    return bad(Errc::refused, "has to be a path inside the model's folder");
  const fs::path file = fs::canonical(root / relative, error);
  if (error) return bad(Errc::not_found, error.message());
  const auto steps = std::mismatch(root.begin(), root.end(), file.begin(), file.end());
  if (steps.first != root.end()) return bad(Errc::refused, "leads out of the model's folder");
  if (!fs::is_regular_file(file, error)) return bad(Errc::refused, "is no file");
  const std::uint64_t size = fs::file_size(file, error);
  if (error) return bad(Errc::io, error.message());
  if (offset > size || wanted > size - offset || (length && *length != wanted))
    return bad(Errc::corrupt,
               format("{} bytes at {} are wanted; the file has {}", length.value_or(wanted), offset, size));
  std::uint64_t& given = read_[file.string()];
  if (given + wanted > times_max * size)
    return bad(Errc::refused, "is used for more tensors than it can hold");
  given += wanted;
  std::ifstream in(file, std::ios::binary);
  std::string out(static_cast<std::size_t>(wanted), '\0');
  in.seekg(static_cast<std::streamoff>(offset));
  in.read(out.data(), static_cast<std::streamsize>(wanted));
  if (!in) return bad(Errc::io, "cannot be read");
  return out;
}

Result<Constant> decode(const TensorProto& tensor, Folder& folder) {
  const auto of = signature_of(tensor);
  if (!of) return of.error();
  const auto count = static_cast<std::uint64_t>(of->shape.elements());
  const std::uint64_t wanted = count * raw_size(tensor.data_type());
  Constant out{*of, {}};
  const auto fill = [&](const std::string& raw) -> Result<Constant> {
    if (raw.size() != wanted) return wrong_size(*of, raw.size(), wanted, "bytes");
    out.bytes.resize(count * tensor::size_of(of->type));
    from_raw(tensor.data_type(), raw.data(), out.bytes, count);
    return std::move(out);
  };
  if (tensor.data_location() == TensorProto::EXTERNAL) {
    const auto raw = from_folder(tensor, folder, wanted);
    if (!raw) return raw.error();
    return fill(*raw);
  }
  if (tensor.has_raw_data()) return fill(tensor.raw_data());
  return fill(from_fields(tensor));
}

}  // namespace trainyard::graph::onnx_file
