// A directory of one test, under the system's temporary directory; gone with its contents when destroyed.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "common/base/check.hpp"

namespace trainyard::test {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "trainyard-test-XXXXXX").string();
    check(::mkdtemp(pattern.data()) != nullptr, "a test needs a temporary directory");
    path_ = pattern;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace trainyard::test
