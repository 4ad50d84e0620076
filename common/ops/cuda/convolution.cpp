// Convolutions by cuDNN's graph interface: one operation a graph, the first engine of the library's
// heuristics that gives the same bits each time and, in fp32, computes in fp32.
#include "common/ops/cuda/convolution.hpp"

#include <algorithm>

#include "common/base/text.hpp"
#include "common/ops/cuda/descriptor.hpp"

namespace trainyard::ops::cuda {

void need(cudnnStatus_t status, const char* doing) {
  if (status != CUDNN_STATUS_SUCCESS) throw Refused{format("{}: {}", doing, cudnnGetErrorString(status))};
}

namespace {

constexpr std::int64_t kWorkspaceMax = std::int64_t{1} << 30;
constexpr std::size_t kWorkspaceAlignment = 256;
constexpr std::int64_t kCandidatesMax = 32;

/// One for the process, which uses one device, for the stream of the queue.
cudnnHandle_t handle(const Queue& queue) {
  static cudnnHandle_t made = nullptr;
  static void* stream = nullptr;
  if (made == nullptr) need(cudnnCreate(&made), "starting cuDNN");
  if (stream != queue.stream())
    need(cudnnSetStream(made, static_cast<cudaStream_t>(queue.stream())), "a stream");
  stream = queue.stream();
  return made;
}

cudnnDataType_t type_of(DType type) {
  return type == DType::bf16 ? CUDNN_DATA_BFLOAT16 : type == DType::f16 ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
}

Descriptor tensor(std::int64_t id, const Shape& shape, const ConvolutionSpec& spec) {
  const std::int64_t a = shape[1], h = shape[2], w = shape[3];
  const std::vector<std::int64_t> strides = spec.channels_last
                                                ? std::vector<std::int64_t>{a * h * w, 1, w * a, a}
                                                : std::vector<std::int64_t>{a * h * w, h * w, w, 1};
  Descriptor of(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  of.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type_of(spec.type));
  of.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, shape.dims());
  of.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides);
  of.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
  of.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, std::int64_t{16});
  of.finish("a tensor");
  return of;
}

Descriptor window(const Attributes& a) {
  using Two = std::vector<std::int64_t>;
  Descriptor of(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  of.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::int64_t{2});
  of.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  of.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  of.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, Two{a.pad_top, a.pad_left});
  of.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, Two{a.pad_bottom, a.pad_right});
  of.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, Two{a.dilation_height, a.dilation_width});
  of.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, Two{a.stride_height, a.stride_width});
  of.finish("a window");
  return of;
}

struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t x, w, y, window, alpha, beta;
};

Names names_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case Pass::data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    default:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
}

constexpr std::int64_t kX = 'x', kW = 'w', kY = 'y';

/// What has to stay while plans are made.
struct OneOperation {
  OneOperation(cudnnHandle_t library, const ConvolutionSpec& spec)
      : x(tensor(kX, spec.x, spec)),
        w(tensor(kW, spec.w, spec)),
        y(tensor(kY, spec.y, spec)),
        slides(window(spec.window)),
        operation(names_of(spec.pass).operation),
        graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    const Names names = names_of(spec.pass);
    operation.set(names.x, x);
    operation.set(names.w, w);
    operation.set(names.y, y);
    operation.set(names.window, slides);
    operation.set(names.alpha, CUDNN_TYPE_FLOAT, 1.0f);
    operation.set(names.beta, CUDNN_TYPE_FLOAT, 0.0f);
    operation.finish("a convolution");
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, library);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
    graph.finish("a graph");
  }
  Descriptor x, w, y, slides, operation, graph;
};

/// Engines that the heuristics hold for the fastest come first.
std::vector<Descriptor> candidates_of(const Descriptor& graph, cudnnBackendHeurMode_t mode) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  heuristics.finish("choosing an algorithm");
  std::vector<Descriptor> found;
  std::vector<cudnnBackendDescriptor_t> at;
  for (std::int64_t i = 0; i < kCandidatesMax; ++i) {
    found.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    at.push_back(found.back().at());
  }
  std::int64_t count = 0;
  need(cudnnBackendGetAttribute(heuristics.at(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                kCandidatesMax, &count, at.data()),
       "choosing an algorithm");
  while (static_cast<std::int64_t>(found.size()) > count) found.pop_back();
  return found;
}

/// None where this way of choosing does not know the operation.
std::vector<Descriptor> candidates(const Descriptor& graph, cudnnBackendHeurMode_t mode) {
  try {
    return candidates_of(graph, mode);
  } catch (const Refused&) {
    return {};
  }
}

std::vector<cudnnBackendNumericalNote_t> notes_of(const Descriptor& candidate) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t at = engine.at();
  std::int64_t count = 0;
  need(cudnnBackendGetAttribute(candidate.at(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                &count, &at),
       "an engine");
  std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  need(cudnnBackendGetAttribute(engine.at(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes.data()),
       "an engine");
  notes.resize(static_cast<std::size_t>(std::min<std::int64_t>(count, CUDNN_NUMERICAL_NOTE_TYPE_COUNT)));
  return notes;
}

bool fits(const std::vector<cudnnBackendNumericalNote_t>& notes, DType type) {
  return std::none_of(notes.begin(), notes.end(), [&](const cudnnBackendNumericalNote_t note) {
    return note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
           note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
           (type == DType::f32 &&
            (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
  });
}

class DnnConvolution final : public Convolution {
 public:
  DnnConvolution(Queue& queue, const ConvolutionSpec& spec)
      : queue_(queue), plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    const OneOperation one(handle(queue), spec);
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
      for (const Descriptor& candidate : candidates(one.graph, mode))
        if (take(candidate, spec.type)) return;
    throw Refused{"no engine fits"};
  }
  void run(void* x, void* w, void* y, void* workspace) const override {
    const auto at = (reinterpret_cast<std::uintptr_t>(workspace) + kWorkspaceAlignment - 1) /
                    kWorkspaceAlignment * kWorkspaceAlignment;
    try {
      Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
      pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, std::vector<std::int64_t>{kX, kW, kY});
      pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, std::vector<void*>{x, w, y});
      pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, reinterpret_cast<void*>(at));
      pack.finish("operands");
      need(cudnnBackendExecute(handle(queue_), plan_.at(), pack.at()), "running");
    } catch (const Refused& refused) {
      queue_.fail(format("a convolution: {}", refused.what));
    }
  }

 private:
  bool take(const Descriptor& candidate, DType type) {
    try {
      if (!fits(notes_of(candidate), type)) return false;
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle(queue_));
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, candidate);
      plan.finish("a plan");
      std::int64_t bytes = 0, count = 0;
      need(cudnnBackendGetAttribute(plan.at(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                    &count, &bytes),
           "a plan");
      if (bytes > kWorkspaceMax) return false;
      plan_ = std::move(plan);
      workspace_bytes_ = bytes > 0 ? static_cast<std::size_t>(bytes) + kWorkspaceAlignment : 0;
      return true;
    } catch (const Refused&) {
      return false;
    }
  }

  Queue& queue_;
  Descriptor plan_;
};

}  // namespace

Result<std::shared_ptr<const Convolution>> make_convolution(Queue& queue, const ConvolutionSpec& spec) {
  try {
    return std::shared_ptr<const Convolution>(std::make_shared<DnnConvolution>(queue, spec));
  } catch (const Refused& refused) {
    return Error{Errc::refused, format("cuDNN has no convolution of {} by {} in {}: {}", spec.x.text(),
                                       spec.w.text(), name_of(spec.type), refused.what)};
  }
}

}  // namespace trainyard::ops::cuda
