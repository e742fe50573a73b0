// Certificates: which there are, and those that people bring. Private keys only come in.

#include <nlohmann/json.hpp>

#include "api.h"
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
void add_status(Json& certificates, const AcmeKeeper::HostStatus& status) {
    const std::string_view state = status.is_failing ? "failing" : "pending";
    Json* entry = nullptr;
    for (Json& certificate : certificates) {
        if (json_string_or(certificate, "name") == status.host) entry = &certificate;
    }
    if (entry == nullptr) {
        certificates.push_back(Json{{"name", status.host}, {"source", "acme"}});
        entry = &certificates.back();
    }
    // What is served still shows as such; that it can't be renewed, besides.
    if (!entry->contains("state")) (*entry)["state"] = state;
    (*entry)["error"] = status.error;
    (*entry)["next_attempt_at"] =
        status.next_at == WallTime() ? "" : format_rfc3339(status.next_at);
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
    Json certificates = Json::array();
    for (const auto& [name, held] : certificates_.all()) {
        if (concerns(held.info)) certificates.push_back(view_of(held, state_.loop().wall()));
    }
    Json body = Json::object();
    if (acme_ != nullptr) {
        for (const AcmeKeeper::HostStatus& status : acme_->unsettled()) {
            if (sees_all || hosts.contains(status.host)) add_status(certificates, status);
        }
        body["acme"] = view_of(*acme_);
    }
    body["certificates"] = std::move(certificates);
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
