#include "tests/bench/engine_models.hpp"

#include <functional>

#include "common/base/text.hpp"
#include "common/graph/compose/composer.hpp"

namespace trainyard::bench {

namespace {

using graph::Attributes;
using graph::Builder;
using graph::Init;
using graph::Kind;
using graph::TensorKind;
using graph::ValueId;

/// Layers one after the other; sizes are known to fit, so that an error is a bug of the benchmark.
class Stack {
 public:
  Stack(std::uint32_t batch, std::int64_t channels, std::int64_t side) : builder_(batch) {
    x_ = builder_.input("input", graph::Signature({tensor::kBatch, channels, side, side}));
  }

  Stack& conv(std::int64_t filters, std::int64_t kernel, std::int64_t stride, std::int64_t pad,
              bool bias = false, std::int64_t groups = 1) {
    Attributes a;
    a.stride_height = a.stride_width = stride;
    a.pad_top = a.pad_bottom = a.pad_left = a.pad_right = pad;
    a.groups = groups;
    std::vector<ValueId> in{
        x_, own({filters, channels() / groups, kernel, kernel}, TensorKind::weight, Init::he)};
    if (bias) in.push_back(own({filters}, TensorKind::bias, Init::zero));
    return apply(Kind::conv2d, a, in);
  }
  Stack& norm() {
    const std::int64_t c = channels();
    return apply(Kind::batch_norm, {},
                 {x_, own({c}, TensorKind::bias, Init::one), own({c}, TensorKind::bias, Init::zero),
                  own({c}, TensorKind::buffer, Init::zero), own({c}, TensorKind::buffer, Init::one)});
  }
  Stack& unary(ops::Function function) { return apply(Kind::unary, {.function = function}, {x_}); }
  Stack& relu() { return unary(ops::Function::relu); }
  Stack& max_pool(std::int64_t size, std::int64_t stride, std::int64_t pad = 0) {
    Attributes a;
    a.kernel_height = a.kernel_width = size;
    a.stride_height = a.stride_width = stride;
    a.pad_top = a.pad_bottom = a.pad_left = a.pad_right = pad;
    return apply(Kind::max_pool, a, {x_});
  }
  Stack& global_pool() {
    Attributes a;
    a.kernel_height = builder_.shape(x_)[2];
    a.kernel_width = builder_.shape(x_)[3];
    return apply(Kind::avg_pool, a, {x_});
  }
  Stack& dense(std::int64_t units) {
    Attributes a;
    a.axis = 1;
    const std::int64_t features = builder_.shape(x_).volume(1);
    return apply(Kind::dense, a,
                 {x_, own({units, features}, TensorKind::weight, Init::he),
                  own({units}, TensorKind::bias, Init::zero)});
  }
  /// x + body(x); the shortcut is x itself, or what `shortcut` makes of it.
  Stack& residual(const std::function<void(Stack&)>& body, const std::function<void(Stack&)>& shortcut) {
    const ValueId begin = x_;
    body(*this);
    const ValueId end = x_;
    x_ = begin;
    if (shortcut) shortcut(*this);
    return apply(Kind::binary, {.arithmetic = ops::Arithmetic::add}, {end, x_});
  }
  std::int64_t channels() const { return builder_.shape(x_)[1]; }
  graph::Model finish() { return std::move(builder_).finish({x_}); }

 private:
  Stack& apply(Kind kind, Attributes attributes, std::vector<ValueId> inputs) {
    builder_.origin(format("{} of {}", ops::name_of(kind), builder_.shape(x_).text()), {});
    x_ = *builder_.add(kind, std::move(attributes), std::move(inputs));
    return *this;
  }
  ValueId own(std::vector<std::int64_t> dims, TensorKind kind, Init init) {
    return *builder_.parameter(format("t{}", tensors_++), std::move(dims), kind, init);
  }
  Builder builder_;
  ValueId x_ = 0;
  int tensors_ = 0;
};

graph::Model mlp(std::uint32_t batch) {
  return Stack(batch, 1, 28).dense(512).relu().dense(512).relu().dense(10).finish();
}

graph::Model lenet5(std::uint32_t batch) {
  return Stack(batch, 1, 28)
      .conv(6, 5, 1, 2, true)
      .relu()
      .max_pool(2, 2)
      .conv(16, 5, 1, 0, true)
      .relu()
      .max_pool(2, 2)
      .dense(120)
      .relu()
      .dense(84)
      .relu()
      .dense(10)
      .finish();
}

void basic_block(Stack& stack, std::int64_t filters, std::int64_t stride) {
  std::function<void(Stack&)> shortcut;
  if (stride != 1 || stack.channels() != filters)
    shortcut = [=](Stack& s) { s.conv(filters, 1, stride, 0).norm(); };
  stack.residual([=](Stack& s) { s.conv(filters, 3, stride, 1).norm().relu().conv(filters, 3, 1, 1).norm(); },
                 shortcut);
  stack.relu();
}

graph::Model resnet20(std::uint32_t batch) {
  Stack stack(batch, 3, 32);
  stack.conv(16, 3, 1, 1).norm().relu();
  for (const std::int64_t filters : {16, 32, 64})
    for (int block = 0; block < 3; ++block) basic_block(stack, filters, filters != 16 && block == 0 ? 2 : 1);
  return stack.global_pool().dense(10).finish();
}

graph::Model resnet18(std::uint32_t batch) {
  Stack stack(batch, 3, 128);
  stack.conv(64, 7, 2, 3).norm().relu().max_pool(3, 2, 1);
  for (const std::int64_t filters : {64, 128, 256, 512})
    for (int block = 0; block < 2; ++block) basic_block(stack, filters, filters != 64 && block == 0 ? 2 : 1);
  return stack.global_pool().dense(1000).finish();
}

/// He and others, 2016, table 1, with the stride in the middle of a block, as most have it.
graph::Model resnet50(std::uint32_t batch) {
  Stack stack(batch, 3, 224);
  stack.conv(64, 7, 2, 3).norm().relu().max_pool(3, 2, 1);
  struct Row {
    std::int64_t width, repeats;
  };
  for (const Row& row : {Row{64, 3}, {128, 4}, {256, 6}, {512, 3}})
    for (std::int64_t i = 0; i < row.repeats; ++i) {
      const std::int64_t width = row.width, stride = i == 0 && width != 64 ? 2 : 1;
      std::function<void(Stack&)> shortcut;
      if (i == 0) shortcut = [=](Stack& s) { s.conv(4 * width, 1, stride, 0).norm(); };
      const auto body = [=](Stack& s) {
        s.conv(width, 1, 1, 0).norm().relu().conv(width, 3, stride, 1).norm().relu();
        s.conv(4 * width, 1, 1, 0).norm();
      };
      stack.residual(body, shortcut).relu();
    }
  return stack.global_pool().dense(1000).finish();
}

/// Sandler and others, 2018, table 2.
graph::Model mobilenet_v2(std::uint32_t batch) {
  Stack stack(batch, 3, 128);
  const auto relu6 = ops::Function::relu6;
  stack.conv(32, 3, 2, 1).norm().unary(relu6);
  struct Row {
    std::int64_t expansion, filters, repeats, stride;
  };
  for (const Row& row : {Row{1, 16, 1, 1},
                         {6, 24, 2, 2},
                         {6, 32, 3, 2},
                         {6, 64, 4, 2},
                         {6, 96, 3, 1},
                         {6, 160, 3, 2},
                         {6, 320, 1, 1}})
    for (std::int64_t i = 0; i < row.repeats; ++i) {
      const std::int64_t stride = i == 0 ? row.stride : 1, in = stack.channels(), wide = in * row.expansion;
      const auto body = [=](Stack& s) {
        if (row.expansion != 1) s.conv(wide, 1, 1, 0).norm().unary(relu6);
        s.conv(wide, 3, stride, 1, false, wide).norm().unary(relu6).conv(row.filters, 1, 1, 0).norm();
      };
      if (stride == 1 && in == row.filters)
        stack.residual(body, nullptr);
      else
        body(stack);
    }
  return stack.conv(1280, 1, 1, 0).norm().unary(relu6).global_pool().dense(1000).finish();
}

/// A bidirectional LSTM of 128 units over 64 steps of 128 numbers, the mean of its steps, a classifier.
graph::Model bilstm(std::uint32_t batch) {
  constexpr std::int64_t steps = 64, width = 128, units = 128, gates = 4;
  Builder builder(batch);
  const auto own = [&](const char* name, std::vector<std::int64_t> dims, Init init) {
    return *builder.parameter(name, std::move(dims), TensorKind::weight, init);
  };
  const ValueId x = builder.input("input", graph::Signature({tensor::kBatch, steps, width}));
  Attributes cell, mean, last;
  cell.cell = ops::Cell::lstm;
  cell.direction = ops::Direction::bidirectional;
  const ValueId y = *builder.add(Kind::recurrent, cell,
                                 {x, own("input_weight", {2, gates * units, width}, Init::glorot),
                                  own("state_weight", {2, gates * units, units}, Init::glorot),
                                  own("bias", {2, 2 * gates * units}, Init::zero)});
  mean.reduction = ops::Reduction::mean;
  mean.axes = {1};
  mean.keep_dims = false;
  last.axis = 1;
  const ValueId middle = *builder.add(Kind::reduce, mean, {y});
  return std::move(builder).finish(
      {*builder.add(Kind::dense, last,
                    {middle, own("weight", {10, 2 * units}, Init::glorot), own("end", {10}, Init::zero)})});
}

}  // namespace

namespace {

/// Three blocks of 256 numbers, 4 heads and 1024 units between, over 128 tokens; 2.9 million parameters.
graph::Model transformer(std::uint32_t batch, std::uint32_t vocabulary) {
  constexpr std::int64_t steps = 128, width = 256;
  graph::Composer net(batch);
  const ValueId ids = net.input("ids", {{tensor::kBatch, steps}, tensor::DType::i32});
  ValueId x = net.positions(net.embedding(ids, "embedding", vocabulary, width), "positions", false);
  for (const char* name : {"layers.0", "layers.1", "layers.2"})
    x = net.encoder_block(x, name,
                          {.attention = {.heads = 4},
                           .feedforward = 1024,
                           .dropout = 0,
                           .activation = config::Activation::gelu});
  return *std::move(net).finish({net.dense(net.reduce(ops::Reduction::mean, x, {1}), "fc", {.units = 10})});
}

/// The mean of the rows of 32 ids, and a classifier.
graph::Model embedding_bag(std::uint32_t batch, std::uint32_t vocabulary, std::int64_t bag) {
  graph::Composer net(batch);
  const ValueId ids = net.input("ids", {tensor::Shape{bag * tensor::kBatch}, tensor::DType::i32});
  const ValueId offsets = net.input("offsets", {tensor::Shape{tensor::kBatch}, tensor::DType::i32});
  const ValueId table = net.parameter("table", {vocabulary, 128}, TensorKind::weight, Init::normal_02);
  const ValueId x =
      net.apply(Kind::embedding_bag, {.reduction = ops::Reduction::mean}, {table, ids, offsets});
  return *std::move(net).finish({net.dense(x, "fc", {.units = 10})});
}

}  // namespace

Result<BenchModel> bench_model(const std::string& name, std::uint32_t batch) {
  if (name == "mlp") return BenchModel{mlp(batch), 10};
  if (name == "lenet5") return BenchModel{lenet5(batch), 10};
  if (name == "bilstm") return BenchModel{bilstm(batch), 10};
  if (name == "transformer") return BenchModel{transformer(batch, 2000), 10, 2000};
  if (name == "embedding_bag") return BenchModel{embedding_bag(batch, 50'000, 32), 10, 50'000, 32};
  if (name == "resnet20") return BenchModel{resnet20(batch), 10};
  if (name == "resnet18") return BenchModel{resnet18(batch), 1000};
  if (name == "resnet50") return BenchModel{resnet50(batch), 1000};
  if (name == "mobilenet_v2") return BenchModel{mobilenet_v2(batch), 1000};
  return Error{Errc::invalid, format("no network '{}'; known: lenet5, mlp, bilstm, transformer, "
                                     "embedding_bag, resnet20, resnet18, resnet50, mobilenet_v2",
                                     name)};
}

}  // namespace trainyard::bench
