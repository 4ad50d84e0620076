// Matrix products and convolutions by plain loops, in the places of cuBLASLt and cuDNN, and the device's
// memory in that of the process: what runs the kernels of common/ops/cuda on a machine without a GPU.
#include <cstring>
#include <vector>

#include "common/ops/cuda/backend.hpp"
#include "common/ops/cuda/convolution.hpp"
#include "common/ops/cuda/gemm.hpp"
#include "common/tensor/buffer.hpp"
#include "common/tensor/half.hpp"
#include "launch.hpp"
#include "tests/kernels/cuda_host/backend.hpp"

namespace trainyard::ops::cuda {

void Queue::note(int, const char*) {}
void zero(Queue& queue, void* to, std::size_t bytes) {
  stream_of(queue).enqueue([=] { std::memset(to, 0, bytes); });
}
void copy(Queue& queue, void* to, const void* from, std::size_t bytes) {
  stream_of(queue).enqueue([=] { std::memmove(to, from, bytes); });
}

namespace {

double read(DType type, const void* at, std::int64_t i) {
  if (type == DType::f32) return static_cast<const float*>(at)[i];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(at)[i];
  return type == DType::bf16 ? tensor::float_from_bf16(bits) : tensor::float_from_f16(bits);
}

void write(DType type, void* at, std::int64_t i, double value) {
  const auto x = static_cast<float>(value);
  if (type == DType::f32) static_cast<float*>(at)[i] = x;
  if (type == DType::bf16) static_cast<std::uint16_t*>(at)[i] = tensor::bf16_from_float(x);
  if (type == DType::f16) static_cast<std::uint16_t*>(at)[i] = tensor::f16_from_float(x);
}

class LoopGemm final : public Gemm {
 public:
  LoopGemm(Queue& queue, const GemmSpec& spec) : queue_(queue), s_(spec) { workspace_bytes_ = 32; }
  void run(const void* a, const void* b, void* d, const void* bias, void* workspace) const override {
    stream_of(queue_).enqueue([=, own = LoopGemm(*this)] { own.loops(a, b, d, bias, workspace); });
  }

 private:
  void loops(const void* a, const void* b, void* d, const void* bias, void* workspace) const {
    std::memset(workspace, 0xee, workspace_bytes_);
    for (std::int64_t batch = 0; batch < s_.batch; ++batch)
      for (std::int64_t m = 0; m < s_.m; ++m)
        for (std::int64_t n = 0; n < s_.n; ++n) {
          double sum = 0;
          for (std::int64_t k = 0; k < s_.k; ++k)
            sum +=
                read(s_.in, a, batch * s_.stride_a + (s_.transpose_a ? k * s_.row_a + m : m * s_.row_a + k)) *
                read(s_.in, b, batch * s_.stride_b + (s_.transpose_b ? n * s_.row_b + k : k * s_.row_b + n));
          const std::int64_t at = batch * s_.stride_d + m * s_.row_d + n;
          if (s_.accumulate) sum += read(s_.out, d, at);
          if (s_.bias) sum += read(s_.out, bias, n);
          if (s_.relu && sum < 0) sum = 0;
          write(s_.out, d, at, sum);
        }
  }

  Queue& queue_;
  const GemmSpec s_;
};

/// Steps from an index to the next along the axes of [A, B, h, w] as it lies.
struct Steps {
  Steps(const Shape& shape, bool last) : shape_(shape), last_(last) {}
  std::int64_t at(std::int64_t a, std::int64_t b, std::int64_t h, std::int64_t w) const {
    return last_ ? ((a * shape_[2] + h) * shape_[3] + w) * shape_[1] + b
                 : ((a * shape_[1] + b) * shape_[2] + h) * shape_[3] + w;
  }
  const Shape shape_;
  const bool last_;
};

class LoopConvolution final : public Convolution {
 public:
  LoopConvolution(Queue& queue, const ConvolutionSpec& spec) : queue_(queue), s_(spec) {
    workspace_bytes_ = 32;
  }
  void run(void* x, void* w, void* y, void* workspace) const override {
    stream_of(queue_).enqueue([=, own = LoopConvolution(*this)] { own.loops(x, w, y, workspace); });
  }

 private:
  void loops(void* x, void* w, void* y, void* workspace) const {
    std::memset(workspace, 0xee, workspace_bytes_);
    const Shape& out = s_.pass == Pass::forward ? s_.y : s_.pass == Pass::data ? s_.x : s_.w;
    std::vector<double> sums(static_cast<std::size_t>(out.elements()));
    const Steps in_x(s_.x, s_.channels_last), in_w(s_.w, s_.channels_last), in_y(s_.y, s_.channels_last);
    const Attributes& a = s_.window;
    for (std::int64_t n = 0; n < s_.y[0]; ++n)
      for (std::int64_t o = 0; o < s_.y[1]; ++o)
        for (std::int64_t p = 0; p < s_.y[2]; ++p)
          for (std::int64_t q = 0; q < s_.y[3]; ++q)
            for (std::int64_t i = 0; i < s_.w[1]; ++i)
              for (std::int64_t r = 0; r < s_.w[2]; ++r)
                for (std::int64_t c = 0; c < s_.w[3]; ++c) {
                  const std::int64_t h = p * a.stride_height + r * a.dilation_height - a.pad_top;
                  const std::int64_t v = q * a.stride_width + c * a.dilation_width - a.pad_left;
                  if (h < 0 || h >= s_.x[2] || v < 0 || v >= s_.x[3]) continue;
                  const std::int64_t group = o / (s_.w[0] / a.groups);
                  const std::int64_t at_x = in_x.at(n, group * s_.w[1] + i, h, v), at_w = in_w.at(o, i, r, c),
                                     at_y = in_y.at(n, o, p, q);
                  if (s_.pass == Pass::forward) sums[at_y] += read(s_.type, x, at_x) * read(s_.type, w, at_w);
                  if (s_.pass == Pass::data) sums[at_x] += read(s_.type, y, at_y) * read(s_.type, w, at_w);
                  if (s_.pass == Pass::weights) sums[at_w] += read(s_.type, x, at_x) * read(s_.type, y, at_y);
                }
    void* const to = s_.pass == Pass::forward ? y : s_.pass == Pass::data ? x : w;
    for (std::int64_t i = 0; i < out.elements(); ++i)
      write(s_.type, to, i, sums[static_cast<std::size_t>(i)]);
  }

  Queue& queue_;
  const ConvolutionSpec s_;
};

class HostDevice final : public Device {
 public:
  const std::string& name() const override { return name_; }
  Result<void*> allocate(std::size_t bytes) override {
    void* const at = ::operator new (bytes + 1, std::align_val_t{256});
    std::memset(at, 0, bytes);
    return at;
  }
  void release(void* bytes) override {
    stream_.finish();
    ::operator delete (bytes, std::align_val_t{256});
  }
  Result<void*> allocate_host(std::size_t bytes) override { return allocate(bytes); }
  void release_host(void* bytes) override { release(bytes); }
  void copy_in(void* to, const void* from, std::size_t bytes) override { copy(queue, to, from, bytes); }
  void copy_out(void* to, const void* from, std::size_t bytes) override { copy(queue, to, from, bytes); }
  void copy_in_beside(void* to, const void* from, std::size_t bytes) override {
    stream_.enqueue_beside([=] { std::memcpy(to, from, bytes); });
  }
  void join() override { stream_.join(); }
  Result<std::unique_ptr<Recording>> record(const std::function<void()>& work) override {
    return std::unique_ptr<Recording>(std::make_unique<Again>(stream_, stream_.record(work)));
  }
  Status wait() override {
    stream_.wait();
    return {};
  }

 private:
  HostStream stream_;

 public:
  Queue queue{&stream_};

 private:
  struct Again final : Recording {
    Again(HostStream& on, std::vector<HostStream::Work> of) : stream(on), work(std::move(of)) {}
    void replay() override {
      for (const HostStream::Work& one : work) stream.enqueue(one);
    }
    HostStream& stream;
    const std::vector<HostStream::Work> work;
  };
  const std::string name_ = "the host in the place of a GPU";
};

}  // namespace

Result<std::shared_ptr<const Gemm>> make_gemm(Queue& queue, const GemmSpec& spec) {
  return std::shared_ptr<const Gemm>(std::make_shared<LoopGemm>(queue, spec));
}

Result<std::shared_ptr<const Convolution>> make_convolution(Queue& queue, const ConvolutionSpec& spec) {
  return std::shared_ptr<const Convolution>(std::make_shared<LoopConvolution>(queue, spec));
}

}  // namespace trainyard::ops::cuda

namespace trainyard::ops {

std::unique_ptr<Backend> cuda_on_host_backend() {
  auto device = std::make_unique<cuda::HostDevice>();
  cuda::Queue& queue = device->queue;
  return cuda::backend_on(std::move(device), queue);
}

}  // namespace trainyard::ops
