// Targets: what is normalised stays as it is, and never climbs above the root.

#include <cstdint>
#include <cstdlib>

#include "http/target.h"

using namespace candela;
using namespace candela::http;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const Result<std::string> normal = normalize_path(input);
    if (normal.has_value()) {
        if (!is_normal_path(*normal)) std::abort();
        if (is_normal_path(input) != (*normal == input)) std::abort();
        if ((*normal + "/").find("/../") != std::string::npos) std::abort();
        const Result<std::string> again = normalize_path(*normal);
        if (!again || *again != *normal) std::abort();
    } else if (is_normal_path(input)) {
        std::abort();
    }
    const Result<std::string> decoded = percent_decode(input);
    if (decoded && percent_decode(percent_encode(*decoded)).value() != *decoded) std::abort();
    const TargetParts parts = split_target(input);
    if (parse_query(parts.query).has_value() && parts.path.size() > size) std::abort();
    if (const auto authority = parse_authority(input)) {
        if (authority->host.size() + authority->port.size() > size) std::abort();
    }
    return 0;
}
