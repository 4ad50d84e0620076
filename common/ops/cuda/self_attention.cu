// Attention of heads that lie side by side: they are cut apart, attended to by the products of attention.cu
// and put together again. Two copies of what is read and written, beside products that cost far more.
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"

namespace trainyard::ops::cuda {
namespace {

/// Parts [N, h, T, D] one after the other, and rows [N, T, parts h D].
struct Heads {
  std::int64_t samples, steps, heads, depth, parts;
  /// Of one part.
  std::int64_t elements() const { return samples * heads * steps * depth; }
  Heads of(std::int64_t count) const { return {samples, steps, heads, depth, count}; }
  /// Where element i of the parts lies in the rows.
  __device__ std::int64_t place(std::int64_t i) const {
    const std::int64_t d = i % depth, t = i / depth % steps, map = i / depth / steps, head = map % heads,
                       sample = map / heads % samples, part = map / heads / samples;
    return (sample * steps + t) * parts * heads * depth + (part * heads + head) * depth + d;
  }
};

template <typename T>
struct CutEach {
  Heads heads;
  const T* rows;
  T* parts;
  __device__ void operator()(std::int64_t i) const { parts[i] = rows[heads.place(i)]; }
};

template <typename T>
struct JoinEach {
  Heads heads;
  const T* parts;
  T* rows;
  __device__ void operator()(std::int64_t i) const { rows[heads.place(i)] = parts[i]; }
};

template <typename T>
void cut(Queue& queue, const Heads& heads, const T* rows, T* parts) {
  each(queue, heads.parts * heads.elements(), CutEach<T>{heads, rows, parts});
}
template <typename T>
void join(Queue& queue, const Heads& heads, const T* parts, T* rows) {
  each(queue, heads.parts * heads.elements(), JoinEach<T>{heads, parts, rows});
}

/// The same over heads apart.
Operation apart(const Operation& op, const Shape& part, const Shape& whole) {
  const DType type = op.inputs[0].type;
  const auto plain = [](const Shape& shape, DType of) { return Operand{shape, plain_layout(shape, of), of}; };
  const Operand head = plain(part, type);
  const Operand mask = present(op.inputs, 1) ? op.inputs[1] : Operand{};
  const Signature result{part, type};
  if (op.kind == Kind::self_attention)
    return {Kind::attention, op.attributes, {head, head, head, mask}, {result, {whole, DType::f32}}, {}};
  return {Kind::attention_grad,
          op.attributes,
          {head, head, head, mask, head, plain(whole, DType::f32), head},
          {result, result, result},
          {}};
}

void* writable(const void* at) { return const_cast<void*>(at); }

}  // namespace

Result<KernelPtr> self_attention_kernel(const Operation& op, Queue& queue) {
  const bool gradient = op.kind == Kind::self_attention_grad;
  if (!gradient && op.kind != Kind::self_attention) return KernelPtr();
  const Shape& x = op.inputs[0].shape;
  const DType type = op.inputs[0].type;
  const Heads one{x[0], x[1], op.attributes.groups, x[2] / (3 * op.attributes.groups), 1}, three = one.of(3);
  auto made = attention_kernel(apart(op, Shape{one.samples, one.heads, one.steps, one.depth},
                                     Shape{one.samples, one.heads, one.steps}),
                               queue);
  if (!made || !*made) return made;
  const std::shared_ptr<Kernel> inner = std::move(*made);
  Area area;
  const std::size_t part_bytes = static_cast<std::size_t>(one.elements()) * tensor::size_of(type);
  const std::size_t in_at = area.add(3 * part_bytes), y_at = area.add(part_bytes);
  const std::size_t dy_at = area.add(gradient ? part_bytes : 0);
  const std::size_t out_at = area.add(gradient ? 3 * part_bytes : 0);
  const std::size_t inner_at = area.add(inner->scratch_bytes());
  return by_real(type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = closure(op, [=, &queue](const At& at) {
      auto *const in = at.scratch<T>(in_at), *const y = at.scratch<T>(y_at);
      const std::int64_t size = one.elements();
      cut(queue, three, at.in<T>(0), in);
      void* const q = in;
      void *const k = in + size, *const v = in + 2 * size, *const mask = writable(at.in(1));
      if (!gradient) {
        void *const inputs[] = {q, k, v, mask}, *const outputs[] = {y, at.out(1)};
        inner->run(inputs, outputs, at.scratch(inner_at));
        join(queue, one, y, at.out<T>(0));
        return;
      }
      auto *const dy = at.scratch<T>(dy_at), *const out = at.scratch<T>(out_at);
      cut(queue, one, at.in<T>(2), y);
      cut(queue, one, at.in<T>(4), dy);
      void* const inputs[] = {q, k, v, mask, y, writable(at.in(3)), dy};
      void* const outputs[] = {out, out + size, out + 2 * size};
      inner->run(inputs, outputs, at.scratch(inner_at));
      join(queue, three, out, at.out<T>(0));
    });
    kernel->needs(area.bytes());
    return kernel;
  });
}

}  // namespace trainyard::ops::cuda
