// Finds the shared object with the CUDA backend, beside the program or where an installation puts it. The
// program itself links nothing of CUDA: it starts on machines that have none.
#include <dlfcn.h>

#include <array>
#include <filesystem>

#include "common/base/text.hpp"
#include "common/ops/cuda/open.hpp"

namespace trainyard::ops {
namespace {

constexpr const char* kFile = "libtrainyard_cuda.so";

std::string path_of_library() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return kFile;
  for (const auto* const place : {"../lib/trainyard", "."}) {
    const auto path = program.parent_path() / place / kFile;
    if (std::filesystem::exists(path, error)) return path.string();
  }
  return "";
}

}  // namespace

Result<std::unique_ptr<Backend>> cuda_backend(int index) {
  const std::string path = path_of_library();
  if (path.empty())
    return Error{Errc::unavailable,
                 format("no GPU can be used: {} is not there; it comes from a build with nvcc", kFile)};
  // Never closed: what it made may live as long as the process.
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Error{Errc::unavailable, format("no GPU can be used: {}", dlerror())};
  const auto open = reinterpret_cast<cuda::OpenFunction>(dlsym(library, cuda::kOpenName));
  if (open == nullptr) return Error{Errc::unavailable, format("no GPU can be used: {}", dlerror())};
  std::array<char, 1024> why{};
  std::unique_ptr<Backend> backend(open(TRAINYARD_VERSION, index, why.data(), why.size()));
  if (!backend) return Error{Errc::unavailable, why.data()};
  return backend;
}

}  // namespace trainyard::ops
