// `candela ctl certificates list|add|delete`: what gateways serve HTTPS with.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "loop/file.h"

namespace candela::ctl {

namespace {

constexpr size_t kPemBytesMax = 256 * 1024;

// "in 89d", "3h ago".
std::string expiry(const Json& certificate) {
    if (json_string_or(certificate, "expires_at").empty()) return "-";
    const Duration left = std::chrono::seconds(json_int_or(certificate, "expires_in_seconds", 0));
    if (left <= Duration::zero()) return short_duration(-left) + " ago";
    return "in " + short_duration(left);
}

// What should be known of the authority before its certificates are asked about.
void note_authority(Session& session, const Json& answer) {
    const auto acme = answer.find("acme");
    if (acme == answer.end() || !acme->is_object()) return;
    const std::string error = json_string_or(*acme, "error");
    if (error.empty()) return;
    session.terminal.note(fmt::format("{} {}", session.terminal.paint_note(Style::kRed, "acme:"),
                                      printable(error, 2000)));
    const std::string next = json_string_or(*acme, "next_attempt_at");
    if (!next.empty()) session.terminal.note("acme: tried again at " + next);
}

Task<Result<int>> run_list(Session& session, Arguments) {
    auto answer = co_await session.api.get("/v1/certificates");
    if (!answer) co_return fail(answer.error());
    const Json& certificates = list_of(*answer, "certificates");
    if (session.json) {
        Json all = {{"certificates", certificates}};
        if (answer->contains("acme")) all["acme"] = (*answer)["acme"];
        session.terminal.out_json(all);
        co_return kOk;
    }
    note_authority(session, *answer);
    Table table({"NAME", "STATE", "EXPIRES", "SOURCE", "ISSUER", "FOR", "NOTE"});
    for (const Json& item : certificates) {
        const std::string issuer = json_string_or(item, "issuer");
        table.add({json_string_or(item, "name"), json_string_or(item, "state"), expiry(item),
                   json_string_or(item, "source"), issuer.empty() ? "-" : issuer,
                   cut_to_width(join(string_list(item, "names"), ","), 60),
                   cut_to_width(json_string_or(item, "error"), 200)});
    }
    session.terminal.out(table.render([&](size_t column, const std::string& cell) {
        if (column != 1) return cell;
        const Style style = cell == "valid"     ? Style::kGreen
                            : cell == "pending" ? Style::kYellow
                                                : Style::kRed;
        return session.terminal.paint(style, cell);
    }));
    co_return kOk;
}

Task<Result<int>> run_add(Session& session, Arguments arguments) {
    const std::string certificate_file = arguments.text("--cert");
    const std::string key_file = arguments.text("--key");
    if (certificate_file.empty() || key_file.empty()) {
        co_return fail(Code::kInvalid, "{} is missing\ntry: --cert chain.pem --key key.pem",
                       certificate_file.empty() ? "--cert" : "--key");
    }
    auto certificate = read_file(certificate_file, kPemBytesMax);
    if (!certificate) co_return fail(certificate.error());
    auto key = read_file(key_file, kPemBytesMax);
    if (!key) co_return fail(key.error());
    Json wanted = {{"certificate", *certificate}, {"key", *key}};
    if (arguments.has("--name")) wanted["name"] = arguments.text("--name");
    auto answer = co_await session.api.post("/v1/certificates", std::move(wanted));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    session.terminal.note(fmt::format("{}: for {}, by {}, expires {}",
                                      json_string_or(*answer, "name"),
                                      join(string_list(*answer, "names"), ", "),
                                      json_string_or(*answer, "issuer"), expiry(*answer)));
    co_return kOk;
}

Task<Result<int>> run_delete(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NAME");
    auto answer = co_await session.api.remove("/v1/certificates/" + path_part(name));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        const Json done = {{"name", name}, {"deleted", true}};
        session.terminal.out_json(done);
    } else {
        session.terminal.note(fmt::format("{} is deleted", name));
    }
    co_return kOk;
}

}  // namespace

Verb certificates_list_verb() {
    return Verb{"certificates",
                "list",
                "The certificates that gateways serve, and those that are wanted",
                {},
                {},
                true,
                run_list};
}
Verb certificates_add_verb() {
    return Verb{"certificates",
                "add",
                "Gives the gateways a certificate, or a newer one",
                {},
                {{"--cert", "", "FILE", "PEM: the certificate, then its chain"},
                 {"--key", "", "FILE", "PEM: its private key, without a passphrase"},
                 {"--name", "", "NAME", "What to call it (default: the first host in it)"}},
                true,
                run_add};
}
Verb certificates_delete_verb() {
    return Verb{"certificates",
                "delete",
                "Takes a certificate from the gateways",
                {{"NAME", "As certificates list shows it."}},
                {},
                true,
                run_delete};
}

}  // namespace candela::ctl
