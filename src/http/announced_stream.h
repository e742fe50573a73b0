#pragma once

// Reads the PROXY header of accepted streams and hands them on as if the client had connected
// itself: peer() is the client's address, and what follows the header is read first. Only peers
// that are trusted may say who the client is; others are closed. One loop.

#include "base/log.h"
#include "http/proxy_headers.h"
#include "loop/loop.h"

namespace candela::http {

inline constexpr size_t kPendingHeadersMax = 1024;  // that are waited for; more are closed
inline constexpr Duration kProxyHeaderTimeout = 5s;

// For Loop::listen(). `trusted` is read at each stream and outlives the listener.
Loop::AcceptHandler accept_announced(Loop& loop, const TrustedPeers& trusted, Logger log,
                                     Loop::AcceptHandler then);

}  // namespace candela::http
