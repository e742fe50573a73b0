#pragma once

// Adds entries to an encoded LogBatch one by one, without a LogEntry for each: a host that takes
// fifty thousand lines a second makes no other copy of them. Pure functions.

#include <string>
#include <string_view>

#include "proto/messages.h"

namespace candela::proto {

// Appends the entry to the bytes of a LogBatch. Texts beyond kTextBytesMax are cut.
void append_log_entry(uint64_t time, LogStream stream, std::string_view text, LineLevel level,
                      std::string_view trace_id, std::string& batch);

}  // namespace candela::proto
