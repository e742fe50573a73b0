// PROXY headers: what is read does not depend on how much more has come, and nothing crashes.

#include <cstdint>
#include <cstdlib>

#include "http/proxy_protocol.h"

using namespace candela::http;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const auto whole = parse_proxy_header(input);
    if (!whole || !whole->has_value()) return 0;
    const size_t bytes = (*whole)->bytes;
    if (bytes > size || bytes > kProxyHeaderBytesMax) std::abort();
    for (size_t cut = 0; cut < bytes; ++cut) {
        const auto part = parse_proxy_header(input.substr(0, cut));
        if (!part || part->has_value()) std::abort();  // too early to say
    }
    const auto alone = parse_proxy_header(input.substr(0, bytes));
    if (!alone || !alone->has_value() || (*alone)->client != (*whole)->client) std::abort();
    return 0;
}
