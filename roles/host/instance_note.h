#pragma once

// What a keeper remembers of an instance for the next host: all that is needed to go on with it, or
// to end it where nobody wants it any more.

#include <cstdint>
#include <string>
#include <string_view>

#include "proto/messages.h"

namespace candela::host {

struct InstanceNote {
    uint16_t port = 0;
    uint64_t started_at_ms = 0;
    uint32_t restarts = 0;
    bool was_ready = false;
    std::string space;
    std::string service;
    uint64_t release = 0;
    std::string kind;
    uint64_t grace_ms = 10'000;
    std::string bundle;

    friend bool operator==(const InstanceNote&, const InstanceNote&) = default;
};

std::string to_text(const InstanceNote& note);
// What can't be read has its default: a note of a newer host is read as far as it is understood.
InstanceNote parse_instance_note(std::string_view text);

// An assignment of an instance that is only there to be ended.
proto::InstanceSpec spec_of_unwanted(const std::string& instance, const InstanceNote& note);

}  // namespace candela::host
