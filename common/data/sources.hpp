// The kinds of dataset, one opener each; open_dataset chooses. Private to common/data.
#pragma once

#include "common/data/dataset.hpp"

namespace trainyard::data {

/// DIR/<class>/*.jpg; the class is the folder's name, records are sorted by name.
Result<std::unique_ptr<Dataset>> open_image_folder(const std::string& path);
/// The four idx files of MNIST, gzipped or not; the ten thousand of t10k are the given test set.
/// Format: LeCun, Cortes, Burges, "The MNIST database", section "file formats for the MNIST database".
Result<std::unique_ptr<Dataset>> open_mnist(const std::string& path);

}  // namespace trainyard::data
