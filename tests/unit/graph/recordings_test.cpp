// When runs of a graph are enqueued, recorded and replayed. The device stands for one that says what it was
// asked; what a real one does with a recording is the kernel tests' business.
#include <catch2/catch.hpp>

#include "common/graph/recordings.hpp"

namespace trainyard::graph::test {
namespace {

class Told final : public ops::Device {
 public:
  const std::string& name() const override { return text; }
  Result<void*> allocate(std::size_t) override { return Error{Errc::unavailable, "no memory"}; }
  void release(void*) override {}
  Result<void*> allocate_host(std::size_t) override { return Error{Errc::unavailable, "no memory"}; }
  void release_host(void*) override {}
  void copy_in(void*, const void*, std::size_t) override {}
  void copy_out(void*, const void*, std::size_t) override {}
  void copy_in_beside(void*, const void*, std::size_t) override {}
  void join() override {}
  Result<std::unique_ptr<ops::Recording>> record(const std::function<void()>& work) override {
    ++records;
    if (refuses) return Error{Errc::refused, "a library does not allow it"};
    work();
    return std::unique_ptr<ops::Recording>(std::make_unique<Replays>(*this));
  }
  Status wait() override { return {}; }

  struct Replays final : ops::Recording {
    explicit Replays(Told& of) : device(of) {}
    void replay() override { ++device.replays; }
    Told& device;
  };
  std::string text;
  bool refuses = false;
  int records = 0, replays = 0;
};

}  // namespace

TEST_CASE("a run is enqueued, then recorded, then replayed; each kind for itself", "[recordings]") {
  Told device;
  Recordings recordings(device);
  int enqueued = 0;
  const auto run = [&](std::uint32_t batch, std::size_t slot) {
    recordings.play({batch, slot, true}, [&] { ++enqueued; });
  };
  run(8, 0);
  CHECK((enqueued == 1 && device.records == 0 && device.replays == 0));
  run(8, 0);
  CHECK((enqueued == 2 && device.records == 1 && device.replays == 1));
  run(8, 0);
  run(8, 0);
  CHECK((enqueued == 2 && device.records == 1 && device.replays == 3));
  run(8, 1);
  run(5, 0);
  CHECK((enqueued == 4 && device.records == 1 && device.replays == 3));
  recordings.forget();
  run(8, 0);
  CHECK((enqueued == 5 && device.records == 1 && device.replays == 3));
}

TEST_CASE("what cannot be recorded is enqueued each time, and not tried again", "[recordings]") {
  Told device;
  device.refuses = true;
  Recordings recordings(device);
  int enqueued = 0;
  for (int i = 0; i < 5; ++i) recordings.play({8, 0, false}, [&] { ++enqueued; });
  CHECK((enqueued == 5 && device.records == 1 && device.replays == 0));
}

}  // namespace trainyard::graph::test
