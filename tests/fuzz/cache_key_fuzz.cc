// Cache keys: two requests have one key only where they agree in all that the key is made of; and
// nothing of a request can make it look like another's.

#include <array>
#include <cstdint>
#include <cstdlib>

#include "base/text.h"
#include "http/cache_control.h"
#include "http/cache_key.h"
#include "http/stored_answer.h"
#include "http/target.h"

using namespace candela;
using namespace candela::http;

namespace {

// The input's lines, as many as are asked for, by a separator that fields can't have.
template <size_t kCount>
std::array<std::string_view, kCount> parts_of(std::string_view input) {
    std::array<std::string_view, kCount> parts;
    for (std::string_view& part : parts) {
        const size_t end = std::min(input.find('\xff'), input.size());
        part = input.substr(0, end);
        input.remove_prefix(std::min(end + 1, input.size()));
    }
    return parts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const auto parts = parts_of<8>(input);
    std::string key;
    if (make_cache_key({parts[0], parts[1], parts[2]}, key)) {
        const auto again = parse_cache_key(key);
        if (!again || again->service != parts[0] || again->authority != ascii_lower(parts[1]) ||
            again->target != parts[2]) {
            std::abort();
        }
    }
    std::string first;
    std::string second;
    const CacheOriginParts one{parts[0], parts[1], parts[2], parts[3], ""};
    const CacheOriginParts other{parts[4], parts[5], parts[6], parts[7], ""};
    if (make_cache_origin(one, first) && make_cache_origin(other, second)) {
        const bool is_same = parts[0] == parts[4] && parts[1] == parts[5] && parts[2] == parts[6] &&
                             parts[3] == parts[7];
        if ((first == second) != is_same) std::abort();
    }
    // The same of what Vary compares, and of what answers say of themselves.
    const Headers request{
        {"x-a", parts[0]}, {"x-a", parts[1]}, {"range", parts[2]}, {"if-none-match", parts[3]}};
    const Headers none;
    if (vary_value(request, "x-a") == vary_value(none, "x-a") && request.contains("x-a")) {
        std::abort();
    }
    ResponseHead answer;
    answer.headers = Headers{
        {"etag", parts[4]}, {"cache-control", parts[5]}, {"vary", parts[6]}, {"expires", parts[7]}};
    const Selection part = select(request, answer, 100);
    if (part.begin > part.end || part.end > 100) std::abort();
    if (part.status == 206 && part.begin == part.end) std::abort();
    Framing framing;
    framing.body = BodyKind::kLength;
    const CacheRules rules;
    const auto kept = may_store(
        AnswerFacts{request, nullptr, answer, framing, 1'700'000'000, 1'700'000'000}, rules);
    if (kept && (kept->lifetime < 0 || kept->lifetime > kCacheSecondsMax)) std::abort();
    if (kept && parse_cache_control(answer.headers).is_private) std::abort();
    return 0;
}
