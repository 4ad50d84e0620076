#include "tests/support/random_graph.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <map>

namespace trainyard::graph::test {
namespace {

using ops::Arithmetic;
using ops::Function;
using ops::Reduction;
using Dims = std::vector<std::int64_t>;

constexpr std::int64_t kFloatsMax = 1500;  // of a value, a sample

class Growth {
 public:
  explicit Growth(Random& random) : random_(random), builder_(3) {}

  Model run(std::size_t nodes) {
    values_.push_back(builder_.input("image", Signature({tensor::kBatch, channels(), 5, 4})));
    values_.push_back(builder_.input("rows", Signature({tensor::kBatch, 4, 6})));
    for (std::size_t i = 0; i < nodes; ++i) grow();
    std::vector<ValueId> results{values_.back()};
    for (std::uint64_t i = random_.below(3); i-- > 0;) results.push_back(any());
    if (random_.chance(0.3)) results.push_back(weight({5}));
    return std::move(builder_).finish(std::move(results));
  }

 private:
  std::int64_t channels() {
    static constexpr std::int64_t kChannels[] = {1, 3, 8, 16, 17, 32};
    return kChannels[random_.below(std::size(kChannels))];
  }
  /// Recent ones more often.
  ValueId any() {
    const std::uint64_t back =
        random_.chance(0.6) ? std::min<std::uint64_t>(3, values_.size()) : values_.size();
    return values_[values_.size() - 1 - random_.below(back)];
  }
  /// A new one, or one that is used elsewhere too; sometimes its hyperbolic tangent.
  ValueId weight(const Dims& shape) {
    std::vector<ValueId>& same = weights_[shape];
    if (same.empty() || random_.chance(0.6)) {
      const auto id =
          builder_.parameter("w" + std::to_string(++count_), shape, TensorKind::weight, Init::normal_02);
      REQUIRE(id);
      same.push_back(*id);
    }
    const ValueId id = same[random_.below(same.size())];
    if (random_.chance(0.7)) return id;
    add(Kind::unary, {.function = Function::tanh}, {id});
    const ValueId bent = values_.back();
    values_.pop_back();
    return bent;
  }
  void add(Kind kind, const Attributes& attributes, std::vector<ValueId> inputs) {
    const auto all = builder_.add_all(kind, attributes, std::move(inputs));
    if (!all) FAIL(all.error().message);
    values_.push_back(all->front());
  }

  void grow() {
    const ValueId x = any();
    const Shape shape = builder_.shape(x);
    const std::int64_t floats = -shape.volume();
    const std::size_t rank = shape.rank(), axis = rank > 1 ? 1 + random_.below(rank - 1) : 0;
    const std::int64_t extent = shape[axis], along = static_cast<std::int64_t>(axis);
    switch (random_.below(15)) {
      case 0:
      case 1: {
        static constexpr Function kFunctions[] = {Function::tanh, Function::sigmoid,  Function::gelu,
                                                  Function::relu, Function::identity, Function::softplus,
                                                  Function::abs,  Function::sin};
        return add(Kind::unary, {.function = kFunctions[random_.below(std::size(kFunctions))]}, {x});
      }
      case 2:
      case 3:
        return binary(x, shape);
      case 4:
        if (rank < 3) return;
        return add(Kind::reshape, {.dims = {tensor::kBatch, floats}}, {x});
      case 5: {
        if (rank < 3) return;
        Attributes attributes;
        for (std::size_t i = 1; i < rank; ++i) attributes.axes.push_back(static_cast<std::int64_t>(i));
        random_.shuffle(attributes.axes);
        attributes.axes.insert(attributes.axes.begin(), 0);
        return add(Kind::transpose, attributes, {x});
      }
      case 6: {
        if (axis == 0 || extent < 2) return;
        const std::int64_t half = extent / 2;
        return add(Kind::slice,
                   {.axes = {along}, .starts = {random_.chance(0.5) ? 0 : half}, .ends = {extent}}, {x});
      }
      case 7: {
        if (axis == 0 || floats > kFloatsMax) return;
        const ValueId other = same_shape(x);
        return add(Kind::concat, {.axis = along},
                   random_.chance(0.5) ? std::vector{x, other} : std::vector{other, x, x});
      }
      case 8: {
        if (axis == 0 || floats > kFloatsMax) return;
        Attributes attributes{.starts = Dims(rank, 0), .ends = Dims(rank, 0)};
        attributes.starts[axis] = 1;
        attributes.ends[axis] = extent > 1 && random_.chance(0.5) ? -1 : 1;
        return add(Kind::pad, attributes, {x});
      }
      case 9: {
        if (axis == 0) return;
        static constexpr Reduction kReductions[] = {Reduction::sum, Reduction::mean, Reduction::maximum};
        add(Kind::reduce, {.axes = {along}, .reduction = kReductions[random_.below(3)]}, {x});
        if (random_.chance(0.5)) add(Kind::expand, {.dims = shape.dims()}, {values_.back()});
        return;
      }
      case 10:
        if (axis == 0) return;
        return add(random_.chance(0.5) ? Kind::softmax : Kind::log_softmax, {.axis = -1}, {x});
      case 11: {
        if (rank != 4) return;
        Attributes attributes{.pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1};
        return add(Kind::conv2d, attributes, {x, weight({channels(), shape[1], 3, 3})});
      }
      case 12: {
        if (rank < 3) return;
        const std::int64_t last = shape[rank - 1];
        if (random_.chance(0.5))  // a square one has a result of its operand's size
          return add(Kind::matmul, {.transpose_b = random_.chance(0.5)}, {x, weight({last, last})});
        return add(Kind::dense, {.axis = -1}, {x, weight({5, last}), weight({5})});
      }
      case 13: {
        const ValueId other = same_shape(x);
        add(Kind::binary, {.arithmetic = Arithmetic::greater}, {x, other});
        const ValueId larger = values_.back();
        values_.pop_back();
        return add(Kind::where, {}, {larger, x, other});
      }
      default: {
        if (axis == 0) return;
        Constant index{{Shape{3}, DType::i32}, std::vector<std::byte>(3 * sizeof(std::int32_t))};
        for (std::size_t i = 0; i < 3; ++i) {
          const auto at = static_cast<std::int32_t>(random_.below(static_cast<std::uint64_t>(extent)));
          std::memcpy(index.bytes.data() + i * sizeof(at), &at, sizeof(at));
        }
        return add(Kind::gather, {.axis = along}, {x, builder_.constant(std::move(index))});
      }
    }
  }

  /// Another value of the shape of x; perhaps x itself, or a view of a weight stretched over it.
  ValueId same_shape(ValueId x) {
    std::vector<ValueId> found;
    for (const ValueId id : values_)
      if (builder_.shape(id) == builder_.shape(x)) found.push_back(id);
    return found[random_.below(found.size())];
  }

  void binary(ValueId x, const Shape& shape) {
    static constexpr Arithmetic kArithmetic[] = {Arithmetic::add,      Arithmetic::subtract,
                                                 Arithmetic::multiply, Arithmetic::maximum,
                                                 Arithmetic::add,      Arithmetic::minimum};
    const Attributes attributes{.arithmetic = kArithmetic[random_.below(std::size(kArithmetic))]};
    ValueId other = 0;
    switch (random_.below(4)) {
      case 0:
        other = builder_.scalar(0.75f);
        break;
      case 1: {  // over the channels, through a view
        if (shape.rank() < 2) return;
        const ValueId w = weight({shape[1]});
        Dims dims(shape.rank(), 1);
        dims[1] = shape[1];
        add(Kind::reshape, {.dims = dims}, {w});
        other = values_.back();
        values_.pop_back();
        break;
      }
      default:
        other = same_shape(x);
    }
    add(Kind::binary, attributes, random_.chance(0.5) ? std::vector{x, other} : std::vector{other, x});
  }

  Random& random_;
  Builder builder_;
  std::vector<ValueId> values_;
  std::map<Dims, std::vector<ValueId>> weights_;
  std::size_t count_ = 0;
};

}  // namespace

Model random_model(Random& random, std::size_t nodes) { return Growth(random).run(nodes); }

Given random_values(Random& random, const Graph& graph, std::uint64_t parameters, std::uint32_t batch) {
  Given given;
  for (std::uint64_t i = 0; i < parameters; ++i)
    given.parameters.push_back(static_cast<float>(random.uniform(-0.6, 0.6)));
  for (const External& external : graph.externals) {
    const auto count = static_cast<std::size_t>(external.of.shape.with_batch(batch).elements());
    auto& bytes = given.externals.emplace_back(std::max<std::size_t>(count, 1) * sizeof(float));
    for (std::size_t i = 0; i < count; ++i) {
      const auto value = static_cast<float>(random.uniform(-1, 1));
      std::memcpy(bytes.data() + i * sizeof(value), &value, sizeof(value));
    }
  }
  return given;
}

}  // namespace trainyard::graph::test
