#pragma once

// Whether a role's credential still has what the role needs: one that an older candela has made may
// lack what came later, and the bus then refuses in silence what the role says. Blocks on a small
// file: for a node's start, and for the doctor. Pure but for that.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela {

// "publish candela.logs.>" each; empty: it has all. `node` is the node's name.
Result<std::vector<std::string>> lacking_permissions(const std::filesystem::path& creds_file,
                                                     std::string_view role, std::string_view node);
// What a person does about it.
std::string renewal_advice(const std::filesystem::path& creds_file);

}  // namespace candela
