#include "common/optim/optimizer.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "common/base/random.hpp"
#include "common/optim/kernels.hpp"

using namespace trainyard;
using namespace trainyard::optim;
using config::OptimizerKind;
using config::OptimizerSection;

namespace {

std::vector<float> normal(Random& random, std::size_t size) {
  std::vector<float> out(size);
  for (auto& value : out) value = static_cast<float>(random.normal());
  return out;
}

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

/// The rules in double precision, one value after the other, as optimizer.hpp writes them.
struct Oracle {
  OptimizerSection rule;
  SliceRule slice;
  std::vector<double> w;
  std::vector<double> a, b, c;  // what the rule keeps

  Oracle(const OptimizerSection& optimizer, const SliceRule& settings, const std::vector<float>& first)
      : rule(optimizer),
        slice(settings),
        w(first.begin(), first.end()),
        a(w.size()),
        b(w.size()),
        c(w.size()) {
    if (rule.kind == OptimizerKind::adagrad) a.assign(w.size(), rule.initial_accumulator);
    if (rule.kind == OptimizerKind::ftrl) b.assign(w.size(), rule.initial_accumulator);
  }

  void step(double eta, int t, std::vector<double> g) {
    const double lambda = slice.decay;
    eta *= slice.rate;
    const auto moments = [&](std::size_t i) {
      a[i] = rule.betas[0] * a[i] + (1 - rule.betas[0]) * g[i];
      b[i] = rule.betas[1] * b[i] + (1 - rule.betas[1]) * g[i] * g[i];
      const double m = a[i] / (1 - std::pow(rule.betas[0], t));
      const double s = b[i] / (1 - std::pow(rule.betas[1], t));
      return m / (std::sqrt(s) + rule.epsilon);
    };
    const auto add_decay = [&] {
      for (std::size_t i = 0; i < w.size(); ++i) g[i] += lambda * w[i];
    };
    switch (rule.kind) {
      case OptimizerKind::sgd:
        add_decay();
        for (std::size_t i = 0; i < w.size(); ++i) {
          a[i] = rule.momentum * a[i] + g[i];
          w[i] -= eta * (rule.nesterov ? g[i] + rule.momentum * a[i] : a[i]);
        }
        break;
      case OptimizerKind::adam:
        add_decay();
        for (std::size_t i = 0; i < w.size(); ++i) w[i] -= eta * moments(i);
        break;
      case OptimizerKind::adamw:
        for (std::size_t i = 0; i < w.size(); ++i) {
          w[i] -= eta * lambda * w[i];
          w[i] -= eta * moments(i);
        }
        break;
      case OptimizerKind::adagrad:
        add_decay();
        for (std::size_t i = 0; i < w.size(); ++i) {
          a[i] += g[i] * g[i];
          w[i] -= eta * g[i] / (std::sqrt(a[i]) + rule.epsilon);
        }
        break;
      case OptimizerKind::rmsprop:
        add_decay();
        for (std::size_t i = 0; i < w.size(); ++i) {
          a[i] = rule.rho * a[i] + (1 - rule.rho) * g[i] * g[i];
          c[i] = rule.rho * c[i] + (1 - rule.rho) * g[i];
          const double variance = rule.centered ? a[i] - c[i] * c[i] : a[i];
          b[i] = rule.momentum * b[i] + g[i] / (std::sqrt(variance) + rule.epsilon);
          w[i] -= eta * b[i];
        }
        break;
      case OptimizerKind::ftrl:
        for (std::size_t i = 0; i < w.size(); ++i) {
          const double n = b[i] + g[i] * g[i];
          a[i] += g[i] - (std::sqrt(n) - std::sqrt(b[i])) / eta * w[i];
          b[i] = n;
          const double l1 = rule.l1 * lambda, l2 = rule.l2 * lambda;
          w[i] = std::abs(a[i]) <= l1 ? 0.0
                                      : -(a[i] - sign(a[i]) * l1) / ((rule.beta + std::sqrt(n)) / eta + l2);
        }
        break;
      case OptimizerKind::lars: {
        double local = eta;
        if (slice.kind == ValueKind::weight && norm(w) > 0 && norm(g) > 0)
          local *= rule.trust_coefficient * norm(w) / (norm(g) + lambda * norm(w));
        add_decay();
        for (std::size_t i = 0; i < w.size(); ++i) {
          a[i] = rule.momentum * a[i] + local * g[i];
          w[i] -= a[i];
        }
        break;
      }
      case OptimizerKind::lamb: {
        std::vector<double> r(w.size());
        for (std::size_t i = 0; i < w.size(); ++i) r[i] = moments(i) + lambda * w[i];
        const double ratio =
            slice.kind == ValueKind::weight && norm(w) > 0 && norm(r) > 0 ? norm(w) / norm(r) : 1.0;
        for (std::size_t i = 0; i < w.size(); ++i) w[i] -= eta * ratio * r[i];
        break;
      }
    }
  }
};

/// What a table does with one slice.
struct Owner {
  OptimizerSection rule;
  SliceRule slice;
  std::vector<float> value, next;
  std::array<std::vector<float>, rule_arrays_max> arrays;

  Owner(const OptimizerSection& optimizer, const SliceRule& settings, std::vector<float> first)
      : rule(optimizer), slice(settings), value(std::move(first)), next(value.size()) {
    for (const RuleArray& array : rule_arrays(rule)) arrays[array.place].assign(value.size(), array.first);
  }

  void step(double rate, std::uint64_t number, const Gradient& gradient) {
    Target target{.value = value, .next = next};
    for (std::size_t i = 0; i < rule_arrays_max; ++i)
      target.arrays[i] = arrays[i].empty() ? nullptr : arrays[i].data();
    update(rule, rate, number, slice, target, gradient);
    value.swap(next);
  }
};

struct Case {
  std::string name;
  OptimizerSection rule;
  SliceRule slice;
};

std::vector<Case> cases() {
  std::vector<Case> out;
  const auto add = [&](std::string name, OptimizerKind kind, SliceRule slice, auto change) {
    OptimizerSection rule = config::optimizer_defaults(kind);
    change(rule);
    out.push_back({std::move(name), rule, slice});
  };
  const auto nothing = [](OptimizerSection&) {};
  const SliceRule plain, decayed{.decay = 1e-2}, slower{.rate = 0.1, .decay = 1e-2};
  const SliceRule bias{.kind = ValueKind::bias, .decay = 1e-2};
  add("sgd", OptimizerKind::sgd, plain, nothing);
  add("sgd, decay", OptimizerKind::sgd, decayed, nothing);
  add("sgd, a tenth of the rate", OptimizerKind::sgd, slower, nothing);
  add("momentum", OptimizerKind::sgd, decayed, [](auto& rule) { rule.momentum = 0.9; });
  add("nesterov", OptimizerKind::sgd, decayed, [](auto& rule) {
    rule.momentum = 0.9;
    rule.nesterov = true;
  });
  add("adam", OptimizerKind::adam, plain, nothing);
  add("adam, decay", OptimizerKind::adam, slower, [](auto& rule) { rule.betas = {0.8, 0.95}; });
  add("adamw", OptimizerKind::adamw, decayed, nothing);
  add("adagrad", OptimizerKind::adagrad, decayed, nothing);
  add("adagrad, from 0.1", OptimizerKind::adagrad, plain, [](auto& rule) { rule.initial_accumulator = 0.1; });
  add("rmsprop", OptimizerKind::rmsprop, decayed, nothing);
  add("rmsprop, momentum", OptimizerKind::rmsprop, plain, [](auto& rule) { rule.momentum = 0.9; });
  add("rmsprop, centered", OptimizerKind::rmsprop, plain, [](auto& rule) {
    rule.centered = true;
    rule.rho = 0.9;
  });
  add("rmsprop, centered, momentum", OptimizerKind::rmsprop, decayed, [](auto& rule) {
    rule.centered = true;
    rule.momentum = 0.5;
  });
  add("ftrl", OptimizerKind::ftrl, {.decay = 1}, [](auto& rule) {
    rule.l1 = 0.01;
    rule.l2 = 0.1;
  });
  add("ftrl, no penalty", OptimizerKind::ftrl, {.decay = 0}, [](auto& rule) {
    rule.l1 = 0.01;
    rule.initial_accumulator = 0.1;
  });
  add("lars", OptimizerKind::lars, decayed, nothing);
  add("lars, bias", OptimizerKind::lars, bias, nothing);
  add("lamb", OptimizerKind::lamb, decayed, nothing);
  add("lamb, bias", OptimizerKind::lamb, bias, nothing);
  return out;
}

}  // namespace

TEST_CASE("a hundred steps of each rule follow the double-precision oracle", "[optim]") {
  const std::size_t size = 5003;  // more than two blocks and no multiple of a vector
  std::size_t contributions = 0;
  for (const Case& one : cases()) {
    contributions = contributions % 4 + 1;
    INFO(one.name << " of " << contributions);
    Random random{3};
    const auto first = normal(random, size);
    Owner owner(one.rule, one.slice, first);
    Oracle oracle(one.rule, one.slice, first);
    for (int step = 1; step <= 100; ++step) {
      std::vector<std::vector<float>> parts;
      for (std::size_t i = 0; i < contributions; ++i) parts.push_back(normal(random, size));
      const std::vector<std::span<const float>> spans(parts.begin(), parts.end());
      owner.step(0.01, static_cast<std::uint64_t>(step), {spans, 1.0f / 64, std::nullopt});
      std::vector<double> mean(size);
      for (std::size_t i = 0; i < size; ++i) {
        for (const auto& part : parts) mean[i] += static_cast<double>(part[i]) / 64;
      }
      oracle.step(0.01, step, mean);
    }
    double worst = 0, moved = 0;
    for (std::size_t i = 0; i < size; ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(owner.value[i]) - oracle.w[i]));
      moved = std::max(moved, std::abs(oracle.w[i] - static_cast<double>(first[i])));
    }
    CHECK(worst < 1e-5);
    CHECK(moved > 1e-3);
  }
}

TEST_CASE("every instruction set gives the same bits", "[optim]") {
  const kernels::Kernels& base = *kernels::at(0);
  const std::size_t size = 1003;
  Random random(9);
  for (std::size_t index = 1; index < kernels::sets; ++index) {
    const kernels::Kernels* const set = kernels::at(index);
    if (set == nullptr) continue;  // not of this processor
    INFO(set->name);
    const auto run = [&](const kernels::Kernels& own, auto rule, std::size_t arrays, bool two) {
      Random same(4);
      std::vector<std::vector<float>> data;
      for (std::size_t i = 0; i < 4 + arrays; ++i) data.push_back(normal(same, size));
      for (std::size_t i = 4; i < data.size(); ++i) {
        for (float& value : data[i]) value = std::abs(value);
      }
      kernels::Block block{
          data[0].data(), two ? data[1].data() : nullptr, data[2].data(), data[3].data(), {}, size};
      for (std::size_t i = 0; i < arrays; ++i) block.state[i] = data[4 + i].data();
      const kernels::Numbers numbers{.scale = 0.7f,
                                     .rate = 0.01f,
                                     .decay = 0.1f,
                                     .loss = 0.01f,
                                     .momentum = 0.9f,
                                     .keep = {0.9f, 0.99f},
                                     .add = {0.1f, 0.01f},
                                     .epsilon = 1e-8f,
                                     .first_root = 1.5f,
                                     .second_root = 1.25f,
                                     .l1 = 0.3f,
                                     .l2 = 0.2f,
                                     .beta = 1.0f,
                                     .inverse_rate = 100.0f};
      (own.*rule)(block, numbers);
      return data;
    };
    using K = kernels::Kernels;
    const auto same = [&](auto rule, std::size_t arrays) {
      return run(base, rule, arrays, false) == run(*set, rule, arrays, false) &&
             run(base, rule, arrays, true) == run(*set, rule, arrays, true);
    };
    CHECK(same(&K::sgd, 0));
    CHECK(same(&K::momentum, 1));
    CHECK(same(&K::nesterov, 1));
    CHECK(same(&K::adam, 2));
    CHECK(same(&K::adagrad, 1));
    CHECK(same(&K::rmsprop, 1));
    CHECK(same(&K::rmsprop, 2));
    CHECK(same(&K::rmsprop, 3));
    CHECK(same(&K::ftrl, 2));
    CHECK(same(&K::lars, 1));
    CHECK(same(&K::lamb_direction, 2));
    const auto values = normal(random, size);
    CHECK(base.square_sum(values.data(), size) == set->square_sum(values.data(), size));
    for (std::size_t count = 0; count <= 4; ++count) {
      std::vector<std::vector<float>> parts;
      std::vector<const float*> pointers;
      for (std::size_t i = 0; i < count; ++i) parts.push_back(normal(random, size));
      for (const auto& part : parts) pointers.push_back(part.data());
      std::vector<float> a(size - 5, 7.0f), b(size - 5, 8.0f);
      base.sum(pointers.data(), count, 5, a.size(), 0.3f, a.data());
      set->sum(pointers.data(), count, 5, b.size(), 0.3f, b.data());
      CHECK(a == b);
      double expected = 0;
      for (const auto& part : parts) expected += static_cast<double>(part[5]) * 0.3;
      CHECK(static_cast<double>(a[0]) == Approx(expected).margin(1e-6));
    }
  }
}

TEST_CASE("running statistics become the mean, whatever is clipped", "[optim]") {
  Owner owner({}, {.kind = ValueKind::buffer}, std::vector<float>(3, 99.0f));
  const std::vector<float> a{2, 4, 6}, b{4, 4, 0};
  const std::vector<std::span<const float>> parts{a, b};
  owner.step(0.1, 1, {parts, 0.5f, 1.0f});
  CHECK(owner.value == std::vector<float>{3, 4, 3});
}

TEST_CASE("single values are clipped after the mean is taken", "[optim]") {
  Owner owner({}, {}, std::vector<float>(3, 0.0f));
  const std::vector<float> a{2, -40, 6}, b{4, 4, 0};
  const std::vector<std::span<const float>> parts{a, b};
  owner.step(1.0, 1, {parts, 0.5f, 3.5f});
  CHECK(owner.value == std::vector<float>{-3, 3.5, -3});
}

TEST_CASE("the sum of squares is that of the mean, and a clipped gradient has the norm it may have",
          "[optim]") {
  Random random(5);
  const auto a = normal(random, 4999), b = normal(random, 4999);
  const std::vector<std::span<const float>> parts{a, b};
  double expected = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double mean = (static_cast<double>(a[i]) + static_cast<double>(b[i])) / 8;
    expected += mean * mean;
  }
  CHECK(square_sum({parts, 0.125f, std::nullopt}, a.size()) == Approx(expected).epsilon(1e-6));
  CHECK(clip_factor(4.0, 1.0) == Approx(0.25));
  CHECK(clip_factor(0.5, 1.0) == 1.0);
  CHECK(clip_factor(0.0, 1.0) == 1.0);
}

TEST_CASE("a moving average begins with the first values and then forgets them", "[optim]") {
  std::vector<float> average_of(2, 99.0f);
  average(std::vector<float>{1, 2}, average_of, 0.75, 1);
  CHECK(average_of == std::vector<float>{1, 2});
  average(std::vector<float>{5, 2}, average_of, 0.75, 2);
  CHECK(average_of == std::vector<float>{2, 2});
}

TEST_CASE("what a rule keeps of tiny gradients is 0, not a denormal", "[optim]") {
  const std::vector<float> gradient(64, 1e-19f);  // squared, below the smallest normal number
  const std::vector<std::span<const float>> parts{gradient};
  Owner owner(config::optimizer_defaults(OptimizerKind::adam), {}, std::vector<float>(64, 1.0f));
  owner.step(0.1, 1, {parts, 1.0f, std::nullopt});
  CHECK(owner.arrays[1][0] == 0.0f);
  const volatile float tiny = 1e-19f;
  CHECK(tiny * tiny > 0.0f);  // the thread takes denormals as before
}

TEST_CASE("a rule adds the last part in its own pass, and gives the bits of the whole sum", "[optim]") {
  const std::size_t size = 4100;
  for (const Case& one : cases()) {
    for (std::size_t contributions = 1; contributions <= 4; ++contributions) {
      INFO(one.name << " of " << contributions);
      Random random(6);
      Owner parts_owner(one.rule, one.slice, normal(random, size));
      Owner sum_owner = parts_owner;
      for (std::uint64_t step = 1; step <= 3; ++step) {
        std::vector<std::vector<float>> parts;
        for (std::size_t i = 0; i < contributions; ++i) parts.push_back(normal(random, size));
        const std::vector<std::span<const float>> spans(parts.begin(), parts.end());
        std::vector<float> mean = parts[0];
        for (std::size_t part = 1; part < contributions; ++part) {
          for (std::size_t i = 0; i < size; ++i) mean[i] += parts[part][i];
        }
        for (float& value : mean) value *= 0.3f;
        const std::vector<std::span<const float>> whole{mean};
        parts_owner.step(0.01, step, {spans, 0.3f, std::nullopt});
        sum_owner.step(0.01, step, {whole, 1.0f, std::nullopt});
      }
      CHECK(parts_owner.value == sum_owner.value);
    }
  }
}
