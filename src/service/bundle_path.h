#pragma once

// Which names and link targets a bundle may contain. Pure functions over text.

#include <string>
#include <string_view>

#include "base/result.h"
#include "service/bundle.h"

namespace candela::service {

// The normal form of an entry's name: relative, parts without ".", no slash at its ends; "" is the
// root itself. kInvalid: absolute, "..", NUL, not UTF-8; kExhausted: too long or too deep.
Result<std::string> normal_entry_path(std::string_view name, const BundleLimits& limits);

// A link's target must be relative, climb (by leading "..") no higher than the bundle's root, and
// have no ".." after a name. Links of this form can't lead out, not even through one another: by
// induction each starts inside and then only descends. `link` is the link's own name in normal
// form.
Result<> check_link_target(std::string_view link, std::string_view target,
                           const BundleLimits& limits);

}  // namespace candela::service
