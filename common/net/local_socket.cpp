#include "common/net/local_socket.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "common/base/text.hpp"

namespace trainyard::net {

namespace {

constexpr int kind = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
constexpr int waiting_max = 1024;

/// The length of the address, 0 if the name is too long.
socklen_t fill(sockaddr_un& address, const std::string& name) {
  address.sun_family = AF_UNIX;
  if (name.size() + 1 > sizeof(address.sun_path)) return 0;
  address.sun_path[0] = '\0';
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

bool of_our_user(const Descriptor& socket) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  return ::getsockopt(socket.number(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         peer.uid == ::geteuid();
}

}  // namespace

Result<Descriptor> listen_locally(const std::string& name) {
  sockaddr_un address{};
  const socklen_t length = fill(address, name);
  Descriptor socket(::socket(AF_UNIX, kind, 0));
  if (length == 0 || !socket ||
      ::bind(socket.number(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      ::listen(socket.number(), waiting_max) != 0) {
    return Error{Errc::io, format("cannot listen on the local name \"{}\": {}", name, std::strerror(errno))};
  }
  return socket;
}

Descriptor accept_locally(const Descriptor& listener) {
  while (true) {
    Descriptor socket(::accept4(listener.number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket || of_our_user(socket)) return socket;
  }
}

Descriptor connect_locally(const std::string& name) {
  sockaddr_un address{};
  const socklen_t length = fill(address, name);
  Descriptor socket(::socket(AF_UNIX, kind, 0));
  if (length == 0 || !socket ||
      ::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      !of_our_user(socket))
    return {};
  return socket;
}

Result<std::pair<Descriptor, Descriptor>> local_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, kind, 0, ends) != 0)
    return Error{Errc::io, format("no pair of local sockets: {}", std::strerror(errno))};
  return std::pair(Descriptor(ends[0]), Descriptor(ends[1]));
}

bool send_note(const Descriptor& socket, const Note& note, int with) {
  iovec piece{const_cast<Note*>(&note), sizeof(note)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (with >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(part), &with, sizeof(int));
  }
  while (true) {
    if (::sendmsg(socket.number(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    if (errno == EINTR) continue;
    // Whoever has a full socket of bells to hear will look.
    return errno == EAGAIN && note.kind == Note::Kind::bell;
  }
}

Result<Note> read_note(std::span<const std::byte> bytes, bool with_memory) {
  Note note;
  if (bytes.size() != sizeof(note)) return Error{Errc::corrupt, "a note of another size"};
  std::memcpy(&note, bytes.data(), sizeof(note));
  if (note.magic != Note::magic_now) return Error{Errc::corrupt, "a note of another layout"};
  const bool wants_memory = note.kind == Note::Kind::offer || note.kind == Note::Kind::slot;
  if (!wants_memory && note.kind != Note::Kind::retire && note.kind != Note::Kind::bell)
    return Error{Errc::corrupt, "a note of unknown kind"};
  if (wants_memory != with_memory) return Error{Errc::corrupt, "a note with memory that it should not have"};
  return note;
}

Notes take_notes(const Descriptor& socket, std::size_t most) {
  Notes notes;
  while (notes.got.size() < most) {
    std::byte bytes[sizeof(Note) + 1];
    iovec piece{bytes, sizeof(bytes)};
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t got = ::recvmsg(socket.number(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return notes;
    std::vector<Descriptor> with;
    for (cmsghdr* part = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr; part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
      if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
        with.emplace_back(number);
      }
    }
    const bool cut = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
    const auto note = got > 0 ? read_note({bytes, static_cast<std::size_t>(got)}, with.size() == 1)
                              : Result<Note>(Error{Errc::unavailable, "it has ended"});
    if (!note || cut || with.size() > 1) {
      notes.ended = true;
      return notes;
    }
    notes.got.push_back({*note, with.empty() ? Descriptor() : std::move(with.front())});
  }
  return notes;
}

}  // namespace trainyard::net
