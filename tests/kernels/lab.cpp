#include "tests/kernels/lab.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "common/ops/device.hpp"
#include "common/tensor/half.hpp"
#include "tests/kernels/images.hpp"

namespace trainyard::ops {
namespace {

constexpr std::size_t kGuardBytes = 256;
// Not-a-number as float and as double; huge; tiny.
constexpr unsigned char kPoisons[] = {0xff, 0x7e, 0x01};

void fill(tensor::Buffer& buffer, unsigned char byte) { std::memset(buffer.data(), byte, buffer.size()); }

bool guard_holds(const tensor::Buffer& buffer, unsigned char byte) {
  for (std::size_t i = buffer.size() - kGuardBytes; i < buffer.size(); ++i)
    if (buffer.data()[i] != std::byte{byte}) return false;
  return true;
}

bool same_bytes(const tensor::Buffer& left, const tensor::Buffer& right) {
  return left.size() == right.size() &&
         std::memcmp(left.data(), right.data(), left.size() - kGuardBytes) == 0;
}

tensor::Buffer copy_of(const tensor::Buffer& buffer) {
  tensor::Buffer copy(buffer.size());
  std::memcpy(copy.data(), buffer.data(), buffer.size());
  return copy;
}

std::vector<void*> pointers(const std::vector<Held>& helds) {
  std::vector<void*> all;
  for (const Held& held : helds) all.push_back(held.bytes ? held.bytes->data() : nullptr);
  return all;
}

}  // namespace

Tensor random_tensor(Random& random, const Shape& shape, double low, double high) {
  Tensor tensor{shape, {}};
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    tensor.values.push_back(static_cast<float>(random.uniform(low, high)));
  return tensor;
}

Held Lab::hold(const Signature& of, LayoutPtr layout) const {
  auto bytes = std::make_shared<tensor::Buffer>(tensor::aligned(layout->bytes) + kGuardBytes);
  return {of.shape, std::move(layout), std::move(bytes), of.type};
}

namespace {

template <typename T, typename Narrow>
void fill_with(tensor::Buffer& bytes, const Tensor& tensor, Narrow&& narrow) {
  auto* const to = reinterpret_cast<T*>(bytes.data());
  for (std::size_t i = 0; i < tensor.values.size(); ++i) to[i] = static_cast<T>(narrow(tensor.values[i]));
}

}  // namespace

Held Lab::plain(const Tensor& tensor, DType type) const {
  Held held = hold({tensor.shape, type}, backend_->plain(tensor.shape, type));
  const auto itself = [](double x) { return x; };
  switch (type) {
    case DType::f32:
      if (real_bytes_ == sizeof(double))
        fill_with<double>(*held.bytes, tensor, itself);
      else
        fill_with<float>(*held.bytes, tensor, itself);
      break;
    case DType::bf16:
      fill_with<std::uint16_t>(*held.bytes, tensor, [](double x) { return tensor::bf16_from_float(x); });
      break;
    case DType::f16:
      fill_with<std::uint16_t>(*held.bytes, tensor, [](double x) { return tensor::f16_from_float(x); });
      break;
    case DType::i32:
      fill_with<std::int32_t>(*held.bytes, tensor, itself);
      break;
    case DType::i64:
      fill_with<std::int64_t>(*held.bytes, tensor, itself);
      break;
    case DType::u8:
      fill_with<std::uint8_t>(*held.bytes, tensor, itself);
      break;
  }
  return held;
}

Held Lab::activation(const Tensor& tensor) {
  if (tensor.shape.rank() != 4) return plain(tensor);
  const bool blocked = (blocked_ >> activations_++ % 32 & 1) != 0;
  const Held held = plain(tensor);
  if (!blocked || tensor.values.empty()) return held;
  if (order_ == Images::as_a_convolution_leaves_it) return as_a_convolution_leaves_it(held);
  const Held image = hold(tensor.shape, image_layout(tensor.shape, order_));
  arrange_image(held, image);
  return image;
}

Held Lab::as_a_convolution_leaves_it(const Held& image) const {
  const std::int64_t channels = image.shape[1];
  Tensor identity{{channels, channels, 1, 1}, std::vector<double>(channels * channels)};
  for (std::int64_t c = 0; c < channels; ++c) identity.values[c * channels + c] = 1;
  return run(Kind::conv2d, {}, {image, plain(identity)}, {image.shape})[0];
}

std::vector<Held> Lab::run(Kind kind, const Attributes& attributes, const std::vector<Held>& inputs,
                           const std::vector<Signature>& outputs) const {
  Operation operation{kind, attributes, {}, outputs};
  for (const Held& input : inputs) operation.inputs.push_back({input.shape, input.layout, input.type});
  auto kernel = backend_->prepare(operation);
  if (!kernel) FAIL(kernel.error().message);
  REQUIRE((*kernel)->outputs().size() == outputs.size());
  tensor::Buffer scratch(tensor::aligned((*kernel)->scratch_bytes()) + kGuardBytes);
  std::vector<tensor::Buffer> before;
  for (const Held& input : inputs) before.push_back(input.bytes ? copy_of(*input.bytes) : tensor::Buffer());

  std::vector<Held> first;
  for (const unsigned char poison : kPoisons) {
    std::vector<Held> results;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      results.push_back(hold(outputs[i], (*kernel)->outputs()[i]));
      fill(*results[i].bytes, poison);
    }
    fill(scratch, poison);
    run_kernel(**kernel, pointers(inputs), inputs, pointers(results), results, scratch);
    CHECK(guard_holds(scratch, poison));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      INFO("operand " << i << " is as it was");
      if (inputs[i].bytes) CHECK(same_bytes(before[i], *inputs[i].bytes));
    }
    for (std::size_t i = 0; i < results.size(); ++i) {
      INFO("output " << i << " over poison " << static_cast<int>(poison));
      CHECK(guard_holds(*results[i].bytes, poison));
      CHECK(padding_is_zero(results[i].shape, results[i].layout, *results[i].bytes));
      if (!first.empty())
        CHECK(std::memcmp(results[i].bytes->data(), first[i].bytes->data(), results[i].layout->bytes) == 0);
    }
    if (first.empty()) first = std::move(results);
  }
  return first;
}

std::vector<Held> Lab::run(Kind kind, const Attributes& attributes, const std::vector<Held>& inputs) const {
  Attributes inferred = attributes;
  std::vector<Signature> signatures;
  for (const Held& input : inputs) signatures.emplace_back(input.shape, input.type);
  const auto outputs = infer(kind, inferred, signatures);
  if (!outputs) FAIL(outputs.error().message);
  return run(kind, inferred, inputs, *outputs);
}

Held Lab::run_over(std::size_t index, Kind kind, const Attributes& attributes,
                   const std::vector<Held>& inputs) const {
  const Held& over = inputs[index];
  Operation operation{kind, attributes, {}, {over.shape}};
  std::vector<Held> copies;
  for (const Held& input : inputs) {
    operation.inputs.push_back({input.shape, input.layout, input.type});
    auto bytes = input.bytes ? std::make_shared<tensor::Buffer>(copy_of(*input.bytes)) : nullptr;
    copies.push_back({input.shape, input.layout, std::move(bytes), input.type});
  }
  auto kernel = backend_->prepare(operation);
  if (!kernel) FAIL(kernel.error().message);
  REQUIRE((*kernel)->outputs()[0]->same(*over.layout));
  REQUIRE((*kernel)->in_place() == static_cast<int>(index));
  tensor::Buffer scratch((*kernel)->scratch_bytes());
  void* const target = copies[index].bytes->data();
  run_kernel(**kernel, pointers(copies), copies, {&target, 1}, {copies[index]}, scratch);
  return copies[index];
}

void Lab::run_kernel(Kernel& kernel, std::span<void* const> inputs, const std::vector<Held>& operands,
                     std::span<void* const> outputs, const std::vector<Held>& results,
                     tensor::Buffer& scratch) const {
  Device* const device = backend_->device();
  if (device == nullptr) return kernel.run(inputs, outputs, scratch.data());
  struct Moved {
    void* host;
    Block block;
  };
  std::vector<Moved> moved;
  const auto there = [&](void* host, std::size_t bytes) -> void* {
    if (host == nullptr) return nullptr;
    // An operand that is written over is one block.
    for (const Moved& one : moved)
      if (one.host == host) return one.block.data();
    auto block = Block::of_device(*device, bytes);
    if (!block) FAIL(block.error().message);
    device->copy_in(block->data(), host, bytes);
    moved.push_back({host, std::move(*block)});
    return moved.back().block.data();
  };
  std::vector<void*> from, to;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    from.push_back(there(inputs[i], operands[i].bytes ? operands[i].bytes->size() : 0));
  for (std::size_t i = 0; i < outputs.size(); ++i) to.push_back(there(outputs[i], results[i].bytes->size()));
  void* const area = there(scratch.data(), scratch.size());
  kernel.run(from, to, area);
  for (const Moved& one : moved) device->copy_out(one.host, one.block.data(), one.block.size());
  if (const Status done = device->wait(); !done) FAIL(done.error().message);
}

namespace {

template <typename T, typename Widen>
void append(const tensor::Buffer& bytes, std::int64_t count, std::vector<double>& out, Widen&& widen) {
  const auto* values = reinterpret_cast<const T*>(bytes.data());
  for (std::int64_t i = 0; i < count; ++i) out.push_back(static_cast<double>(widen(values[i])));
}
template <typename T>
void append(const tensor::Buffer& bytes, std::int64_t count, std::vector<double>& out) {
  append<T>(bytes, count, out, [](T value) { return value; });
}

}  // namespace

Tensor Lab::take(const Held& held) const {
  const bool arranged = held.shape.rank() >= 2 && !backend_->plain(held.shape, held.type)->same(*held.layout);
  const Held plain =
      arranged ? run(Kind::reshape, {}, {held}, {{{held.shape.elements()}, held.type}})[0] : held;
  Tensor tensor{held.shape, {}};
  const std::int64_t count = held.shape.elements();
  switch (held.type) {
    case DType::i32:
      append<std::int32_t>(*plain.bytes, count, tensor.values);
      break;
    case DType::i64:
      append<std::int64_t>(*plain.bytes, count, tensor.values);
      break;
    case DType::u8:
      append<std::uint8_t>(*plain.bytes, count, tensor.values);
      break;
    case DType::bf16:
      append<std::uint16_t>(*plain.bytes, count, tensor.values, tensor::float_from_bf16);
      break;
    case DType::f16:
      append<std::uint16_t>(*plain.bytes, count, tensor.values, tensor::float_from_f16);
      break;
    default:
      if (real_bytes_ == sizeof(double))
        append<double>(*plain.bytes, count, tensor.values);
      else
        append<float>(*plain.bytes, count, tensor.values);
  }
  return tensor;
}

void require_close(const Tensor& actual, const Tensor& expected, double tolerance) {
  REQUIRE(actual.shape == expected.shape);
  REQUIRE(actual.values.size() == expected.values.size());
  double scale = 1, worst = 0;
  for (const double value : expected.values)
    if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  std::size_t where = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const double is = actual.values[i], wanted = expected.values[i];
    if (is == wanted || (std::isnan(is) && std::isnan(wanted))) continue;
    // Nothing is near what is infinite or not a number.
    const double off = std::isfinite(is) && std::isfinite(wanted) ? std::abs(is - wanted) : INFINITY;
    if (off <= worst) continue;
    worst = off;
    where = i;
  }
  if (expected.values.empty()) return;
  INFO("element " << where << " of " << expected.shape.text() << ": " << actual.values[where] << " for "
                  << expected.values[where]);
  CHECK(worst <= tolerance * scale);
}

void agree(const Computation& computation, double tolerance) {
  Lab reference = Lab::reference();
  const std::vector<Tensor> expected = computation(reference);
  const auto compare = [&](Lab lab) {
    const std::vector<Tensor> actual = computation(lab);
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      INFO("result " << i);
      require_close(actual[i], expected[i], tolerance);
    }
  };
  each_subject(reference.activations(), compare);
}

Shape random_shape(Random& random, std::size_t rank) {
  static constexpr std::int64_t kExtents[] = {1, 2, 3, 5, 7, 8, 16, 17, 33};
  std::vector<std::int64_t> dims;
  std::int64_t volume = 1;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    std::int64_t extent = kExtents[random.below(std::size(kExtents))];
    if (volume * extent > 20000) extent = 1;
    if (random.chance(0.02)) extent = 0;
    if (extent > 0) volume *= extent;
    dims.push_back(extent);
  }
  return Shape(std::move(dims));
}

}  // namespace trainyard::ops
