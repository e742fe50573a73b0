// `candela ctl nodes join-token | join-tokens | join-token-rm | revoke`: who may become a node, and
// who no longer is one.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/table.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

constexpr Duration kTokenLifetime = 15min;

Task<Result<int>> run_make(Session& session, Arguments arguments) {
    auto lifetime = arguments.duration("--ttl", kTokenLifetime);
    if (!lifetime) co_return fail(lifetime.error());
    Json roles = Json::array();
    const std::string wanted_roles = arguments.text("--roles");
    for (const std::string_view role : split(wanted_roles, ',')) {
        if (!trim(role).empty()) roles.push_back(trim(role));
    }
    if (roles.empty()) {
        co_return fail(Code::kInvalid,
                       "what shall the machine be?\ntry: --roles host, or --roles gateway,host");
    }
    Json wanted = {
        {"roles", std::move(roles)},
        {"seconds", std::chrono::duration_cast<std::chrono::seconds>(*lifetime).count()}};
    if (arguments.has("--node")) wanted["node"] = arguments.text("--node");
    if (arguments.has("--url")) wanted["url"] = arguments.text("--url");
    auto answer = co_await session.api.post("/v1/join-tokens", std::move(wanted));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    session.terminal.out(json_string_or(*answer, "token") + "\n");
    session.terminal.note(fmt::format(
        "good once, until {}, for whoever has it\non the new machine: candela join TOKEN",
        json_string_or(*answer, "expires_at")));
    co_return kOk;
}

Task<Result<int>> run_list(Session& session, Arguments) {
    auto answer = co_await session.api.get("/v1/join-tokens");
    if (!answer) co_return fail(answer.error());
    const Json& tokens = list_of(*answer, "join_tokens");
    if (session.json) {
        const Json all = {{"join_tokens", tokens}};
        session.terminal.out_json(all);
        co_return kOk;
    }
    Table table({"ID", "ROLES", "NODE", "STATE", "UNTIL", "MADE BY", "USED BY"});
    for (const Json& token : tokens) {
        std::string roles;
        for (const Json& role : list_of(token, "roles")) {
            roles += (roles.empty() ? "" : ",") + role.get<std::string>();
        }
        const std::string used_by = json_string_or(token, "used_by");
        table.add({json_string_or(token, "id"), roles, json_string_or(token, "node"),
                   json_string_or(token, "state"), json_string_or(token, "expires_at"),
                   json_string_or(token, "made_by"),
                   used_by.empty()
                       ? ""
                       : fmt::format("{} from {}", used_by, json_string_or(token, "used_from"))});
    }
    session.terminal.out(table.render());
    co_return kOk;
}

Task<Result<int>> run_withdraw(Session& session, Arguments arguments) {
    const std::string id = arguments.text("ID");
    auto answer = co_await session.api.remove("/v1/join-tokens/" + path_part(id));
    if (!answer) co_return fail(answer.error());
    if (session.json)
        session.terminal.out_json(*answer);
    else
        session.terminal.out(fmt::format("{} is withdrawn\n", id));
    co_return kOk;
}

Task<Result<int>> run_revoke(Session& session, Arguments arguments) {
    const std::string node = arguments.text("NODE");
    auto answer = co_await session.api.post(fmt::format("/v1/nodes/{}/revoke", path_part(node)),
                                            Json::object());
    if (!answer) co_return fail(answer.error());
    if (session.json)
        session.terminal.out_json(*answer);
    else
        session.terminal.out(fmt::format("{} is cut off from the bus\n", node));
    session.terminal.note(fmt::format(
        "what is on it is placed elsewhere once it counts as lost; then: candela ctl nodes rm {}",
        node));
    co_return kOk;
}

}  // namespace

Verb nodes_join_token_verb() {
    return Verb{"nodes",
                "join-token",
                "Prints a token that lets one machine join (candela join TOKEN)",
                {},
                {{"--roles", "", "ROLES", "What it will be: host, gateway, bus, loadbalancer"},
                 {"--ttl", "", "TIME", "How long the token is good (15m)"},
                 {"--node", "", "NODE", "The name that it must take; may replace a node"},
                 {"--url", "", "URL", "https://HOST:PORT, where it reaches the lighthouse"}},
                true,
                run_make};
}
Verb nodes_join_tokens_verb() {
    return Verb{"nodes", "join-tokens", "Join tokens, and who has used them", {}, {},
                true,    run_list};
}
Verb nodes_join_token_remove_verb() {
    return Verb{"nodes",
                "join-token-rm",
                "Withdraws a join token",
                {{"ID", "As nodes join-tokens shows it."}},
                {},
                true,
                run_withdraw};
}
Verb nodes_revoke_verb() {
    return Verb{"nodes",
                "revoke",
                "Takes back what a node was given when it joined",
                {{"NODE", "Its name."}},
                {},
                true,
                run_revoke};
}

}  // namespace candela::ctl
