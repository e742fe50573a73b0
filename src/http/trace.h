#pragma once

// W3C Trace Context (https://www.w3.org/TR/trace-context/): the traceparent field by which the
// lines and spans of one request are found. Pure functions.

#include <array>
#include <string_view>

#include "base/random.h"

namespace candela::http {

// "00-<trace id, 32 hex digits>-<parent id, 16>-<flags, 2>".
inline constexpr size_t kTraceParentSize = 55;
using TraceParent = std::array<char, kTraceParentSize>;

// Version 00 whole, or the beginning of a later one; no id of zeros (§3.2.2).
bool is_traceparent(std::string_view text);
// Of a text that is one.
inline std::string_view trace_id_of(std::string_view text) { return text.substr(3, 32); }
// A new trace, not sampled: whether to record it is for those who trace to say.
TraceParent make_traceparent(Random& random);

}  // namespace candela::http
