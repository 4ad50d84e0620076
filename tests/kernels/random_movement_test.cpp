// Movement, look-ups, resizing and products over random shapes, every backend against the reference in
// double.
#include <catch2/catch.hpp>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {
namespace {

/// Images three times in four; channels often fill whole blocks.
Shape shape_for(Random& random) {
  Shape shape = random_shape(random, random.chance(0.75) ? 4 : 1 + random.below(5));
  if (shape.rank() == 4 && shape.elements() > 0 && random.chance(0.5))
    shape[1] = static_cast<std::int64_t>(16 * (1 + random.below(3)));
  if (shape.rank() == 4 && shape.elements() > 20000) shape[3] = 1;
  return shape;
}

constexpr DType kTypes[] = {DType::f32, DType::f32, DType::f32, DType::bf16, DType::i64, DType::u8};
DType random_type(Random& random) { return kTypes[random.below(std::size(kTypes))]; }

/// Small whole numbers: every type holds them.
Tensor numbers(Random& random, const Shape& shape) {
  Tensor tensor{shape, {}};
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    tensor.values.push_back(static_cast<double>(random.below(100)));
  return tensor;
}

Held held(Lab& lab, const Tensor& x, DType type) {
  return type == DType::f32 ? lab.activation(x) : lab.plain(x, type);
}

/// Nothing is computed: results are exact.
void moves(Kind kind, const Attributes& attributes, const Tensor& x, DType type) {
  INFO(name_of(kind) << " of " << x.shape.text() << " of " << name_of(type));
  agree([&](Lab& lab) { return std::vector{lab.take(lab.run(kind, attributes, {held(lab, x, type)})[0])}; },
        0);
}

TEST_CASE("transposes of random tensors agree", "[random][transpose]") {
  Random random(201);
  for (int round = 0; round < 80; ++round) {
    const Shape shape = shape_for(random);
    Attributes attributes;
    for (std::size_t axis = 0; axis < shape.rank(); ++axis)
      attributes.axes.push_back(static_cast<std::int64_t>(axis));
    random.shuffle(attributes.axes);
    moves(Kind::transpose, attributes, numbers(random, shape), random_type(random));
  }
}

/// Some axes, each cut anywhere; channels of images often between blocks.
Attributes random_cut(Random& random, const Shape& shape) {
  Attributes attributes;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (random.chance(0.5)) continue;
    const std::int64_t extent = shape[axis];
    auto start = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(extent) + 1));
    auto end = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(extent) + 1));
    if (axis == 1 && random.chance(0.6)) start = start / 16 * 16, end = extent;
    if (axis == 1 && random.chance(0.3)) end = std::min<std::int64_t>(end, start + 16);
    static constexpr std::int64_t kSteps[] = {1, 1, 1, 2, 3, -1, -2};
    attributes.axes.push_back(static_cast<std::int64_t>(axis));
    attributes.starts.push_back(start);
    attributes.ends.push_back(end);
    attributes.steps.push_back(axis == 1 && random.chance(0.5) ? 1 : kSteps[random.below(std::size(kSteps))]);
  }
  return attributes;
}

TEST_CASE("slices of random tensors and their gradients agree", "[random][slice]") {
  Random random(202);
  for (int round = 0; round < 150; ++round) {
    const Shape shape = shape_for(random);
    Attributes attributes = random_cut(random, shape);
    const DType type = random_type(random);
    moves(Kind::slice, attributes, numbers(random, shape), type);
    const Signature x(shape, type);
    const auto y = infer(Kind::slice, attributes, {&x, 1});
    REQUIRE(y);
    const Tensor dy = numbers(random, y->front().shape);
    INFO("gradient of a slice of " << shape.text());
    agree(
        [&](Lab& lab) {
          return std::vector{lab.take(lab.run(Kind::slice_grad, attributes, {held(lab, dy, type)}, {x})[0])};
        },
        0);
  }
}

TEST_CASE("random tensors are laid side by side alike", "[random][concat]") {
  Random random(203);
  for (int round = 0; round < 120; ++round) {
    const Shape shape = shape_for(random);
    const DType type = random_type(random);
    const auto axis = random.chance(0.5) && shape.rank() > 1 ? 1 : random.below(shape.rank());
    std::vector<Tensor> parts;
    for (std::uint64_t left = 1 + random.below(3); left-- > 0;) {
      Shape part = shape;
      if (random.chance(0.6))
        part[axis] = static_cast<std::int64_t>(random.below(4)) * (random.chance(0.5) ? 16 : 1);
      parts.push_back(numbers(random, part));
    }
    INFO("axis " << axis << " of " << parts.size() << " like " << shape.text() << " of " << name_of(type));
    agree(
        [&](Lab& lab) {
          std::vector<Held> inputs;
          for (const Tensor& part : parts) inputs.push_back(held(lab, part, type));
          const Attributes attributes{.axis = static_cast<std::int64_t>(axis)};
          return std::vector{lab.take(lab.run(Kind::concat, attributes, inputs)[0])};
        },
        0);
  }
}

TEST_CASE("padding of random tensors and its gradient agree", "[random][pad]") {
  Random random(204);
  for (int round = 0; round < 120; ++round) {
    const Shape shape = shape_for(random);
    if (shape.elements() == 0 && round % 3 != 0) continue;
    Attributes attributes{.alpha = round % 2 == 0 ? 0.0 : 7.0};
    attributes.pad_mode = static_cast<PadMode>(round % 3);
    for (std::size_t axis = 0; axis < shape.rank(); ++axis)
      for (auto* pads : {&attributes.starts, &attributes.ends}) {
        std::int64_t pad =
            random.chance(axis == 1 ? 0.2 : 0.6) ? static_cast<std::int64_t>(random.below(5)) - 1 : 0;
        if (attributes.pad_mode != PadMode::constant) pad = std::min(pad, shape[axis] - 1);
        if (shape[axis] < 3) pad = std::max<std::int64_t>(pad, 0);
        pads->push_back(pad);
      }
    moves(Kind::pad, attributes, numbers(random, shape), random_type(random));
    const Signature x(shape);
    const auto y = infer(Kind::pad, attributes, {&x, 1});
    REQUIRE(y);
    const Tensor dy = numbers(random, y->front().shape);
    INFO("gradient of padding of " << shape.text());
    agree(
        [&](Lab& lab) {
          return std::vector{lab.take(lab.run(Kind::pad_grad, attributes, {lab.activation(dy)}, {x})[0])};
        },
        1e-7);
  }
}

TEST_CASE("repeating random tensors agrees", "[random][expand]") {
  Random random(205);
  for (int round = 0; round < 120; ++round) {
    const Shape shape = shape_for(random);
    Attributes attributes{.dims = shape.dims()};
    Shape x = shape;
    for (std::size_t axis = 0; axis < x.rank(); ++axis)
      if (random.chance(axis == 1 ? 0.2 : 0.5)) x[axis] = 1;
    if (random.chance(0.2)) x = Shape(std::vector(x.dims().begin() + 1, x.dims().end()));
    moves(Kind::expand, attributes, numbers(random, x), random_type(random));
    attributes.reduction = Reduction::mean;
    const Tensor values = random_tensor(random, x);
    INFO("mean of " << x.text() << " to " << shape.text());
    agree([&](Lab& lab) {
      return std::vector{lab.take(lab.run(Kind::expand, attributes, {lab.activation(values)})[0])};
    });
  }
}

/// From -extent to extent - 1.
Tensor indices(Random& random, const Shape& shape, std::int64_t extent) {
  Tensor tensor{shape, {}};
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    tensor.values.push_back(static_cast<double>(random.below(static_cast<std::uint64_t>(2 * extent))) -
                            static_cast<double>(extent));
  return tensor;
}

TEST_CASE("look-ups in random tensors and their gradients agree", "[random][gather]") {
  Random random(206);
  for (int round = 0; round < 100; ++round) {
    const Shape shape = shape_for(random);
    const auto axis = random.below(shape.rank());
    if (shape[axis] == 0) continue;
    const Attributes attributes{.axis = static_cast<std::int64_t>(axis)};
    const Tensor x = numbers(random, shape);
    const Tensor index = indices(random, random_shape(random, random.below(3)), shape[axis]);
    if (shape.elements() * index.shape.elements() > 400000) continue;
    const DType type = random_type(random), whole = random.chance(0.5) ? DType::i32 : DType::i64;
    INFO(shape.text() << " along " << axis << " by " << index.shape.text());
    agree(
        [&](Lab& lab) {
          const std::vector<Held> inputs{held(lab, x, type), lab.plain(index, whole)};
          return std::vector{lab.take(lab.run(Kind::gather, attributes, inputs)[0])};
        },
        0);
    std::vector<std::int64_t> dims = shape.dims();
    const auto place = static_cast<std::ptrdiff_t>(axis);
    dims.erase(dims.begin() + place);
    dims.insert(dims.begin() + place, index.shape.dims().begin(), index.shape.dims().end());
    const Tensor dy = random_tensor(random, Shape(std::move(dims)));
    agree([&](Lab& lab) {
      const std::vector<Held> inputs{lab.activation(dy), lab.plain(index, whole)};
      return std::vector{lab.take(lab.run(Kind::gather_grad, attributes, inputs, {shape})[0])};
    });
  }
}

TEST_CASE("looking up and scattering single elements agree", "[random][gather_elements]") {
  Random random(207);
  for (int round = 0; round < 60; ++round) {
    const Shape shape = shape_for(random);
    const auto axis = random.below(shape.rank());
    if (shape[axis] == 0) continue;
    Shape part = shape;
    for (std::size_t i = 0; i < part.rank(); ++i)
      if (random.chance(0.4)) part[i] = std::max<std::int64_t>(shape[i] - 1, 0);
    const Attributes attributes{.axis = static_cast<std::int64_t>(axis), .accumulate = random.chance(0.5)};
    const Tensor x = numbers(random, shape), updates = numbers(random, part);
    const Tensor index = indices(random, part, shape[axis]);
    INFO(shape.text() << " along " << axis << " by " << part.text());
    agree([&](Lab& lab) {
      const Held at = lab.activation(x), where = lab.plain(index, DType::i64), to = lab.activation(updates);
      return std::vector{lab.take(lab.run(Kind::gather_elements, attributes, {at, where})[0]),
                         lab.take(lab.run(Kind::scatter_elements, attributes, {at, where, to})[0])};
    });
  }
}

TEST_CASE("one hot and resized images agree", "[random][resize]") {
  Random random(208);
  const auto extent = [&] { return 1 + static_cast<std::int64_t>(random.below(12)); };
  for (int round = 0; round < 40; ++round) {
    const Tensor index = indices(random, random_shape(random, random.below(3)), 7);
    Attributes hot{.alpha = -1, .beta = 2, .size = 5};
    hot.axis = static_cast<std::int64_t>(random.below(index.shape.rank() + 1));
    hot.type = random.chance(0.5) ? DType::f32 : DType::i64;
    agree([&](Lab& lab) {
      return std::vector{lab.take(lab.run(Kind::one_hot, hot, {lab.plain(index, DType::i32)})[0])};
    });

    Shape shape = random_shape(random, 4);
    shape[2] = std::max<std::int64_t>(shape[2], 1);
    shape[3] = std::max<std::int64_t>(shape[3], 1);
    Attributes attributes;
    attributes.dims = {extent(), extent()};
    attributes.coordinates = static_cast<Coordinates>(random.below(4));
    attributes.interpolation = static_cast<Interpolation>(random.below(3));
    attributes.nearest_mode = static_cast<NearestMode>(random.below(4));
    const Tensor x = random_tensor(random, shape);
    const Tensor dy = random_tensor(random, {shape[0], shape[1], attributes.dims[0], attributes.dims[1]});
    INFO("resize of " << shape.text());
    agree([&](Lab& lab) {
      return std::vector{lab.take(lab.run(Kind::resize, attributes, {lab.activation(x)})[0]),
                         lab.take(lab.run(Kind::resize_grad, attributes, {lab.activation(dy)}, {shape})[0])};
    });
  }
}

TEST_CASE("products of random matrices agree, in batches, transposed and stretched", "[random][matmul]") {
  Random random(209);
  for (int round = 0; round < 150; ++round) {
    const auto m = static_cast<std::int64_t>(random.below(20)),
               k = static_cast<std::int64_t>(random.below(20)),
               p = static_cast<std::int64_t>(random.below(20));
    Attributes attributes;
    attributes.transpose_a = random.chance(0.5);
    attributes.transpose_b = random.chance(0.5);
    std::vector<std::int64_t> a, b;
    for (std::uint64_t axis = random.below(4); axis-- > 0;) {
      const auto extent = static_cast<std::int64_t>(1 + random.below(3));
      const auto kind = random.below(4);
      a.push_back(kind == 1 ? 1 : extent);
      b.push_back(kind == 2 ? 1 : extent);
    }
    if (random.chance(0.3)) (random.chance(0.5) ? a : b).clear();
    a.insert(a.end(), {attributes.transpose_a ? k : m, attributes.transpose_a ? m : k});
    b.insert(b.end(), {attributes.transpose_b ? p : k, attributes.transpose_b ? k : p});
    const Tensor left = random_tensor(random, Shape(a)), right = random_tensor(random, Shape(b));
    INFO(left.shape.text() << " by " << right.shape.text() << ", transposed " << attributes.transpose_a
                           << attributes.transpose_b);
    agree([&](Lab& lab) {
      const std::vector<Held> inputs{lab.activation(left), lab.activation(right)};
      return std::vector{lab.take(lab.run(Kind::matmul, attributes, inputs)[0])};
    });
  }
}

}  // namespace
}  // namespace trainyard::ops
