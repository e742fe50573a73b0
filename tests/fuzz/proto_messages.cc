// Every decoder of src/proto takes any bytes; what it understands, it can say again unchanged.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proto/messages.h"

using namespace candela::proto;

namespace {
template <class Decode>
void round_trip(Decode decode, std::string_view bytes) {
    const auto value = decode(bytes);
    if (!value) return;
    const auto again = decode(encode(*value));
    if (!again || !(*again == *value)) abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    round_trip(decode_node_heartbeat, bytes);
    round_trip(decode_assignments_pull, bytes);
    round_trip(decode_assignments, bytes);
    round_trip(decode_nudge, bytes);
    round_trip(decode_routes_pull, bytes);
    round_trip(decode_route_table, bytes);
    round_trip(decode_bundle_read, bytes);
    round_trip(decode_bundle_chunk, bytes);
    round_trip(decode_credential_request, bytes);
    round_trip(decode_credential, bytes);
    round_trip(decode_log_batch, bytes);
    return 0;
}
