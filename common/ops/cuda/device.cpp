// The device by the CUDA runtime, which is linked into this library.
#include <cuda_runtime.h>

#include <cstring>

#include "common/base/text.hpp"
#include "common/ops/cuda/backend.hpp"
#include "common/ops/cuda/open.hpp"

namespace trainyard::ops::cuda {

void Queue::note(int code, const char* doing) {
  if (code == cudaSuccess) return;
  const auto error = static_cast<cudaError_t>(code);
  fail(format("{}: {} ({})", doing, cudaGetErrorString(error), cudaGetErrorName(error)));
}

namespace {

cudaStream_t stream_of(const Queue& queue) { return static_cast<cudaStream_t>(queue.stream()); }

}  // namespace

void zero(Queue& queue, void* to, std::size_t bytes) {
  if (bytes > 0) queue.note(cudaMemsetAsync(to, 0, bytes, stream_of(queue)), "filling with zeros");
}

void copy(Queue& queue, void* to, const void* from, std::size_t bytes) {
  if (bytes > 0 && to != from)
    queue.note(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(queue)), "copying");
}

namespace {

class CudaRecording final : public Recording {
 public:
  CudaRecording(Queue& queue, cudaGraphExec_t graph) : queue_(queue), graph_(graph) {}
  ~CudaRecording() override { cudaGraphExecDestroy(graph_); }
  void replay() override { queue_.note(cudaGraphLaunch(graph_, stream_of(queue_)), "starting a recording"); }

 private:
  Queue& queue_;
  cudaGraphExec_t graph_;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(std::string name, cudaStream_t stream, cudaStream_t beside, cudaEvent_t reached,
             cudaEvent_t copied)
      : queue(stream),
        name_(std::move(name)),
        stream_(stream),
        beside_(beside),
        reached_(reached),
        copied_(copied) {}
  ~CudaDevice() override {
    cudaStreamSynchronize(stream_);
    cudaStreamSynchronize(beside_);
    cudaEventDestroy(reached_);
    cudaEventDestroy(copied_);
    cudaStreamDestroy(beside_);
    cudaStreamDestroy(stream_);
  }
  const std::string& name() const override { return name_; }

  Result<void*> allocate(std::size_t bytes) override {
    void* at = nullptr;
    const std::size_t size = bytes > 0 ? bytes : 1;
    if (const cudaError_t error = cudaMalloc(&at, size); error != cudaSuccess) {
      (void)cudaGetLastError();
      std::size_t left = 0, all = 0;
      (void)cudaMemGetInfo(&left, &all);
      return Error{Errc::unavailable, format("{} has no {} left: {} of {} are free", name_, size_text(bytes),
                                             size_text(left), size_text(all))};
    }
    zero(queue, at, size);
    return at;
  }
  void release(void* bytes) override {
    // What was enqueued may still use it.
    queue.note(cudaStreamSynchronize(stream_), "waiting");
    queue.note(cudaStreamSynchronize(beside_), "waiting");
    queue.note(cudaFree(bytes), "releasing memory");
  }
  Result<void*> allocate_host(std::size_t bytes) override {
    void* at = nullptr;
    if (const cudaError_t error = cudaMallocHost(&at, bytes > 0 ? bytes : 1); error != cudaSuccess) {
      (void)cudaGetLastError();
      return Error{Errc::unavailable,
                   format("no pinned memory of {}: {}", size_text(bytes), cudaGetErrorString(error))};
    }
    std::memset(at, 0, bytes);
    return at;
  }
  void release_host(void* bytes) override {
    queue.note(cudaStreamSynchronize(stream_), "waiting");
    queue.note(cudaStreamSynchronize(beside_), "waiting");
    queue.note(cudaFreeHost(bytes), "releasing pinned memory");
  }

  void copy_in(void* to, const void* from, std::size_t bytes) override {
    move(to, from, bytes, cudaMemcpyHostToDevice, stream_);
  }
  void copy_out(void* to, const void* from, std::size_t bytes) override {
    move(to, from, bytes, cudaMemcpyDeviceToHost, stream_);
  }
  void copy_in_beside(void* to, const void* from, std::size_t bytes) override {
    move(to, from, bytes, cudaMemcpyHostToDevice, beside_);
  }
  void join() override {
    queue.note(cudaEventRecord(copied_, beside_), "marking a copy");
    queue.note(cudaStreamWaitEvent(stream_, copied_, 0), "waiting for a copy");
    queue.note(cudaEventRecord(reached_, stream_), "marking a step");
    queue.note(cudaStreamWaitEvent(beside_, reached_, 0), "waiting for a step");
  }

  Result<std::unique_ptr<Recording>> record(const std::function<void()>& work) override {
    if (const cudaError_t error = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
        error != cudaSuccess) {
      (void)cudaGetLastError();
      return refused("beginning", error);
    }
    const bool healthy = queue.failure().empty();
    work();
    cudaGraph_t graph = nullptr;
    cudaError_t error = cudaStreamEndCapture(stream_, &graph);
    (void)cudaGetLastError();
    if (healthy && !queue.failure().empty()) {
      // Nothing ran: what was refused while it was recorded did not harm the device.
      const Error why{Errc::refused, "a step can't be recorded: " + queue.failure()};
      queue.forget_failure();
      if (graph != nullptr) cudaGraphDestroy(graph);
      return why;
    }
    if (error != cudaSuccess) return refused("ending", error);
    cudaGraphExec_t ready = nullptr;
    error = cudaGraphInstantiate(&ready, graph, 0);
    cudaGraphDestroy(graph);
    if (error != cudaSuccess) {
      (void)cudaGetLastError();
      return refused("preparing", error);
    }
    return std::unique_ptr<Recording>(std::make_unique<CudaRecording>(queue, ready));
  }
  Status wait() override {
    queue.note(cudaStreamSynchronize(stream_), "running kernels");
    if (queue.failure().empty()) return {};
    return Error{Errc::unavailable, format("{}: {}", name_, queue.failure())};
  }

  Queue queue;

 private:
  static Error refused(const char* doing, cudaError_t error) {
    return {Errc::refused, format("{} a recording: {}", doing, cudaGetErrorString(error))};
  }
  void move(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    if (bytes > 0) queue.note(cudaMemcpyAsync(to, from, bytes, kind, stream), "copying");
  }

  const std::string name_;
  cudaStream_t stream_, beside_;
  cudaEvent_t reached_, copied_;
};

Error absent(const std::string& why) { return {Errc::unavailable, "no GPU can be used: " + why}; }

constexpr int kMajorMin = 8;  // what the kernels are compiled for

}  // namespace

Result<std::unique_ptr<Backend>> open(int index) {
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return absent("no NVIDIA driver is installed");
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    (void)cudaGetLastError();
    return absent(cudaGetErrorString(error));
  }
  if (index < 0 || index >= count) return absent(format("number {} of {} was asked for", index, count));
  cudaDeviceProp about{};
  cudaStream_t stream = nullptr, beside = nullptr;
  cudaEvent_t reached = nullptr, copied = nullptr;
  if (const cudaError_t error = cudaGetDeviceProperties(&about, index); error != cudaSuccess)
    return absent(cudaGetErrorString(error));
  if (about.major < kMajorMin)
    return absent(format("{} has compute capability {}.{}; {}.0 is the least", about.name, about.major,
                         about.minor, kMajorMin));
  for (const cudaError_t error :
       {cudaSetDevice(index), cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
        cudaStreamCreateWithFlags(&beside, cudaStreamNonBlocking),
        cudaEventCreateWithFlags(&reached, cudaEventDisableTiming),
        cudaEventCreateWithFlags(&copied, cudaEventDisableTiming)})
    if (error != cudaSuccess) return absent(cudaGetErrorString(error));
  auto device = std::make_unique<CudaDevice>(format("{}, {}", about.name, size_text(about.totalGlobalMem)),
                                             stream, beside, reached, copied);
  Queue& queue = device->queue;
  return backend_on(std::move(device), queue);
}

}  // namespace trainyard::ops::cuda
