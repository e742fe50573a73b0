#pragma once

// What a keeper was told to run. It points into the bytes of the message, which stay.

#include <cstddef>
#include <cstdint>

#include "keeper/sandbox.h"

namespace candela::keeper {

struct Plan {
    static constexpr size_t kArgumentsMax = 512;
    static constexpr size_t kVariablesMax = 1024;

    char* arguments[kArgumentsMax + 1] = {};    // ends with a null
    char* environment[kVariablesMax + 1] = {};  // likewise
    const char* directory = nullptr;
    const char* executable = nullptr;
    const char* note = nullptr;
    uint32_t note_size = 0;
    uint32_t grace_ms = 10'000;
    uint32_t outer_port = 0;  // of a network of its own; 0: none
    uint32_t inner_port = 0;
    bool ends_with_host = false;
    Sandbox sandbox;
};

// Each text in a plan ends with a NUL, which its size counts. False where the bytes are no plan,
// or ask for a wall that this keeper does not know how to build.
bool read_plan(char* bytes, size_t size, Plan& plan);

}  // namespace candela::keeper
