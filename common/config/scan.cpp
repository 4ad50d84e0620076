#include "common/config/scan.hpp"

#include "common/base/bytes.hpp"
#include "common/base/text.hpp"
#include "common/config/document.hpp"

namespace trainyard::config {

namespace {

/// Follows quotes, comments and brackets just closely enough to count the brackets that are open.
class Scan {
 public:
  explicit Scan(std::string_view text) : text_(text) {}

  Status run() {
    while (at_ < text_.size()) {
      const std::size_t length = utf8_length(text_.substr(at_));
      if (length == 0) return fail("this is not UTF-8 text");
      if (auto status = character(text_[at_]); !status) return status;
      at_ += length;
      ++column_;
    }
    return {};
  }

 private:
  Error fail(std::string_view message) const {
    return {Errc::invalid, format("{}:{}: {}", line_, column_, message)};
  }

  Status character(char c) {
    if (c == '\n') {
      ++line_;
      column_ = 0;
      indenting_ = true;
      comment_ = false;
      before_ = '\n';
      return {};
    }
    if (c == '\t' && indenting_) return fail("a tab in the indentation; use spaces");
    const auto code = static_cast<unsigned char>(c);
    if ((code < 0x20 && c != '\t' && c != '\r') || code == 0x7f) return fail("a control character");
    if (c != ' ') indenting_ = false;
    if (comment_) return {};
    return quote_ != 0 ? inside_quotes(c) : outside_quotes(c);
  }

  Status inside_quotes(char c) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\' && quote_ == '"') {
      escaped_ = true;
    } else if (c == quote_) {
      quote_ = 0;
      before_ = c;
    }
    return {};
  }

  Status outside_quotes(char c) {
    const bool blank = c == ' ' || c == '\t' || c == '\r';
    const bool begins = std::string_view("\n[]{},:-?").find(before_) != std::string_view::npos;
    if (c == '#' && (column_ == 1 || after_blank_)) {
      comment_ = true;
    } else if ((c == '"' || c == '\'') && begins) {
      quote_ = c;
    } else if ((c == '[' || c == '{') && (begins || depth_ > 0)) {
      if (++depth_ > depth_max) return fail(format("nested deeper than {} levels", depth_max));
    } else if ((c == ']' || c == '}') && depth_ > 0) {
      --depth_;
    }
    after_blank_ = blank;
    if (!blank) before_ = c;
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1, column_ = 1;
  int depth_ = 0;
  char quote_ = 0;
  char before_ = '\n';  // the last character that is not blank
  bool after_blank_ = true;
  bool escaped_ = false, comment_ = false, indenting_ = true;
};

}  // namespace

Status scan_text(std::string_view text) {
  if (text.size() > text_bytes_max) {
    return Error{Errc::invalid, format("1:1: the file has {}; at most {} are read", size_text(text.size()),
                                       size_text(text_bytes_max))};
  }
  return Scan(text).run();
}

}  // namespace trainyard::config
