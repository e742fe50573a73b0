#pragma once

// A request whose connection becomes a stream of something else (RFC 9110 §7.8), from the client's
// side. For one loop's thread.

#include <string>

#include "loop/flow.h"
#include "loop/stream.h"

namespace candela::http {

struct UpgradeAnswer {
    int status = 0;
    // Of the stream where the status is 101, otherwise the answer's body, cut at kUpgradeBodyMax.
    std::string rest;
};

inline constexpr size_t kUpgradeBodyMax = 64 << 10;

// Writes the request, and reads the answer to it; the stream is paused then, and waits for start()
// with another handler. `who` answers: for errors. kCorrupt where it is no HTTP, kUnreachable where
// the connection ends before, kTimeout.
Task<Result<UpgradeAnswer>> ask_for_upgrade(Stream& stream, std::string request, Duration timeout,
                                            std::string who);

}  // namespace candela::http
