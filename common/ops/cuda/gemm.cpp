// cuBLASLt keeps matrices by columns: a row-major matrix is its transposed one, so that d^T = op(b)^T op(a)^T
// is asked for, with b first. Source: NVIDIA, cuBLAS Library, "cublasLtMatmul".
#include "common/ops/cuda/gemm.hpp"

#include <cublasLt.h>

#include "common/base/text.hpp"

namespace trainyard::ops::cuda {
namespace {

constexpr std::size_t kWorkspaceMax = std::size_t{32} << 20;
constexpr std::size_t kWorkspaceAlignment = 256;

struct Failed {
  std::string what;
};

void need(cublasStatus_t status, const char* doing) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Failed{format("{}: {}", doing, cublasLtGetStatusString(status))};
}

/// One for the process, which uses one device.
cublasLtHandle_t handle() {
  static cublasLtHandle_t made = nullptr;
  if (made == nullptr) need(cublasLtCreate(&made), "starting cuBLASLt");
  return made;
}

cudaDataType_t type_of(DType type) {
  return type == DType::bf16 ? CUDA_R_16BF : type == DType::f16 ? CUDA_R_16F : CUDA_R_32F;
}

/// Owns one of the library's descriptions.
template <typename Handle, cublasStatus_t (*destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (at != nullptr) destroy(at);
  }
  Handle at = nullptr;
};
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using MatrixLayout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

class LtGemm final : public Gemm {
 public:
  LtGemm(Queue& queue, const GemmSpec& spec) : queue_(queue), spec_(spec) {
    need(cublasLtMatmulDescCreate(&description_.at, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a description");
    set(CUBLASLT_MATMUL_DESC_TRANSA, spec.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, spec.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (spec.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, spec.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(type_of(spec.out)));
    } else if (spec.relu) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_RELU);
    }
    // As stored: rows and columns change places.
    matrix(first_, spec.in, spec.transpose_b ? spec.k : spec.n, spec.transpose_b ? spec.n : spec.k,
           spec.row_b, spec.stride_b);
    matrix(second_, spec.in, spec.transpose_a ? spec.m : spec.k, spec.transpose_a ? spec.k : spec.m,
           spec.row_a, spec.stride_a);
    matrix(result_, spec.out, spec.n, spec.m, spec.row_d, spec.stride_d);
    choose();
  }
  void run(const void* a, const void* b, void* d, const void* bias, void* workspace) const override {
    const auto at = (reinterpret_cast<std::uintptr_t>(workspace) + kWorkspaceAlignment - 1) /
                    kWorkspaceAlignment * kWorkspaceAlignment;
    const float one = 1, beta = spec_.accumulate ? 1.0f : 0.0f;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    if (spec_.bias)
      status = cublasLtMatmulDescSetAttribute(description_.at, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                              sizeof(bias));
    if (status == CUBLAS_STATUS_SUCCESS)
      status = cublasLtMatmul(handle(), description_.at, &one, b, first_.at, a, second_.at, &beta, d,
                              result_.at, d, result_.at, &algorithm_, reinterpret_cast<void*>(at), own_bytes_,
                              static_cast<cudaStream_t>(queue_.stream()));
    if (status != CUBLAS_STATUS_SUCCESS)
      queue_.fail(format("a matrix product: {}", cublasLtGetStatusString(status)));
  }

 private:
  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    need(cublasLtMatmulDescSetAttribute(description_.at, attribute, &value, sizeof(value)), "a description");
  }
  void matrix(MatrixLayout& layout, DType type, std::int64_t rows, std::int64_t columns, std::int64_t step,
              std::int64_t stride) const {
    need(cublasLtMatrixLayoutCreate(&layout.at, type_of(type), static_cast<std::uint64_t>(rows),
                                    static_cast<std::uint64_t>(columns), step),
         "a matrix");
    if (spec_.batch == 1) return;
    const auto count = static_cast<std::int32_t>(spec_.batch);
    need(cublasLtMatrixLayoutSetAttribute(layout.at, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                          sizeof(count)),
         "a batch");
    need(cublasLtMatrixLayoutSetAttribute(layout.at, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                          sizeof(stride)),
         "a batch");
  }
  /// What the library's heuristics hold for the fastest.
  void choose() {
    Preference preference;
    need(cublasLtMatmulPreferenceCreate(&preference.at), "a preference");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      need(cublasLtMatmulPreferenceSetAttribute(preference.at, attribute, &value, sizeof(value)),
           "a preference");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(kWorkspaceMax));
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(attribute, spec_.alignment);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    need(cublasLtMatmulAlgoGetHeuristic(handle(), description_.at, first_.at, second_.at, result_.at,
                                        result_.at, preference.at, 1, &found, &count),
         "choosing an algorithm");
    if (count == 0) throw Failed{"it knows no algorithm"};
    need(found.state, "choosing an algorithm");
    algorithm_ = found.algo;
    own_bytes_ = found.workspaceSize;
    workspace_bytes_ = own_bytes_ > 0 ? own_bytes_ + kWorkspaceAlignment : 0;
  }

  Queue& queue_;
  const GemmSpec spec_;
  Description description_;
  MatrixLayout first_, second_, result_;
  cublasLtMatmulAlgo_t algorithm_{};
  std::size_t own_bytes_ = 0;
};

}  // namespace

Result<std::shared_ptr<const Gemm>> make_gemm(Queue& queue, const GemmSpec& spec) {
  try {
    return std::shared_ptr<const Gemm>(std::make_shared<LtGemm>(queue, spec));
  } catch (const Failed& failed) {
    return Error{Errc::refused, format("cuBLASLt has no product of {}x{} by {}x{} in {}: {}", spec.m, spec.k,
                                       spec.k, spec.n, name_of(spec.in), failed.what)};
  }
}

}  // namespace trainyard::ops::cuda
