#pragma once

// What of a built copy goes into the bundle, written as lines of .candelaignore. Values, but for a
// look at what is there.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "build/project.h"
#include "build/recipe.h"

namespace candela::build {

// `own` is the text of the project's own .candelaignore, which has the last word. kInvalid where
// an output is not there.
Result<std::string> bundle_rules(const Recipe& recipe, const Project& built, std::string_view own);

// Lines that leave out everything below `folder` ("": the root) but these paths.
std::string rules_that_keep(std::string_view folder, std::vector<std::string> paths);

}  // namespace candela::build
