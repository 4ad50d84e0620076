// Unix sockets in the abstract name space, whose names vanish with their owners: how processes of one node
// and one user find each other and hand over descriptors. They never wait. Not for bulk data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/net/shared_memory.hpp"

namespace trainyard::net {

/// Listens under `name`. Errors: the name is taken.
Result<Descriptor> listen_locally(const std::string& name);
/// The next connection, of a process of our own user; others are turned away. Empty: none waits.
Descriptor accept_locally(const Descriptor& listener);
/// Empty: nobody listens there whom we may trust.
Descriptor connect_locally(const std::string& name);
/// Two ends of one connection.
Result<std::pair<Descriptor, Descriptor>> local_pair();

/// What goes over such a socket between the ends of a link. Kept as it is in memory: both are of one node.
struct Note {
  enum class Kind : std::uint32_t {
    offer = 1,  // comes with the memory of both rings, `bytes` long
    slot,       // comes with memory of `bytes`, which records name by `id`
    retire,     // slot `id` is no more
    bell,       // look at the rings again
  };
  static constexpr std::uint32_t magic_now = 0x54591001;  // changes with the layout of rings and records
  std::uint32_t magic = magic_now;
  Kind kind = Kind::bell;
  std::uint32_t id = 0;
  std::uint32_t unused = 0;
  std::uint64_t bytes = 0;
};

/// False: the other side is gone, or does not read its notes.
bool send_note(const Descriptor& socket, const Note& note, int with = -1);

struct Noted {
  Note note;
  Descriptor with;  // offer, slot
};
struct Notes {
  std::vector<Noted> got;
  bool ended = false;  // the other side is gone, or sent what is no note
};
/// All that has come, at most `most`.
Notes take_notes(const Descriptor& socket, std::size_t most);
/// Errors: not of this layout, of an unknown kind, with or without memory against its kind.
Result<Note> read_note(std::span<const std::byte> bytes, bool with_memory);

}  // namespace trainyard::net
