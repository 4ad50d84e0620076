// Bags of embeddings. Sums of a gradient are taken in the order of the ids.
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/cuda/order.hpp"

namespace trainyard::ops::cuda {
namespace {

struct Bags {
  std::int64_t count, bags, rows;
  bool mean;
  const std::int32_t *ids, *offsets;

  __device__ std::int64_t begin(std::int64_t bag) const { return bag < bags ? offsets[bag] : count; }
  /// What each row of a bag counts.
  __device__ float weight(std::int64_t bag) const {
    if (!mean) return 1;
    std::int64_t members = 0;
    for (std::int64_t k = begin(bag); k < begin(bag + 1); ++k) members += ids[k] >= 0 ? 1 : 0;
    return members > 0 ? 1.0f / static_cast<float>(members) : 0.0f;
  }
  /// The bag of id number k: the last that begins at k or in front of it, and is not empty.
  __device__ std::int64_t bag_of(std::int64_t k) const {
    std::int64_t low = 0, high = bags;
    while (low + 1 < high) {
      const std::int64_t middle = (low + high) / 2;
      if (offsets[middle] <= k)
        low = middle;
      else
        high = middle;
    }
    return low;
  }
};

template <typename T>
struct BagEach {
  Bags bags;
  std::int64_t width;
  const T* table;
  T* y;
  __device__ void operator()(std::int64_t at) const {
    const std::int64_t bag = at / width, i = at % width;
    const float weight = bags.weight(bag);
    float sum = 0;
    for (std::int64_t k = bags.begin(bag); k < bags.begin(bag + 1); ++k) {
      const std::int64_t id = bags.ids[k];
      if (id >= 0 && id < bags.rows) sum += weight * widen(table[id * width + i]);
    }
    y[at] = narrow<T>(sum);
  }
};

struct RowOfId {
  Bags bags;
  __device__ std::int64_t operator()(std::int64_t k) const {
    const std::int64_t id = bags.ids[k];
    return id >= 0 && id < bags.rows && k >= bags.offsets[0] ? id : -1;
  }
};

struct BagOfId {
  Bags bags;
  std::int32_t* bag;
  __device__ void operator()(std::int64_t k) const { bag[k] = static_cast<std::int32_t>(bags.bag_of(k)); }
};

struct WeightOfBag {
  Bags bags;
  float* weight;
  __device__ void operator()(std::int64_t bag) const { weight[bag] = bags.weight(bag); }
};

template <typename T>
struct BagGradEach {
  RowOrder order;
  std::int64_t width;
  const std::int32_t* bag;
  const float* weight;
  const T* dy;
  T* dtable;
  __device__ void operator()(std::int64_t at) const {
    const std::int64_t row = at / width, i = at % width;
    float sum = 0;
    for (std::int64_t k = order.begins[row]; k < order.begins[row + 1]; ++k) {
      const std::int64_t of = bag[order.places[k]];
      sum += weight[of] * widen(dy[of * width + i]);
    }
    dtable[at] = narrow<T>(sum);
  }
};

}  // namespace

KernelPtr bag_kernel(const Operation& op, Queue& queue) {
  if (op.kind != Kind::embedding_bag && op.kind != Kind::embedding_bag_grad) return nullptr;
  const bool gradient = op.kind == Kind::embedding_bag_grad;
  const Shape& table = gradient ? op.outputs[0].shape : op.inputs[0].shape;
  const std::int64_t width = table[1], results = op.outputs[0].shape.elements();
  const Bags shape{op.inputs[1].shape.elements(),
                   op.inputs[2].shape.elements(),
                   table[0],
                   op.attributes.reduction == Reduction::mean,
                   nullptr,
                   nullptr};
  Area area;
  const std::size_t bag_at = area.add<std::int32_t>(shape.count);
  const std::size_t weight_at = area.add<float>(shape.bags);
  const std::size_t order_at = area.add(order_bytes(shape.count, shape.rows));
  return by_real(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = closure(op, [=, &queue](const At& at) {
      Bags bags = shape;
      bags.ids = at.in<std::int32_t>(1);
      bags.offsets = at.in<std::int32_t>(2);
      if (!gradient) return each(queue, results, BagEach<T>{bags, width, at.in<T>(0), at.out<T>(0)});
      if (bags.bags == 0 || bags.count == 0) return zero(queue, at.out(0), sizeof(T) * results);
      auto* const bag = at.scratch<std::int32_t>(bag_at);
      auto* const weight = at.scratch<float>(weight_at);
      each(queue, bags.count, BagOfId{bags, bag});
      each(queue, bags.bags, WeightOfBag{bags, weight});
      const RowOrder order = order_rows(queue, bags.count, bags.rows, at.scratch(order_at), RowOfId{bags});
      each(queue, results, BagGradEach<T>{order, width, bag, weight, at.in<T>(0), at.out<T>(0)});
    });
    if (gradient) kernel->needs(area.bytes());
    return kernel;
  });
}

}  // namespace trainyard::ops::cuda
