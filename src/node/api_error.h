#pragma once

// What the lighthouse's API says when it refuses (docs/architecture.md, "API"): {"error": {"code",
// "message", "hint"}}. Pure.

#include <string>

#include "base/result.h"

namespace candela {

// By the code in the body, or else by the status.
Error api_error(int status, const std::string& body);
// The next command to try; empty where there is none.
std::string api_hint(const std::string& body);

}  // namespace candela
