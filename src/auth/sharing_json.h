#pragma once

// Exports, imports and mappings of an account's JWT. Internal to src/auth.

#include "auth/sharing.h"
#include "base/json.h"

namespace candela::auth {

Json exports_to_json(const std::vector<Export>& exports);
Json imports_to_json(const std::vector<Import>& imports);
Json mappings_to_json(const SubjectMappings& mappings);

// Absent or null is none; a member of the wrong type is an error.
Result<std::vector<Export>> exports_from_json(const Json& nats);
Result<std::vector<Import>> imports_from_json(const Json& nats);
Result<SubjectMappings> mappings_from_json(const Json& nats);

}  // namespace candela::auth
