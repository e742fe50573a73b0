#pragma once

// What an answer in the response cache is found by. Everything of a request that reaches the
// service is either in the key, or in the origin, or named by the answer's Vary, or taken out of
// requests whose answers may be kept (ForwardedInfo::for_store). Pure.
//
//   key     service, authority, path and query as the client asked for them: what is public, and
//           what a purge or an unsafe method names
//   origin  what else makes one request upstream differ from another: scheme and host as a
//           trusted proxy has told them, the target as rewritten, and the route that did it
//
// Two requests have one key only where they agree in each part: the parts hold no control bytes,
// and stand on lines of their own.

#include <optional>
#include <string>
#include <string_view>

namespace candela::http {

struct CacheKeyParts {
    std::string_view service;    // "space/service"
    std::string_view authority;  // the Host field as it was sent: with its port
    std::string_view target;     // path in normal form, and query byte for byte
};
// False where a part can't be in a key: nothing is cached then.
bool make_cache_key(const CacheKeyParts& parts, std::string& out);
// What it was made from; the authority in lower case.
std::optional<CacheKeyParts> parse_cache_key(std::string_view key);

struct CacheOriginParts {
    std::string_view scheme;
    std::string_view forwarded_host;
    std::string_view target;  // for the service
    std::string_view prefix;
    std::string_view route;  // CacheRules::identity
};
bool make_cache_origin(const CacheOriginParts& parts, std::string& out);

}  // namespace candela::http
