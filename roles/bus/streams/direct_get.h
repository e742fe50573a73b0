#pragma once

// Direct gets (ADR-31): the messages themselves are the answer, one or a batch of them. Control
// loop.

#include <string>
#include <string_view>

#include "jetstream.h"

namespace candela::bus_role {

// What the bus itself says where a request reaches nobody.
inline constexpr std::string_view kNobodyThere = "503";

void send_direct_status(JetStream& js, JsAccount& account, const std::string& reply,
                        std::string_view status, std::string_view extra = {});
// `extra`: further header lines, each with its line end.
void send_direct(JetStream& js, JsAccount& account, const std::string& reply,
                 std::string_view stream, const RecordView& view, std::string_view extra);

// The sequence of the first message at or after "start_time"; 0 where none is asked for, or the
// text is no time.
uint64_t first_since(StreamLog& log, const Json& body);

// {"batch", "max_bytes", "seq" or "start_time", "next_by_subj"}, or {"multi_last": [...],
// "up_to_seq" or "up_to_time"}.
void answer_batch(JetStream& js, DurableStream& stream, const std::string& reply,
                  const Json& request);

}  // namespace candela::bus_role
