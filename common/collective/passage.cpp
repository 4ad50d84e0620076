#include "common/collective/passage.hpp"

#include <algorithm>
#include <cstring>

#include "common/base/text.hpp"
#include "common/collective/add.hpp"

namespace trainyard::collective {

namespace {

const char* name(Kind kind) {
  switch (kind) {
    case Kind::all_reduce:
    case Kind::all_reduce_whole:
      return "all_reduce";
    case Kind::reduce_scatter:
      return "reduce_scatter";
    case Kind::all_gather:
      return "all_gather";
    case Kind::broadcast:
      return "broadcast";
  }
  return "no operation";
}

std::uint64_t bytes_of(const std::vector<Range>& ranges) {
  std::uint64_t bytes = 0;
  for (const Range& range : ranges) bytes += range.bytes;
  return bytes;
}

}  // namespace

Passage::Passage(const Operation& operation, Pieces pieces, Course course)
    : pieces_(std::move(pieces)),
      course_(std::move(course)),
      head_{.kind = operation.kind,
            .sequence = operation.sequence,
            .bytes = operation.pieces.bytes(),
            .root = operation.root},
      send_bytes_(bytes_of(course_.sends)),
      receive_bytes_(bytes_of(course_.receives)) {}

std::uint64_t Passage::may_send() const { return std::min(send_bytes_, course_.head + received_); }

Result<bool> Passage::advance(Outflow& out, Inflow& in, std::optional<Trouble>& trouble) {
  bool moved = false;
  if (wants_out()) {
    const auto done = send(out);
    if (!done) {
      trouble = {Trouble::Side::next, done.error().message};
      return done.error();
    }
    moved = *done > 0;
  }
  if (!received()) {
    const auto done = receive(in, trouble);
    if (!done) {
      if (!trouble) trouble = {Trouble::Side::previous, done.error().message};
      return done.error();
    }
    moved = moved || *done > 0;
  }
  return moved;
}

Result<std::size_t> Passage::send(Outflow& out) {
  const auto head = std::as_bytes(std::span(&head_, 1)).subspan(head_sent_);
  std::span<const std::byte> body;
  if (sent_ < may_send()) {
    while (send_place_.at == course_.sends[send_place_.range].bytes) send_place_ = {send_place_.range + 1, 0};
    const Range& range = course_.sends[send_place_.range];
    const Piece run =
        pieces_.run(range.begin + send_place_.at, std::min(range.bytes - send_place_.at, may_send() - sent_));
    body = {send_place_.range == 0 ? run.in : run.out, run.bytes};
  }
  const auto done = out.put(head, body);
  if (!done) return done;
  const std::size_t of_head = std::min(*done, head.size());
  head_sent_ += of_head;
  sent_ += *done - of_head;
  send_place_.at += *done - of_head;
  return done;
}

Result<std::size_t> Passage::receive_head(Inflow& in, std::optional<Trouble>& trouble) {
  const auto there = in.look();
  if (!there) return there.error();
  const std::size_t some = std::min(there->size(), sizeof(Head) - head_received_);
  if (some == 0) return some;
  std::memcpy(reinterpret_cast<std::byte*>(&theirs_) + head_received_, there->data(), some);
  in.take(some);
  head_received_ += some;
  if (head_received_ < sizeof(Head) || theirs_ == head_) return some;
  std::string text = "sent what is no operation";
  if (theirs_.magic == head_.magic)
    text = format("is at operation {}, {} of {} bytes, where this one is at {}, {} of {} bytes",
                  theirs_.sequence, name(theirs_.kind), theirs_.bytes, head_.sequence, name(head_.kind),
                  head_.bytes);
  trouble = {Trouble::Side::both, std::move(text)};
  return Error{Errc::unavailable, trouble->text};
}

Result<std::size_t> Passage::receive(Inflow& in, std::optional<Trouble>& trouble) {
  if (head_received_ < sizeof(Head)) return receive_head(in, trouble);
  while (receive_place_.at == course_.receives[receive_place_.range].bytes)
    receive_place_ = {receive_place_.range + 1, 0};
  const Range& range = course_.receives[receive_place_.range];
  const Piece run = pieces_.run(range.begin + receive_place_.at, range.bytes - receive_place_.at);
  std::size_t some = 0;
  if (range.sums) {
    const auto there = in.look();
    if (!there) return there.error();
    const std::size_t count = std::min(there->size(), run.bytes) / sizeof(float);
    add(reinterpret_cast<const float*>(run.in), there->data(), reinterpret_cast<float*>(run.out), count);
    some = count * sizeof(float);
    if (some > 0) in.take(some);
  } else {
    const auto read = in.read({run.out, run.bytes});
    if (!read) return read;
    some = *read;
  }
  received_ += some;
  receive_place_.at += some;
  return some;
}

}  // namespace trainyard::collective
