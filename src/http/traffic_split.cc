#include "http/traffic_split.h"

#include "base/text.h"

namespace candela::http {
namespace {

constexpr uint64_t kParts = 10'000;  // of all requests

// FNV-1a with a finisher: the same on every machine, which std::hash does not promise.
uint64_t hash_of(std::string_view text, uint64_t hash = 0xcbf29ce484222325) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccd;
    hash ^= hash >> 33;
    return hash;
}

}  // namespace

std::optional<std::string_view> cookie_of(const Headers& headers, std::string_view name) {
    for (const Headers::Field field : headers) {
        if (field.id != FieldId::kCookie) continue;
        std::string_view list = field.value;
        while (!list.empty()) {
            const size_t end = std::min(list.find(';'), list.size());
            const std::string_view pair = trim(list.substr(0, end));
            list.remove_prefix(std::min(end + 1, list.size()));
            const size_t equals = pair.find('=');
            if (equals != std::string_view::npos && pair.substr(0, equals) == name) {
                return pair.substr(equals + 1);
            }
        }
    }
    return std::nullopt;
}

TrafficSplit::TrafficSplit(std::vector<Share> shares, By by, std::string name)
    : shares_(std::move(shares)), by_(by), name_(std::move(name)), salt_(hash_of("split")) {
    // Who is first in one canary is not so in another.
    for (const Share& share : shares_) salt_ = hash_of(share.service, salt_);
}

const TrafficSplit::Share* TrafficSplit::choose(const Headers& request, Random& random) const {
    std::optional<std::string_view> key;
    if (by_ == By::kHeader) key = request.get(name_);
    if (by_ == By::kCookie) key = cookie_of(request, name_);
    uint64_t part = key && !key->empty() ? hash_of(*key, salt_) % kParts : random.below(kParts);
    for (const Share& share : shares_) {
        const uint64_t size = share.percent * (kParts / 100);
        if (part < size) return &share;
        part -= size;
    }
    return nullptr;
}

}  // namespace candela::http
