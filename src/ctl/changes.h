#pragma once

// How `plan` and `diff` show what would change, or has: a line for each key.

#include <vector>

#include "ctl/session.h"
#include "service/manifest_diff.h"

namespace candela::ctl {

// "~ instances  2 -> 3", "+ env.GREETING  "hi"", "- route[1].host  "x"".
std::string changes_text(const Session& session, const std::vector<service::Difference>& changes);
Json changes_json(const std::vector<service::Difference>& changes);
std::vector<service::Difference> changes_of_json(const Json& list);

}  // namespace candela::ctl
