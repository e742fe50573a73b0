// Certificates: which there are, and those that people bring. Private keys only come in.

#include <nlohmann/json.hpp>

#include "api.h"
#include "paging.h"
#include "planner.h"
#include "views.h"

namespace candela::lighthouse {

namespace {

// Hosts of routes in the spaces that the caller may see.
std::set<std::string> hosts_of(const Wanted& wanted,
                               const std::function<bool(std::string_view)>& may_see) {
    std::set<std::string> hosts;
    for (const auto& [key, service] : wanted.services) {
        if (!may_see(key.first)) continue;
        for (const service::Route& route : routes_of(service)) hosts.insert(route.host);
    }
    return hosts;
}

// Into the entry of the host's certificate, or one of its own where it has none yet.
void add_status(Json& entry, const AcmeKeeper::HostStatus& status) {
    // What is served still shows as such; that it can't be renewed, besides.
    if (!entry.contains("state")) entry["state"] = status.is_failing ? "failing" : "pending";
    entry["error"] = status.error;
    entry["next_attempt_at"] = status.next_at == WallTime() ? "" : format_rfc3339(status.next_at);
}

}  // namespace

Task<Result<>> Api::list_certificates(Call& call) {
    const bool sees_all = call.who.is_operator();
    const auto hosts = hosts_of(state_.wanted(), [&](std::string_view space) {
        return sees_all || may_see(call.who, space);
    });
    const auto concerns = [&](const tls::CertificateInfo& info) {
        return sees_all || std::any_of(hosts.begin(), hosts.end(), [&](const std::string& host) {
                   return tls::covers(info, host);
               });
    };
    struct Entry {
        const HeldCertificate* held = nullptr;
        std::optional<AcmeKeeper::HostStatus> status;
    };
    std::map<std::string, Entry> entries;
    for (const auto& [name, held] : certificates_.all()) {
        if (concerns(held.info)) entries[name].held = &held;
    }
    if (acme_ != nullptr) {
        for (AcmeKeeper::HostStatus& status : acme_->unsettled()) {
            const std::string host = status.host;
            if (sees_all || hosts.contains(host)) entries[host].status = std::move(status);
        }
    }
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    page->fill(entries, [&](Page& into, const Entry& entry) {
        Json view = entry.held != nullptr ? view_of(*entry.held, state_.loop().wall())
                                          : Json{{"name", entry.status->host}, {"source", "acme"}};
        if (entry.status) add_status(view, *entry.status);
        into.add(std::move(view));
    });
    Json body = std::move(*page).answer("certificates");
    if (acme_ != nullptr) body["acme"] = view_of(*acme_);
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::add_certificate(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    tls::KeyPair pair;
    CO_TRY_ASSIGN(pair.certificate_pem, json_string(*json, "certificate"));
    CO_TRY_ASSIGN(std::string key, json_string(*json, "key"));
    pair.key_pem = Secret(std::move(key));
    std::string name = json_string_or(*json, "name");
    auto put =
        co_await certificates_.put(std::move(name), CertificateSource::kAdded, std::move(pair));
    if (!put) co_return fail(put.error());
    const auto held = certificates_.all().find(*put);
    if (held == certificates_.all().end()) {
        co_return fail(Code::kConflict, "the certificate is gone again");
    }
    call.note = *put;
    respond(call, 201, view_of(held->second, state_.loop().wall()));
    co_return Result<>();
}

Task<Result<>> Api::delete_certificate(Call& call) {
    const std::string name = call.param("name");
    auto removed = co_await certificates_.remove(name);
    if (!removed) co_return fail(removed.error());
    const Json body = {{"name", name}, {"deleted", true}};
    respond(call, 200, body);
    co_return Result<>();
}

}  // namespace candela::lighthouse
