// Loops over strips of channels; see Table. Included within the namespace of an instruction set.

/// A row of sixteen floats, and one of fewer.
struct Full {};
struct Part {
  int width = 0;
};
/// Which of four accumulators a row goes to: four chains of additions run at once, and sums stay exact
/// longer.
template <int number>
struct Slot {
  static constexpr int at = number;
};

inline Lanes load_row(const float* at, Full) { return load(at); }
inline Lanes load_row(const float* at, Part part) { return load_some(at, part.width); }

/// `value`, with 0 in the lanes that a row does not have.
inline Lanes counted(const Lanes& value, Full) { return value; }
inline Lanes counted(const Lanes& value, Part part) {
  return choose(first_lanes(part.width), value, zeros());
}

/// A store that may go past the caches; rows with fewer than sixteen floats never do.
template <bool past>
inline void put_row(float* at, const Lanes& value, Full) {
  if constexpr (past)
    stream(at, value);
  else
    store(at, value);
}
template <bool past>
inline void put_row(float* at, const Lanes& value, Part part) {
  store_some(at, value, part.width);
}

template <typename Width, typename Visit>
inline void rows_of_plane(const Strip& s, std::int64_t at, std::int64_t mask, Width width,
                          const Visit& visit) {
  const std::int64_t step = s.row_stride, mask_step = s.mask_row_stride;
  std::int64_t row = 0;
  for (; row + 4 <= s.rows; row += 4, at += 4 * step, mask += 4 * mask_step) {
    visit(Slot<0>{}, at, mask, width);
    visit(Slot<1>{}, at + step, mask + mask_step, width);
    visit(Slot<2>{}, at + 2 * step, mask + 2 * mask_step, width);
    visit(Slot<3>{}, at + 3 * step, mask + 3 * mask_step, width);
  }
  for (; row < s.rows; ++row, at += step, mask += mask_step) visit(Slot<0>{}, at, mask, width);
  if (s.tail > 0) visit(Slot<1>{}, at, mask, Part{s.tail});
}

/// Calls visit(slot, offset, mask offset, width) for each row of the strip.
template <typename Visit>
inline void each_row(const Strip& s, const Visit& visit) {
  for (std::int64_t plane = 0; plane < s.planes; ++plane) {
    const std::int64_t at = plane * s.plane_stride, mask = plane * s.mask_plane_stride;
    if (s.width == kLanes)
      rows_of_plane(s, at, mask, Full{}, visit);
    else
      rows_of_plane(s, at, mask, Part{s.width}, visit);
  }
}

struct Sums {
  template <int number>
  void add(Slot<number>, const Lanes& value) {
    slots[number] += value;
  }
  Lanes total() const { return (slots[0] + slots[1]) + (slots[2] + slots[3]); }
  Lanes slots[4] = {zeros(), zeros(), zeros(), zeros()};
};

void moments(const Strip& s, const float* x, float* mean, float* squares) {
  Sums sums, off;
  each_row(s, [&](auto slot, std::int64_t at, std::int64_t, auto width) {
    sums.add(slot, load_row(x + at, width));
  });
  Lanes count = choose(first_lanes(s.width), all(static_cast<float>(s.planes * s.rows)), zeros());
  count += choose(first_lanes(s.tail), all(static_cast<float>(s.planes)), zeros());
  const Lanes middle = choose(count > 0.0f, sums.total() / count, zeros());
  each_row(s, [&](auto slot, std::int64_t at, std::int64_t, auto width) {
    const Lanes d = counted(load_row(x + at, width) - middle, width);
    off.add(slot, d * d);
  });
  store(mean, middle);
  store(squares, off.total());
}

template <Rectify rectify, bool addend, bool mask, bool past>
void normalize_as(const Strip& s, const float* x, const float* more, const Affine& affine, float* y,
                  std::uint16_t* bits) {
  const Lanes mean = load(affine.mean), scale = load(affine.scale), shift = load(affine.shift);
  each_row(s, [&](auto, std::int64_t at, std::int64_t mask_at, auto width) {
    Lanes value = (load_row(x + at, width) - mean) * scale + shift;
    if constexpr (addend) value += load_row(more + at, width);
    if constexpr (mask) {
      const Truth positive = value > 0.0f;
      bits[mask_at] = bits_of(rectify == Rectify::relu6 ? positive & (value < 6.0f) : positive);
    }
    if constexpr (rectify != Rectify::none) value = at_least(value, 0.0f);
    if constexpr (rectify == Rectify::relu6) value = at_most(value, 6.0f);
    put_row<past>(y + at, value, width);
  });
  if constexpr (past) fence();
}

/// Calls visit(constant) with the value of a choice.
template <bool value>
struct Choice {
  static constexpr bool is = value;
};
template <typename Visit>
void choose_one(bool value, const Visit& visit) {
  if (value)
    visit(Choice<true>{});
  else
    visit(Choice<false>{});
}

template <Rectify rectify>
void normalize_rectified(const Strip& s, const float* x, const float* addend, const Affine& affine, float* y,
                         std::uint16_t* mask) {
  choose_one(addend != nullptr, [&](auto more) {
    choose_one(rectify != Rectify::none && mask != nullptr, [&](auto masked) {
      choose_one(affine.stream, [&](auto past) {
        normalize_as<rectify, decltype(more)::is, decltype(masked)::is, decltype(past)::is>(s, x, addend,
                                                                                            affine, y, mask);
      });
    });
  });
}

void normalize(const Strip& s, const float* x, const float* addend, const Affine& affine, float* y,
               std::uint16_t* mask) {
  if (affine.rectify == Rectify::relu)
    normalize_rectified<Rectify::relu>(s, x, addend, affine, y, mask);
  else if (affine.rectify == Rectify::relu6)
    normalize_rectified<Rectify::relu6>(s, x, addend, affine, y, mask);
  else
    normalize_rectified<Rectify::none>(s, x, addend, affine, y, mask);
}

template <bool masked>
void gradient_sums_as(const Strip& s, const float* x, const float* dy, const std::uint16_t* mask,
                      const float* mean_at, float* sum, float* dot) {
  const Lanes mean = load(mean_at);
  Sums sums, dots;
  each_row(s, [&](auto slot, std::int64_t at, std::int64_t mask_at, auto width) {
    Lanes g = load_row(dy + at, width);
    if constexpr (masked) g = where_bits(mask[mask_at], g);
    sums.add(slot, g);
    dots.add(slot, g * (load_row(x + at, width) - mean));
  });
  store(sum, sums.total());
  store(dot, dots.total());
}

void gradient_sums(const Strip& s, const float* x, const float* dy, const std::uint16_t* mask,
                   const float* mean, float* sum, float* dot) {
  if (mask)
    gradient_sums_as<true>(s, x, dy, mask, mean, sum, dot);
  else
    gradient_sums_as<false>(s, x, dy, mask, mean, sum, dot);
}

template <bool masked, bool addend, bool past>
void normalize_grad_as(const Strip& s, const float* x, const float* dy, const std::uint16_t* mask,
                       const AffineGrad& affine, float* dx, float* daddend) {
  const Lanes mean = load(affine.mean), scale = load(affine.scale);
  const Lanes constant = load(affine.constant), slope = load(affine.slope);
  each_row(s, [&](auto, std::int64_t at, std::int64_t mask_at, auto width) {
    Lanes g = load_row(dy + at, width);
    if constexpr (masked) g = where_bits(mask[mask_at], g);
    if constexpr (addend) put_row<past>(daddend + at, g, width);
    const Lanes off = load_row(x + at, width) - mean;
    put_row<past>(dx + at, ((g - constant) - off * slope) * scale, width);
  });
  if constexpr (past) fence();
}

void normalize_grad(const Strip& s, const float* x, const float* dy, const std::uint16_t* mask,
                    const AffineGrad& affine, float* dx, float* daddend) {
  choose_one(mask != nullptr, [&](auto masked) {
    choose_one(daddend != nullptr, [&](auto addend) {
      choose_one(affine.stream, [&](auto past) {
        normalize_grad_as<decltype(masked)::is, decltype(addend)::is, decltype(past)::is>(
            s, x, dy, mask, affine, dx, daddend);
      });
    });
  });
}
