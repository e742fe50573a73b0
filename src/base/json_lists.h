#pragma once

// Arrays in JSON that others sent, with their types checked.

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace candela {

// The texts of an array; none where the member is absent. kInvalid for any other type.
Result<std::vector<std::string>> json_strings(const Json& object, std::string_view key);

}  // namespace candela
