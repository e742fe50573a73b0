// `candela ctl keys create|list|rotate|revoke`: credentials of people, CI jobs and programs. The
// key pair is made here, and only its public half goes to the lighthouse.

#include <nlohmann/json.hpp>

#include "auth/creds_file.h"
#include "auth/key_pair.h"
#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "loop/file.h"

namespace candela::ctl {

namespace {

// "team=viewer,shop=developer"
Json grants_of(std::string_view text) {
    Json grants = Json::array();
    for (const std::string_view grant : split(text, ',')) {
        if (!trim(grant).empty()) grants.push_back(trim(grant));
    }
    return grants;
}

Task<Result<int>> run_grant(Session& session, Arguments arguments) {
    const std::string key = arguments.text("KEY");
    Json wanted = {{"grants", grants_of(arguments.text("GRANTS"))}};
    auto answer =
        co_await session.api.put("/v1/keys/" + path_part(key) + "/grants", std::move(wanted));
    if (!answer) co_return fail(answer.error());
    if (session.json)
        session.terminal.out_json(*answer);
    else
        session.terminal.note(fmt::format("{} may {} from now on", json_string_or(*answer, "name"),
                                          join(string_list(*answer, "grants"), ", ")));
    co_return kOk;
}

Task<Result<int>> run_create(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NAME");
    const std::string out = arguments.text("--out", name + ".creds");
    std::error_code ignored;
    if (out != "-" && std::filesystem::exists(out, ignored)) {
        co_return fail(Code::kConflict, "{} is there already\ntry: --out FILE", out);
    }
    if (arguments.has("--expires")) {
        const auto checked = arguments.duration("--expires", Duration(0));
        if (!checked) co_return fail(checked.error());
    }
    const auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    Json wanted = {{"name", name},
                   {"space", session.space},
                   {"role", arguments.text("--role", "developer")},
                   {"public_key", key.public_key()}};
    if (arguments.has("--grants")) wanted["grants"] = grants_of(arguments.text("--grants"));
    if (arguments.has("--expires")) wanted["expires"] = arguments.text("--expires");
    if (arguments.has("--publish-rate")) {
        const Result<uint64_t> rate = parse_uint(arguments.text("--publish-rate"));
        if (!rate) {
            co_return fail(Code::kInvalid, "--publish-rate: {} is not a number of messages",
                           printable(arguments.text("--publish-rate"), 40));
        }
        wanted["publish_rate"] = *rate;
    }
    if (arguments.has("--publish-bytes")) {
        wanted["publish_bytes"] = arguments.text("--publish-bytes");
    }
    auto answer = co_await session.api.post("/v1/keys", std::move(wanted));
    if (!answer) co_return fail(answer.error());
    const std::string jwt = json_string_or(*answer, "jwt");
    const Secret creds = auth::format_creds(jwt, key);
    if (out == "-") {
        session.terminal.out(creds.reveal());
        co_return kOk;
    }
    auto written = write_file(out, creds.reveal(), 0600);
    if (!written) co_return fail(written.error());
    if (session.json) {
        const Json made = {{"name", name},
                           {"space", session.space},
                           {"public", key.public_key()},
                           {"file", out},
                           {"expires_at", json_string_or(*answer, "expires_at")}};
        session.terminal.out_json(made);
    } else {
        session.terminal.out(out + "\n");
        session.terminal.note(fmt::format("{} holds a secret key: it is the only copy", out));
        session.terminal.note(
            fmt::format("key {} of {}; revoke it with: candela ctl keys revoke {}",
                        key.public_key(), name, key.public_key()));
    }
    co_return kOk;
}

Task<Result<int>> run_list(Session& session, Arguments) {
    auto answer = co_await session.api.get("/v1/keys?space=" + path_part(session.space));
    if (!answer) co_return fail(answer.error());
    const Json& keys = list_of(*answer, "keys");
    if (session.json) {
        const Json all = {{"keys", keys}};
        session.terminal.out_json(all);
        co_return kOk;
    }
    const WallTime now = session.loop.wall();
    Table table({"NAME", "SPACE", "ROLE", "AGE", "EXPIRES", "STATE", "KEY"});
    for (const Json& key : keys) {
        const std::string expires = json_string_or(key, "expires_at");
        const auto grants = string_list(key, "grants");
        const bool is_revoked = json_bool_or(key, "revoked", false);
        const bool is_ending = !json_string_or(key, "rotated_to").empty();
        table.add({json_string_or(key, "name"), json_string_or(key, "space"),
                   grants.empty() ? json_string_or(key, "role") : join(grants, " "),
                   age(json_string_or(key, "created_at"), now), expires.empty() ? "never" : expires,
                   is_revoked  ? "revoked"
                   : is_ending ? "rotated"
                               : "valid",
                   json_string_or(key, "public")});
    }
    session.terminal.out(table.render());
    co_return kOk;
}

Task<Result<int>> run_rotate(Session& session, Arguments arguments) {
    const std::string key = arguments.text("KEY");
    const std::string out = arguments.text("--out", key + ".creds");
    std::error_code ignored;
    if (out != "-" && std::filesystem::exists(out, ignored)) {
        co_return fail(Code::kConflict, "{} is there already\ntry: --out FILE", out);
    }
    if (arguments.has("--overlap")) {
        const auto checked = arguments.duration("--overlap", Duration(0));
        if (!checked) co_return fail(checked.error());
    }
    const auth::KeyPair fresh = auth::KeyPair::generate(auth::KeyKind::kUser);
    // Before anything ends: there has to be a place for what takes its place.
    if (out != "-") {
        const auto opened = write_file(out, "", 0600);
        if (!opened) co_return fail(opened.error());
    }
    Json wanted = {{"public_key", fresh.public_key()}};
    if (arguments.has("--overlap")) wanted["overlap"] = arguments.text("--overlap");
    auto answer =
        co_await session.api.post("/v1/keys/" + path_part(key) + "/rotate", std::move(wanted));
    if (!answer) {
        if (out != "-") std::filesystem::remove(out, ignored);
        co_return fail(answer.error());
    }
    const Secret creds = auth::format_creds(json_string_or(*answer, "jwt"), fresh);
    if (out == "-") {
        session.terminal.out(creds.reveal());
        co_return kOk;
    }
    auto written = write_file(out, creds.reveal(), 0600);
    if (!written) co_return fail(written.error());
    const std::string ends_at = json_string_or(*answer, "old_ends_at");
    if (session.json) {
        const Json made = {{"name", json_string_or(*answer, "name")},
                           {"space", json_string_or(*answer, "space")},
                           {"public", fresh.public_key()},
                           {"file", out},
                           {"expires_at", json_string_or(*answer, "expires_at")},
                           {"replaces", key},
                           {"old_ends_at", ends_at}};
        session.terminal.out_json(made);
    } else {
        session.terminal.out(out + "\n");
        session.terminal.note(fmt::format("{} holds a secret key: it is the only copy", out));
        session.terminal.note(fmt::format("key {} takes the place of {}, which ends at {}",
                                          fresh.public_key(), key, ends_at));
    }
    co_return kOk;
}

Task<Result<int>> run_revoke(Session& session, Arguments arguments) {
    const std::string key = arguments.text("KEY");
    auto answer = co_await session.api.remove("/v1/keys/" + path_part(key));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        const Json done = {{"public", key}, {"revoked", true}};
        session.terminal.out_json(done);
    } else {
        session.terminal.note(fmt::format("{} is revoked", key));
    }
    co_return kOk;
}

}  // namespace

Verb keys_create_verb() {
    return Verb{"keys",
                "create",
                "Makes a key and its .creds file",
                {{"NAME", "Whose it is."}},
                {{"--role", "", "ROLE", "viewer, developer (default) or operator"},
                 {"--grants", "", "GRANTS", "For several spaces: team=viewer,shop=developer"},
                 {"--expires", "", "TIME", "When it ends: 1h, 30d (default: never)"},
                 {"--publish-rate", "", "N", "Messages a second that it may publish"},
                 {"--publish-bytes", "", "SIZE", "The same in bytes: 1MiB"},
                 {"--out", "-o", "FILE", "The file to write (NAME.creds); - is stdout"}},
                true,
                run_create};
}
Verb keys_list_verb() {
    return Verb{"keys", "list", "The keys of the space", {}, {}, true, run_list};
}
Verb keys_rotate_verb() {
    return Verb{"keys",
                "rotate",
                "Makes a new key in place of an old one, with all that it may",
                {{"KEY", "The old one's public key, \"U…\"."}},
                {{"--overlap", "", "TIME", "How long the old one still works (1h); 0s: not at all"},
                 {"--out", "-o", "FILE", "The file to write (KEY.creds); - is stdout"}},
                true,
                run_rotate};
}
Verb keys_grant_verb() {
    return Verb{
        "keys",
        "grant",
        "What a key that was made with --grants may from now on",
        {{"KEY", "Its public key."}, {"GRANTS", "team=viewer,shop=developer; \"\": nothing."}},
        {},
        true,
        run_grant};
}
Verb keys_revoke_verb() {
    return Verb{"keys",
                "revoke",
                "Makes a key worthless, within seconds",
                {{"KEY", "Its public key, \"U…\"."}},
                {},
                true,
                run_revoke};
}

}  // namespace candela::ctl
