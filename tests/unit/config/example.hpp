// A small complete job, and reading with the error as text.
#pragma once

#include <string>
#include <vector>

#include "common/config/read.hpp"

namespace trainyard::test {

inline const std::string example =
    "name: flowers\n"
    "data:\n"
    "  source: {path: photos}\n"
    "  transform: [{resize: [64, 64]}, {flip: horizontal}, {normalize: imagenet}]\n"
    "model:\n"
    "  layers:\n"
    "    - conv2d: {filters: 8, kernel: 3}\n"
    "    - relu\n"
    "    - flatten: {}\n"
    "    - dense: {units: 5}\n";

inline std::string job_error(const std::string& text, const std::vector<config::Override>& overrides = {}) {
  const auto spec = config::read_job(text, "job.yaml", "/jobs", overrides);
  return spec ? "" : spec.error().message;
}

}  // namespace trainyard::test
