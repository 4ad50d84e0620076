// One row of a layer normalization. Included within the namespace of an instruction set.

void normalize_row(const float* x, std::int64_t width, float epsilon, const float* gamma, const float* beta,
                   float* y, float* mean, float* inverse) {
  Register sums = {};
  each_register(width, [&](std::int64_t i, int here) { sums += load_part(x + i, here); });
  const float middle = sum_of(sums) / static_cast<float>(width);
  // Far from 0 the mean is rounded by more than the values differ: what is left over is taken off as well.
  Register squares = {}, offs = {};
  each_register(width, [&](std::int64_t i, int here) {
    const Register all = load_part(x + i, here) - middle;
    const Register off = here == kWidth ? all : first_of(all, here, 0.0f);
    offs += off;
    squares += off * off;
  });
  const float rest = sum_of(offs) / static_cast<float>(width);
  const float variance = sum_of(squares) / static_cast<float>(width) - rest * rest;
  const float scale = 1.0f / __builtin_sqrtf((variance > 0.0f ? variance : 0.0f) + epsilon);
  *mean = middle + rest;
  *inverse = scale;
  each_register(width, [&](std::int64_t i, int here) {
    Register out = (load_part(x + i, here) - middle - rest) * scale;
    if (gamma != nullptr) out = out * load_part(gamma + i, here);
    if (beta != nullptr) out = out + load_part(beta + i, here);
    store_part(y + i, out, here);
  });
}

void normalize_row_grad(const float* x, const float* dy, std::int64_t width, float mean, float inverse,
                        const float* gamma, float* dx, float* dgamma, float* dbeta) {
  Register sum = {}, sum_normal = {};
  each_register(width, [&](std::int64_t i, int here) {
    const Register d = load_part(dy + i, here), n = (load_part(x + i, here) - mean) * inverse;
    if (dgamma != nullptr) store_part(dgamma + i, load_part(dgamma + i, here) + d * n, here);
    if (dbeta != nullptr) store_part(dbeta + i, load_part(dbeta + i, here) + d, here);
    const Register g = gamma == nullptr ? d : d * load_part(gamma + i, here);
    sum += g;
    sum_normal += here == kWidth ? g * n : first_of(g * n, here, 0.0f);
  });
  const float middle = sum_of(sum) / static_cast<float>(width),
              slope = sum_of(sum_normal) / static_cast<float>(width);
  each_register(width, [&](std::int64_t i, int here) {
    const Register n = (load_part(x + i, here) - mean) * inverse;
    Register g = load_part(dy + i, here);
    if (gamma != nullptr) g = g * load_part(gamma + i, here);
    store_part(dx + i, (g - middle - n * slope) * inverse, here);
  });
}
