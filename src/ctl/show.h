#pragma once

// What several verbs print, and the paths that several ask for.

#include <string>
#include <string_view>

#include "base/json.h"
#include "ctl/api_model.h"
#include "ctl/session.h"

namespace candela::ctl {

// "/v1/spaces/SPACE/services", "/v1/spaces/SPACE/services/NAME".
std::string service_path(std::string_view space, std::string_view service);

std::string nodes_table(const Session& session, const Json& nodes);
std::string services_table(const Session& session, const Json& services);
std::string instances_table(const Session& session, const Json& instances);

// Green for what is well, yellow for what is on its way, red for what a person should look at.
Style style_of_state(std::string_view state);

// Why a release failed: cause, probe answer and last log lines, on stderr.
void explain_failure(Session& session, const std::string& service, const ReleaseView& release);

}  // namespace candela::ctl
