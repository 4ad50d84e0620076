// One operation on its way through a rank: takes in what the previous rank sends, passes on what the next one
// needs, as far as each goes without waiting. Belongs to the ring's thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "common/collective/course.hpp"
#include "common/collective/flow.hpp"
#include "common/collective/pieces.hpp"

namespace trainyard::collective {

enum class Kind : std::uint32_t { all_reduce, all_reduce_whole, reduce_scatter, all_gather, broadcast };

struct Operation {
  Kind kind = Kind::all_reduce;
  std::uint32_t root = 0;  // of a broadcast
  std::uint64_t sequence = 0;
  Pieces pieces;
};

struct Trouble {
  enum class Side { next, previous, both } side = Side::both;  // both: they do not agree
  std::string text;
};

class Passage {
 public:
  Passage(const Operation& operation, Pieces pieces, Course course);

  /// Whether anything moved.
  Result<bool> advance(Outflow& out, Inflow& in, std::optional<Trouble>& trouble);
  bool sent() const { return head_sent_ == sizeof(Head) && sent_ == send_bytes_; }
  bool received() const { return head_received_ == sizeof(Head) && received_ == receive_bytes_; }
  /// There is something that could leave now, if there were room for it.
  bool wants_out() const { return head_sent_ < sizeof(Head) || sent_ < may_send(); }

 private:
  /// In front of the bytes of each operation: what the sender believes it to be.
  struct Head {
    std::uint32_t magic = 0x31475254;
    Kind kind = Kind::all_reduce;
    std::uint64_t sequence = 0, bytes = 0;
    std::uint32_t root = 0, zero = 0;
    friend bool operator==(const Head&, const Head&) = default;
  };
  /// A place in a list of ranges.
  struct Place {
    std::size_t range = 0;
    std::uint64_t at = 0;
  };
  std::uint64_t may_send() const;
  Result<std::size_t> send(Outflow& out);
  Result<std::size_t> receive(Inflow& in, std::optional<Trouble>& trouble);
  Result<std::size_t> receive_head(Inflow& in, std::optional<Trouble>& trouble);

  const Pieces pieces_;
  const Course course_;
  const Head head_;
  Head theirs_{};
  std::size_t head_sent_ = 0, head_received_ = 0;
  std::uint64_t send_bytes_ = 0, receive_bytes_ = 0;  // in all
  std::uint64_t sent_ = 0, received_ = 0;
  Place send_place_, receive_place_;
};

}  // namespace trainyard::collective
