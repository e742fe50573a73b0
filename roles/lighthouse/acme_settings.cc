#include "acme_settings.h"

#include <algorithm>

#include "acme_jws.h"
#include "base/text.h"

namespace candela::lighthouse {

namespace {

constexpr size_t kDomainsMax = 256;

// RFC 1035 §2.3.4 and what authorities demand: labels of letters, digits and hyphens.
bool is_dns_name(std::string_view name) {
    if (name.empty() || name.size() > 253) return false;
    const auto labels = split(name, '.');
    const bool is_well_formed =
        std::all_of(labels.begin(), labels.end(), [](std::string_view label) {
            return !label.empty() && label.size() <= 63 && label.front() != '-' &&
                   label.back() != '-' && std::all_of(label.begin(), label.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                   });
        });
    // The last label of an IPv4 address is a number, that of a name never is (RFC 3696 §2).
    const std::string_view last = labels.back();
    return is_well_formed &&
           !std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

ConfigKey acme_key() {
    return config_table(
        "acme",
        ConfigSchema({
            config_string("directory", "",
                          "The ACME directory of the certificate authority that certificates for "
                          "the hosts of routes are ordered from, such as "
                          "https://acme-v02.api.letsencrypt.org/directory. Default: none are."),
            config_string("email", "", "Where the authority may write to. Default: nowhere."),
            config_strings("domains", {},
                           "Certificates are ordered for hosts that are one of these or below one "
                           "of them, and for no others.")
                .at_most(kDomainsMax),
            config_bool("agree_to_terms", "false",
                        "Whether you agree to the authority's terms of service; it must be true."),
            config_string("ca", "",
                          "A PEM file with the authority that the directory's own certificate must "
                          "come from. Default: the system's."),
            config_strings("challenges", {"http-01", "tls-alpn-01"},
                           "How the authority sees that a host is ours: http-01 (it connects to "
                           "port 80), tls-alpn-01 (443); the next one after a failure.")
                .one_of({"http-01", "tls-alpn-01"})
                .at_most(2),
            config_duration("renew_before", "",
                            "How long before its end a certificate is renewed. Default: a third of "
                            "its lifetime.")
                .range("1s", "90d"),
        }),
        "Certificates from an authority that speaks ACME, such as Let's Encrypt.");
}

void check_acme_settings(const Config& lighthouse, ConfigProblems& problems) {
    const Config& acme = lighthouse.table("acme");
    const std::string directory(acme.string("directory"));
    if (directory.empty()) return;
    const auto url = parse_acme_url(directory, false);
    if (!url) problems.add(acme.position("directory"), "directory: {}", url.error().message());
    if (!acme.boolean("agree_to_terms")) {
        problems.add(acme.position("directory"),
                     "directory: agree_to_terms = true says that you agree to the authority's "
                     "terms of service, without which it gives no certificates");
    }
    if (acme.strings("domains").empty()) {
        problems.add(acme.position("directory"),
                     "directory: domains says which hosts certificates are ordered for");
    }
    for (const std::string& domain : acme.strings("domains")) {
        if (is_dns_name(domain)) continue;
        problems.add(acme.position("domains"), "domains: \"{}\" is not a domain in lower case",
                     printable(domain, 80));
    }
    const std::string_view email = acme.string("email");
    if (!email.empty() && (email.find('@') == std::string_view::npos ||
                           email.find_first_of(" ,?<>\"") != std::string_view::npos)) {
        problems.add(acme.position("email"), "email: not one address");
    }
}

AcmeSettings read_acme_settings(const Config& lighthouse) {
    const Config& acme = lighthouse.table("acme");
    AcmeSettings settings;
    settings.directory = acme.string("directory");
    settings.email = acme.string("email");
    for (const std::string& domain : acme.strings("domains")) settings.domains.push_back(domain);
    settings.ca_file = acme.string("ca");
    for (const std::string& kind : acme.strings("challenges")) settings.challenges.push_back(kind);
    if (settings.challenges.empty()) settings.challenges = {"http-01"};
    if (acme.has_value("renew_before")) settings.renew_before = acme.duration("renew_before");
    return settings;
}

bool is_ordered_for(std::string_view host, const std::vector<std::string>& domains) {
    if (!is_dns_name(host)) return false;
    return std::any_of(domains.begin(), domains.end(), [&](const std::string& domain) {
        if (host == domain) return true;
        return host.size() > domain.size() + 1 && host.ends_with(domain) &&
               host[host.size() - domain.size() - 1] == '.';
    });
}

}  // namespace candela::lighthouse
