// service.toml and its JSON on any bytes: what is accepted survives the trip through JSON.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <nlohmann/json.hpp>

#include "service/manifest.h"

using namespace candela;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto from_toml = service::parse_manifest(text);
    if (from_toml) {
        const auto again = service::manifest_from_json(service::to_json(*from_toml));
        if (!again || *again != *from_toml) abort();
    }
    const auto json = parse_json(text);
    if (!json) return 0;
    const auto from_json = service::manifest_from_json(*json);
    if (!from_json) return 0;
    const auto again = service::manifest_from_json(service::to_json(*from_json));
    if (!again || *again != *from_json) abort();
    return 0;
}
