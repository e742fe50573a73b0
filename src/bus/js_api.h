#pragma once

// The JetStream API (ADR-2) as a client asks it: JSON there and back, on candela's bus and on
// nats-server.

#include <string>

#include "base/json.h"
#include "bus/client.h"

namespace candela::bus {

inline constexpr int kJsStreamNotFound = 10059;

// The answer's JSON object, which may be an error of the API. kUnreachable where the account has no
// streams, or the bus none for it.
Task<Result<Json>> js_request(Client& client, std::string verb, Json body);

// 0: the answer is none.
int js_error_code(const Json& answer);
Error js_error(const Json& answer);

}  // namespace candela::bus
