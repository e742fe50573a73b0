#pragma once

// The [lighthouse.acme] section of a profile.

#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace candela::lighthouse {

struct AcmeSettings {
    std::string directory;  // empty: no certificates are ordered
    std::string email;
    std::vector<std::string> domains;
    std::string ca_file;
    std::vector<std::string> challenges;
    Duration renew_before{};  // zero: a third of the lifetime

    bool is_on() const { return !directory.empty(); }
    bool operator==(const AcmeSettings&) const = default;
};

ConfigKey acme_key();
void check_acme_settings(const Config& lighthouse, ConfigProblems& problems);
AcmeSettings read_acme_settings(const Config& lighthouse);

// Whether a certificate for the host is to be ordered: a DNS name without wildcard that is one of
// the domains or below one.
bool is_ordered_for(std::string_view host, const std::vector<std::string>& domains);

}  // namespace candela::lighthouse
