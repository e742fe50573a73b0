#pragma once

// What other tools (docker, kubectl, git, heroku) call a thing: for hints to those who come from
// them.

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace candela::ctl {

// Our word for theirs, among those that are known here.
std::optional<std::string_view> meant_by(std::string_view word, std::span<const std::string> known);

}  // namespace candela::ctl
