#pragma once

// What an account shares with others, as its JWT says it: exports, imports, and mappings of its own
// subjects. Values as they were written; check_account() says whether they fit together. Source:
// jwt/v2 of the NATS libraries, ADR-14.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace candela::auth {

enum class ShareKind : uint8_t {
    kStream,   // the exporter publishes, the importer hears
    kService,  // the importer asks, the exporter answers
};
std::string_view to_string(ShareKind kind);

// How many answers one request has.
enum class ResponseType : uint8_t {
    kSingleton,
    kStream,   // any number; an empty one is the last
    kChunked,  // one answer in pieces; an empty one is the last
};
std::string_view to_string(ResponseType type);

struct Export {
    struct Latency {
        std::string sampling;  // "headers", or a number of percent
        std::string results;   // the subject that measurements go to
        friend bool operator==(const Latency&, const Latency&) = default;
    };
    std::string name;
    std::string subject;
    ShareKind kind = ShareKind::kStream;
    bool token_required = false;  // importers need an activation
    // Importing account's key (or "*") → unix seconds: activations issued until then are void.
    std::map<std::string, int64_t, std::less<>> revocations;
    ResponseType response_type = ResponseType::kSingleton;
    Duration response_threshold{};  // an answer is waited for so long; 0: the server's default
    unsigned account_token_position = 0;  // which token is the importer's key, from 1; 0: none
    bool advertise = false;
    std::string description;
    std::string info_url;
    std::optional<Latency> latency;
    friend bool operator==(const Export&, const Export&) = default;
};

struct Import {
    std::string name;
    // Where messages are first published: the exporter's subject of a stream; of a service the
    // exporter's too, unless the old `to` is used, which then is the exporter's.
    std::string subject;
    std::string account;  // the exporter's key
    std::string token;    // an activation JWT
    std::string to;       // old form: of a stream a prefix, of a service the exporter's subject
    std::string local_subject;  // the importer's, with "$1" for the first "*" of `subject`
    ShareKind kind = ShareKind::kStream;
    bool share = false;  // the exporter may know who asks
    friend bool operator==(const Import&, const Import&) = default;
};

struct WeightedMapping {
    std::string subject;
    unsigned weight = 100;  // percent
    std::string cluster;    // empty: all
    friend bool operator==(const WeightedMapping&, const WeightedMapping&) = default;
};

// What clients publish to → where it goes instead.
using SubjectMappings = std::map<std::string, std::vector<WeightedMapping>, std::less<>>;

}  // namespace candela::auth
