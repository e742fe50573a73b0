// What durable streams hold, account by account, and whether they work.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "monitoring/monitor.h"
#include "streams/consumer.h"
#include "streams/durable_stream.h"
#include "streams/jetstream.h"

namespace candela::bus_role {

namespace {

constexpr uint64_t kStreamsListedMax = 4096;  // streams and consumers of one answer

struct Wanted {
    std::string account;
    bool accounts = false;
    bool streams = false;
    bool consumers = false;
    bool config = false;
    uint64_t offset = 0;
    uint64_t limit = Monitor::kRowsDefault;
};

bool is_set(const Monitor::Parameters& parameters, std::string_view name) {
    const auto found = parameters.find(name);
    return found != parameters.end() && (found->second == "1" || found->second == "true");
}

Result<uint64_t> number_of(const Monitor::Parameters& parameters, std::string_view name,
                           uint64_t fallback) {
    const auto found = parameters.find(name);
    if (found == parameters.end() || found->second.empty()) return fallback;
    Result<uint64_t> value = parse_uint(found->second);
    if (value) return value;
    return fail(Code::kInvalid, "Error decoding integer for '{}'", name);
}

Result<Wanted> wanted_of(const Monitor::Parameters& parameters) {
    Wanted out;
    const auto account = parameters.find("acc");
    if (account != parameters.end()) out.account = account->second;
    out.config = is_set(parameters, "config");
    out.consumers = is_set(parameters, "consumers");
    out.streams = out.consumers || is_set(parameters, "streams");
    out.accounts = out.streams || !out.account.empty() || is_set(parameters, "accounts");
    CANDELA_TRY_ASSIGN(out.offset, number_of(parameters, "offset", 0));
    CANDELA_TRY_ASSIGN(out.limit, number_of(parameters, "limit", Monitor::kRowsDefault));
    if (out.limit == 0 || out.limit > Monitor::kRowsMax) out.limit = Monitor::kRowsMax;
    return out;
}

Json stream_json(DurableStream& stream, const Wanted& wanted, uint64_t& listed) {
    Json info = stream.info(false, {}, 0);
    Json out = {{"name", stream.config().name},
                {"created", std::move(info["created"])},
                {"state", std::move(info["state"])}};
    if (wanted.config) out["config"] = std::move(info["config"]);
    if (!wanted.consumers) return out;
    Json consumers = Json::array();
    for (const auto& [name, consumer] : stream.consumers) {
        if (listed++ >= kStreamsListedMax) break;
        Json one = consumer->info();
        if (!wanted.config) one.erase("config");
        consumers.push_back(std::move(one));
    }
    out["consumer_detail"] = std::move(consumers);
    return out;
}

Json details_of(JsAccount& account, std::string_view name, const Wanted& wanted, uint64_t& listed) {
    Json out = {{"name", name},
                {"id", account.key()},
                {"memory", account.stored_bytes(false)},
                {"storage", account.stored_bytes(true)},
                {"reserved_memory", 0},
                {"reserved_storage", 0},
                {"accounts", 0},
                {"ha_assets", 0},
                {"api", {{"total", account.api_requests}, {"errors", account.api_errors}}}};
    if (!wanted.streams) return out;
    Json streams = Json::array();
    for (const auto& [stream_name, stream] : account.streams) {
        if (listed++ >= kStreamsListedMax) break;
        streams.push_back(stream_json(*stream, wanted, listed));
    }
    out["stream_detail"] = std::move(streams);
    return out;
}

}  // namespace

void Monitor::jsz(const Parameters& parameters, Done done) { done(jsz_json(parameters)); }

Result<Json> Monitor::jsz_json(const Parameters& parameters) {
    CANDELA_TRY_ASSIGN(const Wanted wanted, wanted_of(parameters));
    Json out = head();
    if (streams_ == nullptr) return fail(Code::kUnsupported, "jetstream not enabled");
    uint64_t memory = 0, storage = 0, streams = 0, consumers = 0, messages = 0, bytes = 0;
    uint64_t requests = 0, errors = 0, listed = 0, at = 0;
    Json details = Json::array();
    bool is_found = wanted.account.empty();
    for (const auto& [key, account] : streams_->accounts()) {
        memory += account->stored_bytes(false);
        storage += account->stored_bytes(true);
        requests += account->api_requests;
        errors += account->api_errors;
        streams += account->streams.size();
        for (const auto& [name, stream] : account->streams) {
            consumers += stream->consumers.size();
            messages += stream->log().index().count();
            bytes += stream->log().index().bytes();
        }
        if (!wanted.account.empty() && wanted.account != key) continue;
        is_found = true;
        if (!wanted.accounts || at++ < wanted.offset || details.size() >= wanted.limit) continue;
        const Account* known = account->account();
        details.push_back(
            details_of(*account, known == nullptr ? key : known->claims.name, wanted, listed));
    }
    if (!is_found) return fail(Code::kInvalid, "account not found");
    out.update({{"config",
                 // No limits but those of the accounts.
                 {{"max_memory", -1},
                  {"max_storage", -1},
                  {"store_dir", facts_.streams_folder},
                  // Of the streams that ask for it; all others are synced before an ack.
                  {"sync_interval", StoreOptions().sync_interval.count()},
                  {"sync_always", true}}},
                {"memory", memory},
                {"storage", storage},
                {"reserved_memory", 0},
                {"reserved_storage", 0},
                {"accounts", streams_->accounts().size()},
                {"ha_assets", 0},
                {"api", {{"total", requests}, {"errors", errors}}},
                {"streams", streams},
                {"consumers", consumers},
                {"messages", messages},
                {"bytes", bytes}});
    if (wanted.accounts) out["account_details"] = std::move(details);
    // Found on the disk since the start, and logged each.
    if (const uint64_t damaged = streams_->store().counters().damaged_places; damaged != 0)
        out["damaged_places"] = damaged;
    return out;
}

}  // namespace candela::bus_role
