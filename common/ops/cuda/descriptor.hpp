// A description of cuDNN's graph interface that is owned, and what it refuses as an exception within this
// backend. Source: NVIDIA, cuDNN Backend API, "Graph API". Private to this backend.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace trainyard::ops::cuda {

struct Refused {
  std::string what;
};

/// Throws Refused.
void need(cudnnStatus_t status, const char* doing);

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    need(cudnnBackendCreateDescriptor(type, &at_), "a description");
  }
  Descriptor(Descriptor&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(at_, other.at_);
    return *this;
  }
  ~Descriptor() {
    if (at_ != nullptr) cudnnBackendDestroyDescriptor(at_);
  }
  cudnnBackendDescriptor_t at() const { return at_; }

  template <typename T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const std::vector<T>& values) {
    need(cudnnBackendSetAttribute(at_, name, type, static_cast<std::int64_t>(values.size()), values.data()),
         "an attribute");
  }
  template <typename T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    need(cudnnBackendSetAttribute(at_, name, type, 1, &value), "an attribute");
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    const cudnnBackendDescriptor_t of = value.at_;
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, of);
  }
  void finish(const char* what) { need(cudnnBackendFinalize(at_), what); }

 private:
  cudnnBackendDescriptor_t at_ = nullptr;
};

}  // namespace trainyard::ops::cuda
