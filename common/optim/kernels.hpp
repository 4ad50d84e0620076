// The inner loops of the update rules, over one block that stays in the first-level cache. Built once for
// each instruction set and chosen at run time; every set gives the same bits, since no step is contracted or
// reordered. Knows no tables and no job file; optimizer.hpp is what others use.
#pragma once

#include <cstddef>

#include "common/tensor/update.hpp"

namespace trainyard::optim::kernels {

inline constexpr std::size_t block_floats = 2048;
inline constexpr std::size_t states_max = 3;

/// What corrects the delay of gradients; see optim::Delay. A place of a block's begin each.
struct Lag {
  const float* seen = nullptr;   // null: there is none
  float* mean_square = nullptr;  // or null
  float strength = 0, keep = 0;
};

/// Values out of place: `next` overlaps nothing else.
struct Block {
  const float* gradient = nullptr;  // plus `other`, times Numbers::scale
  const float* other = nullptr;     // or null
  const float* value = nullptr;
  float* next = nullptr;
  float* state[states_max] = {};
  std::size_t length = 0;
  Lag lag;  // sgd, momentum and nesterov: corrected in their own pass, where `other` is null
};

/// What of a step is the same for all values of a slice.
using Numbers = tensor::UpdateNumbers;

struct Kernels {
  const char* name;
  /// out = (parts[0] + parts[1] + ...) * scale, `length` floats of each part from `begin` on.
  void (*sum)(const float* const* parts, std::size_t count, std::size_t begin, std::size_t length,
              float scale, float* out);
  /// Into -bound..bound; NaN stays.
  void (*clamp)(float* values, std::size_t length, float bound);
  /// Corrects mean gradients in place.
  void (*compensate)(float* gradient, const float* value, std::size_t length, const Lag& lag);
  /// In double precision, always in the same order.
  double (*square_sum)(const float* values, std::size_t length);
  /// average += add * (value - average)
  void (*average)(const float* values, float* average, std::size_t length, float add);

  void (*sgd)(const Block&, const Numbers&);
  void (*momentum)(const Block&, const Numbers&);  // state: velocity
  void (*nesterov)(const Block&, const Numbers&);  // state: velocity
  void (*adam)(const Block&, const Numbers&);      // state: first moment, second moment
  void (*adagrad)(const Block&, const Numbers&);   // state: sum of squares
  void (*rmsprop)(const Block&, const Numbers&);   // state: mean square, velocity or null, mean or null
  void (*ftrl)(const Block&, const Numbers&);      // state: z, n
  void (*lars)(const Block&, const Numbers&);      // state: velocity
  /// next = the direction, to be applied by `step` once its norm is known. state: first and second moment
  void (*lamb_direction)(const Block&, const Numbers&);
  /// next = value - rate * next
  void (*step)(const float* value, float* next, std::size_t length, float rate);
};

/// The fastest set that this processor has.
const Kernels& best();
/// Set number `index` if it was built in and this processor has it; 0 is always there.
const Kernels* at(std::size_t index);
inline constexpr std::size_t sets = 3;

/// While it lives, this thread takes denormal numbers as 0: they slow every loop down, and a trainer's
/// network does so as well.
class DenormalsAsZero {
 public:
  DenormalsAsZero();
  ~DenormalsAsZero();
  DenormalsAsZero(const DenormalsAsZero&) = delete;
  DenormalsAsZero& operator=(const DenormalsAsZero&) = delete;

 private:
  unsigned long long before_;
};

}  // namespace trainyard::optim::kernels
