#include "common/base/text.hpp"
#include "common/graph/model.hpp"
#include "common/graph/onnx/tensor.hpp"

namespace trainyard::graph::onnx_file {
namespace {

/// Names of TensorProto.DataType in the order of their numbers, of later schemas too.
constexpr const char* names[] = {
    "undefined", "float",      "uint8",      "int8",         "uint16",         "int16",      "int32",
    "int64",     "string",     "bool",       "float16",      "double",         "uint32",     "uint64",
    "complex64", "complex128", "bfloat16",   "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
    "uint4",     "int4",       "float4e2m1", "float8e8m0",   "uint2",          "int2"};

}  // namespace

Result<ElementType> element_type(std::int32_t onnx_type) {
  switch (onnx_type) {
    case onnx::TensorProto::FLOAT:
    case onnx::TensorProto::DOUBLE:
    case onnx::TensorProto::FLOAT16:
      return ElementType{DType::f32};
    case onnx::TensorProto::BFLOAT16:
      return ElementType{.type = DType::f32, .bfloat16 = true};
    case onnx::TensorProto::INT8:
    case onnx::TensorProto::INT16:
    case onnx::TensorProto::UINT16:
    case onnx::TensorProto::INT32:
      return ElementType{DType::i32};
    case onnx::TensorProto::UINT32:
    case onnx::TensorProto::INT64:
      return ElementType{DType::i64};
    case onnx::TensorProto::UINT8:
      return ElementType{DType::u8};
    case onnx::TensorProto::BOOL:
      return ElementType{DType::u8, true};
    default: {
      const bool known = onnx_type > 0 && static_cast<std::size_t>(onnx_type) < std::size(names);
      return Error{Errc::refused,
                   format("elements of type {} are not supported",
                          known ? std::string(names[onnx_type]) : "number " + std::to_string(onnx_type))};
    }
  }
}

Result<Signature> signature_of(const onnx::TensorProto& tensor) {
  const auto type = element_type(tensor.data_type());
  if (!type) return type.error();
  std::vector<std::int64_t> dims(tensor.dims().begin(), tensor.dims().end());
  std::uint64_t bytes = tensor::size_of(type->type);
  bool fits = true;
  for (const std::int64_t dim : dims) {
    if (dim < 0) return Error{Errc::corrupt, format("an extent of {}", dim)};
    // An empty tensor is held to the same bound: its other extents are computed with.
    const std::uint64_t extent = dim == 0 ? 1 : static_cast<std::uint64_t>(dim);
    fits = fits && !__builtin_mul_overflow(bytes, extent, &bytes);
  }
  if (!fits || bytes > kTensorBytesMax)
    return Error{Errc::refused, format("{} takes more than the {} that are allowed", Shape(dims).text(),
                                       size_text(kTensorBytesMax))};
  return Signature(Shape(std::move(dims)), type->type);
}

}  // namespace trainyard::graph::onnx_file
