// A look at the bytes of a YAML text before yaml-cpp sees them: size, UTF-8, control characters, tabs that
// indent, depth of brackets. It keeps hostile text away from yaml-cpp's scanner, which would first read all
// of it.
#pragma once

#include <string_view>

#include "common/base/result.hpp"

namespace trainyard::config {

/// One pass over at most 1 MiB. Errors begin with "line:column: ".
Status scan_text(std::string_view text);

}  // namespace trainyard::config
