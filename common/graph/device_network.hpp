// A network whose parameters, gradients and activations live on a device. Private to this layer; see
// network.hpp for what it is to its callers.
#pragma once

#include <memory>

#include "common/graph/network.hpp"

namespace trainyard::graph {

/// `options.backend` has a device. Errors as those of Network::build, and Errc::unavailable: the device has
/// no memory left.
Result<std::unique_ptr<Network>> device_network(Model model, const NetworkOptions& options);

}  // namespace trainyard::graph
