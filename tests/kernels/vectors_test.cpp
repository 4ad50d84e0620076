// The loops of every level of vector instructions that this machine can run, held to what their header
// promises.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "common/ops/cpu/vector/vectors.hpp"
#include "common/ops/functions.hpp"
#include "tests/kernels/cases.hpp"

namespace trainyard::ops {
namespace {

constexpr float kAlpha = 0.3f, kBeta = 0.7f;
const Attributes kAttributes{.alpha = kAlpha, .beta = kBeta};

/// Floats of every size and sign, and closely where functions bend; odd many, so that rows have a rest.
std::vector<float> floats() {
  std::vector<float> all{0.0f, -0.0f, INFINITY, -INFINITY, NAN};
  for (std::uint32_t bits = 0x00800000; bits < 0x7f800000; bits += 400'009) {
    float x = 0;
    std::memcpy(&x, &bits, sizeof(x));
    all.push_back(x);
    all.push_back(-x);
  }
  for (int i = -20'000; i <= 20'000; ++i) all.push_back(static_cast<float>(i) * 0.001f);
  return all;
}

/// Where a result is so small, or what is computed on the way, that it may as well be zero.
bool negligible(double value) { return std::abs(value) < 1e-35; }

TEST_CASE("functions are as exact as floats are, on every level", "[vectors]") {
  const std::vector<float> x = floats();
  std::vector<float> y(x.size());
  for (const cpu::Vectors* level : cpu::vectors_all())
    for (int number = 0; number <= static_cast<int>(Function::celu); ++number) {
      const auto of = static_cast<Function>(number);
      const auto map = level->map(of);
      if (map == nullptr) continue;
      map(x.data(), y.data(), static_cast<std::int64_t>(x.size()), kAlpha, kBeta);
      double worst = 0;
      float where = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        double exact = value_of<double>(of, kAttributes, static_cast<double>(x[i]));
        // As a double it cancels; x sigmoid(2 u) is the same.
        if (of == Function::gelu_tanh && std::isfinite(x[i]))
          exact = static_cast<double>(x[i]) * sigmoid(2 * gelu_inner(static_cast<double>(x[i])));
        const double made = static_cast<double>(y[i]);
        if (static_cast<float>(exact) == y[i] || (std::isnan(exact) && std::isnan(made))) continue;
        if (negligible(exact) && negligible(made)) continue;
        // A sum that nearly cancels is as exact as its parts.
        const double size = of == Function::hard_sigmoid ? std::max(0.1, std::abs(exact)) : std::abs(exact);
        const double off = std::abs(made - exact) / size;
        if (off <= worst) continue;
        worst = std::isnan(off) ? INFINITY : off;
        where = x[i];
      }
      INFO(level->name << ", function " << number << " at " << where);
      CHECK(worst <= (of == Function::gelu ? 1.5e-6 : of == Function::gelu_tanh ? 2e-5 : 5e-7));
    }
}

TEST_CASE("slopes are as exact as the values that they are made of, on every level", "[vectors]") {
  const std::vector<float> x = floats(), one(x.size(), 1.0f);
  std::vector<float> dx(x.size());
  for (const cpu::Vectors* level : cpu::vectors_all())
    for (int number = 0; number <= static_cast<int>(Function::celu); ++number) {
      const auto of = static_cast<Function>(number);
      const auto slope = level->slope(of);
      if (slope == nullptr) continue;
      slope(x.data(), one.data(), dx.data(), static_cast<std::int64_t>(x.size()), kAlpha, kBeta);
      double worst = 0;
      float where = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double at = static_cast<double>(x[i]), exact = slope_of<double>(of, kAttributes, at, at);
        if (!std::isfinite(exact) || static_cast<float>(exact) == dx[i] || negligible(exact)) continue;
        if (std::abs(exact) > 3.4e38) continue;  // no float
        const double off = std::abs(static_cast<double>(dx[i]) - exact) / std::max(0.1, std::abs(exact));
        if (off <= worst) continue;
        worst = std::isnan(off) ? INFINITY : off;
        where = x[i];
      }
      INFO(level->name << ", function " << number << " at " << where);
      CHECK(worst <= 3e-6);
    }
}

TEST_CASE("rows of every length are summed, raised and normalized alike on every level", "[vectors]") {
  Random random(5);
  for (const std::int64_t count : {1, 2, 7, 16, 17, 31, 100, 1023, 1025, 5000}) {
    std::vector<float> x;
    for (std::int64_t i = 0; i < count; ++i) x.push_back(static_cast<float>(random.uniform(-3, 3)));
    double sum = 0, squares = 0, exponentials = 0;
    for (const float value : x) {
      sum += static_cast<double>(std::abs(value));
      squares += static_cast<double>(value) * static_cast<double>(value);
      exponentials += std::exp(static_cast<double>(value));
    }
    for (const cpu::Vectors* level : cpu::vectors_all()) {
      INFO(level->name << ", " << count);
      CHECK(level->reduce(Reduction::l1, x.data(), count) == Approx(sum).epsilon(1e-6));
      CHECK(level->reduce(Reduction::sum_square, x.data(), count) == Approx(squares).epsilon(1e-6));
      CHECK(level->reduce(Reduction::log_sum_exp, x.data(), count) ==
            Approx(std::log(exponentials)).epsilon(1e-6));
      std::vector<float> p(x.size()), y(x.size());
      level->softmax(x.data(), p.data(), count);
      level->log_softmax(x.data(), y.data(), count);
      double most = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = std::exp(static_cast<double>(x[i])) / exponentials;
        most = std::max(most, std::abs(static_cast<double>(p[i]) / exact - 1));
        most = std::max(most, std::abs(static_cast<double>(y[i]) - std::log(exact)) / 10);
      }
      CHECK(most < 2e-6);
    }
  }
}

TEST_CASE("extremes of rows and columns see what is not a number, wherever it lies", "[vectors]") {
  for (const cpu::Vectors* level : cpu::vectors_all())
    for (std::size_t at = 0; at < 37; ++at) {
      std::vector<float> x(37, 1.0f);
      x[at] = NAN;
      double columns[37];
      for (const auto reduction : {Reduction::maximum, Reduction::minimum}) {
        CHECK(std::isnan(level->reduce(reduction, x.data(), 37)));
        level->reduce_columns(reduction, x.data(), 1, 37, 1, columns);
        CHECK(std::isnan(columns[0]));
        level->reduce_columns(reduction, x.data(), 37, 1, 37, columns);
        CHECK(std::isnan(columns[at]));
        CHECK(columns[(at + 1) % 37] == 1);
      }
    }
}

}  // namespace
}  // namespace trainyard::ops
