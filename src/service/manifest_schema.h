#pragma once

// The keys of service.toml with their types, defaults and help. What a type can't express is in
// manifest_rules.h.

#include "base/config.h"

namespace candela::service {

const ConfigSchema& manifest_schema();

}  // namespace candela::service
