#include "common/collective/ring.hpp"

#include <cstring>

#include "common/base/check.hpp"
#include "common/base/text.hpp"

namespace trainyard::collective {

Ring::~Ring() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  signal_event(wake_.number());
  if (thread_.joinable()) thread_.join();
}

Group::Ticket Ring::enqueue(Kind kind, std::uint32_t root, std::vector<Piece> pieces) {
  Operation operation{kind, root, 0, Pieces(std::move(pieces))};
  if (ranks() == 1) {
    for (const Piece& piece : operation.pieces.all())
      if (piece.in != piece.out) std::memcpy(piece.out, piece.in, piece.bytes);
    return done_ = ++submitted_;
  }
  if (kind == Kind::all_reduce && operation.pieces.bytes() * ranks() <= settings_.whole_bytes_max)
    operation.kind = Kind::all_reduce_whole;
  Ticket ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    check(queue_.size() < operations_max, "operations of a group are waited for");
    ticket = operation.sequence = ++submitted_;
    if (!failed_) queue_.push_back(std::move(operation));
  }
  return ticket;
}

Group::Ticket Ring::submit(std::vector<Piece> bucket) {
  for (const Piece& piece : bucket) check(piece.bytes % sizeof(float) == 0, "a bucket holds floats");
  const Ticket ticket = enqueue(Kind::all_reduce, 0, std::move(bucket));
  signal_event(wake_.number());
  return ticket;
}

Status Ring::finish(std::vector<Piece> bucket) {
  for (const Piece& piece : bucket) check(piece.bytes % sizeof(float) == 0, "a bucket holds floats");
  return wait(enqueue(Kind::all_reduce, 0, std::move(bucket)));
}

bool Ring::over_or_done(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  check(ticket <= submitted_, "a ticket comes from submit()");
  return done_ >= ticket || failed_;
}

Status Ring::wait(Ticket ticket) {
  if (!over_or_done(ticket)) help(ticket);
  const std::lock_guard lock(mutex_);
  return done_ >= ticket ? Status() : Status(*failed_);
}

Status Ring::broadcast(std::span<std::byte> bytes, std::uint32_t root) {
  check(root < ranks(), "the root is a rank");
  return wait(enqueue(Kind::broadcast, root, {{bytes.data(), bytes.data(), bytes.size()}}));
}

Status Ring::reduce_scatter(std::span<float> values) {
  return wait(enqueue(Kind::reduce_scatter, 0, {piece_of(values)}));
}

Status Ring::all_gather(std::span<float> values) {
  return wait(enqueue(Kind::all_gather, 0, {piece_of(values)}));
}

void Ring::abort(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (ranks() == 1 && !failed_) failed_ = Error{Errc::unavailable, format("rank 0 gave up: {}", reason)};
    if (!abort_) abort_ = reason;
  }
  signal_event(wake_.number());
}

}  // namespace trainyard::collective
