// The answers that are long lists: connections and subscriptions. Loops first say what they have
// and how it sorts; only the rows that are shown are then looked at.

#include <algorithm>
#include <array>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "bus/subject.h"
#include "monitoring/inspect.h"
#include "monitoring/monitor.h"

namespace candela::bus_role {

namespace {

using Sort = ConnectionQuery::Sort;
using State = ConnectionQuery::State;

struct SortName {
    std::string_view name;
    Sort sort;
};
constexpr std::array<SortName, 14> kSorts{{{"cid", Sort::kId},
                                           {"start", Sort::kStart},
                                           {"subs", Sort::kSubscriptions},
                                           {"pending", Sort::kPending},
                                           {"msgs_to", Sort::kMessagesTo},
                                           {"msgs_from", Sort::kMessagesFrom},
                                           {"bytes_to", Sort::kBytesTo},
                                           {"bytes_from", Sort::kBytesFrom},
                                           {"last", Sort::kLast},
                                           {"idle", Sort::kIdle},
                                           {"uptime", Sort::kUptime},
                                           {"rtt", Sort::kRtt},
                                           {"stop", Sort::kStop},
                                           {"reason", Sort::kReason}}};

std::string_view text_of(const Monitor::Parameters& parameters, std::string_view name) {
    const auto found = parameters.find(name);
    return found == parameters.end() ? std::string_view() : std::string_view(found->second);
}

Result<uint64_t> number_of(const Monitor::Parameters& parameters, std::string_view name,
                           uint64_t fallback) {
    const std::string_view text = text_of(parameters, name);
    if (text.empty() || text.starts_with('-')) return fallback;
    const Result<uint64_t> value = parse_uint(text);
    if (value) return *value;
    return fail(Code::kInvalid, "Error decoding integer for '{}': {}", name, printable(text));
}

Result<bool> flag_of(const Monitor::Parameters& parameters, std::string_view name) {
    const std::string_view text = text_of(parameters, name);
    if (text.empty() || text == "0" || ascii_iequals(text, "false")) return false;
    if (text == "1" || ascii_iequals(text, "true")) return true;
    return fail(Code::kInvalid, "Error decoding boolean for '{}': {}", name, printable(text));
}

struct Page {
    uint64_t offset = 0;
    uint64_t limit = Monitor::kRowsDefault;
};

Result<Page> page_of(const Monitor::Parameters& parameters) {
    Page page;
    CANDELA_TRY_ASSIGN(page.offset, number_of(parameters, "offset", 0));
    CANDELA_TRY_ASSIGN(page.limit, number_of(parameters, "limit", Monitor::kRowsDefault));
    if (page.limit == 0) page.limit = Monitor::kRowsDefault;
    page.limit = std::min(page.limit, Monitor::kRowsMax);
    return page;
}

struct ConnzOptions {
    ConnectionQuery query;
    Page page;
    bool auth = false;
    bool detail = false;
};

Result<State> state_of(std::string_view text) {
    if (text.empty() || ascii_iequals(text, "open")) return State::kOpen;
    if (ascii_iequals(text, "closed")) return State::kClosed;
    if (ascii_iequals(text, "any") || ascii_iequals(text, "all")) return State::kAny;
    return fail(Code::kInvalid, "Error decoding state for {}", printable(text));
}

Result<ConnzOptions> connz_options(const Monitor::Parameters& parameters) {
    ConnzOptions out;
    ConnectionQuery& query = out.query;
    CANDELA_TRY_ASSIGN(query.state, state_of(text_of(parameters, "state")));
    const std::string_view sort = text_of(parameters, "sort");
    const auto found = std::find_if(kSorts.begin(), kSorts.end(),
                                    [&](const SortName& each) { return each.name == sort; });
    if (found != kSorts.end())
        query.sort = found->sort;
    else if (!sort.empty())
        return fail(Code::kInvalid, "invalid sorting option: {}", printable(sort));
    const bool is_of_closed = query.sort == Sort::kStop || query.sort == Sort::kReason;
    if (is_of_closed && query.state == State::kOpen) {
        return fail(Code::kInvalid, "sort by {} only valid on closed connections", sort);
    }
    CANDELA_TRY_ASSIGN(query.id, number_of(parameters, "cid", 0));
    query.account = std::string(text_of(parameters, "acc"));
    query.user = std::string(text_of(parameters, "user"));
    query.filter_subject = std::string(text_of(parameters, "filter_subject"));
    if (!query.filter_subject.empty() && !bus::is_valid_pattern(query.filter_subject)) {
        return fail(Code::kInvalid, "filter subject is not valid");
    }
    CANDELA_TRY_ASSIGN(out.auth, flag_of(parameters, "auth"));
    out.detail = text_of(parameters, "subs") == "detail";
    query.with_subscriptions = out.detail;
    if (!out.detail) {
        CANDELA_TRY_ASSIGN(query.with_subscriptions, flag_of(parameters, "subs"));
    }
    CANDELA_TRY_ASSIGN(out.page, page_of(parameters));
    return out;
}

void put(Json& out, std::string_view key, const std::string& text) {
    if (!text.empty()) out[std::string(key)] = text;
}

Json to_json(const SubscriptionReport& report) {
    Json out = {{"subject", report.subject},
                {"sid", report.sid},
                {"msgs", report.messages},
                {"cid", report.connection}};
    put(out, "account", report.account);
    put(out, "qgroup", report.queue);
    if (report.max != 0) out["max"] = report.max;
    return out;
}

Json to_json(const ConnectionReport& report, const ConnzOptions& options, WallTime now) {
    const WallTime end = report.is_closed ? report.stop : now;
    const auto since = [&](WallTime start) { return std::max<Duration>(end - start, 0ns); };
    Json out = {{"cid", report.id},
                {"kind", "Client"},
                {"type", report.kind},
                {"ip", report.host},
                {"port", report.port},
                {"start", format_rfc3339(report.start)},
                {"last_activity", format_rfc3339(report.last_activity)},
                {"uptime", format_uptime(since(report.start))},
                {"idle", format_uptime(since(report.last_activity))},
                {"pending_bytes", report.pending_bytes},
                {"in_msgs", report.traffic.in_messages},
                {"out_msgs", report.traffic.out_messages},
                {"in_bytes", report.traffic.in_bytes},
                {"out_bytes", report.traffic.out_bytes},
                {"subscriptions", report.subscription_count}};
    if (report.rtt != 0ns) out["rtt"] = format_go_duration(report.rtt);
    put(out, "name", report.name);
    put(out, "lang", report.language);
    put(out, "version", report.version);
    put(out, "tls_version", report.tls_version);
    put(out, "tls_cipher_suite", report.tls_cipher);
    if (report.is_closed) {
        out["stop"] = format_rfc3339(report.stop);
        out["reason"] = report.reason;
    }
    if (options.auth) {
        put(out, "authorized_user", report.user);
        put(out, "account", report.account);
    }
    if (options.auth || report.is_closed) {
        put(out, "issuer_key", report.issuer);
        put(out, "name_tag", report.user_name);
    }
    if (!options.query.with_subscriptions || report.subscriptions.empty()) return out;
    Json list = Json::array();
    for (const SubscriptionReport& subscription : report.subscriptions) {
        list.push_back(options.detail ? to_json(subscription) : Json(subscription.subject));
    }
    out[options.detail ? "subscriptions_list_detail" : "subscriptions_list"] = std::move(list);
    return out;
}

bool comes_before(const ConnectionKey& a, const ConnectionKey& b) {
    if (a.rank != b.rank) return a.rank < b.rank;
    return a.text != b.text ? a.text < b.text : a.id < b.id;
}

}  // namespace

void Monitor::connz(const Parameters& parameters, Done done) {
    Result<ConnzOptions> parsed = connz_options(parameters);
    if (!parsed) return done(fail(parsed.error()));
    const auto options = std::make_shared<const ConnzOptions>(std::move(*parsed));
    gather<std::vector<ConnectionKey>>(
        [options](Server& server) { return inspect::keys(server, options->query); },
        [this, options,
         done = std::move(done)](std::vector<std::vector<ConnectionKey>> parts) mutable {
            std::vector<ConnectionKey> all;
            for (std::vector<ConnectionKey>& part : parts) {
                std::move(part.begin(), part.end(), std::back_inserter(all));
            }
            const auto total = all.size();
            const auto [offset, limit] = options->page;
            const auto first = static_cast<size_t>(std::min<uint64_t>(offset, total));
            const auto last = static_cast<size_t>(std::min<uint64_t>(first + limit, total));
            const auto at = [&](size_t index) {
                return all.begin() + static_cast<ptrdiff_t>(index);
            };
            std::partial_sort(all.begin(), at(last), all.end(), comes_before);
            const auto shown =
                std::make_shared<const std::vector<ConnectionKey>>(at(first), at(last));
            gather<std::vector<ConnectionReport>>(
                [options, shown](Server& server) {
                    return inspect::connections(server, *shown, options->query);
                },
                [this, options, shown, total,
                 done = std::move(done)](std::vector<std::vector<ConnectionReport>> found) mutable {
                    std::map<uint64_t, const ConnectionReport*> by_id;
                    for (const auto& part : found) {
                        for (const ConnectionReport& report : part) by_id[report.id] = &report;
                    }
                    Json rows = Json::array();
                    for (const ConnectionKey& key : *shown) {
                        const auto report = by_id.find(key.id);
                        if (report == by_id.end()) continue;
                        rows.push_back(to_json(*report->second, *options, server_.loop().wall()));
                    }
                    Json out = head();
                    out.update({{"num_connections", rows.size()},
                                {"total", total},
                                {"offset", options->page.offset},
                                {"limit", options->query.id != 0 ? 1 : options->page.limit},
                                {"connections", std::move(rows)}});
                    done(std::move(out));
                });
        });
}

void Monitor::subsz(const Parameters& parameters, Done done) {
    struct Options {
        SubscriptionQuery query;
        Page page;
        bool listed = false;
    };
    const auto options = std::make_shared<Options>();
    Result<Page> page = page_of(parameters);
    if (!page) return done(fail(page.error()));
    Result<bool> listed = flag_of(parameters, "subs");
    if (!listed) return done(fail(listed.error()));
    options->page = *page;
    options->listed = *listed;
    options->query.account = std::string(text_of(parameters, "acc"));
    options->query.test = std::string(text_of(parameters, "test"));
    if (!options->query.test.empty() && !bus::is_valid_subject(options->query.test)) {
        return done(
            fail(Code::kInvalid, "Error decoding subject for 'test': invalid test subject"));
    }
    struct Counted {
        uint64_t count = 0;
        SublistReport sublist;
    };
    gather<Counted>(
        [options](Server& server) {
            Counted out;
            const std::string& account = options->query.account;
            TotalsReport totals = inspect::totals(server, account);
            out.sublist = account.empty() ? totals.sublist : totals.accounts[account].sublist;
            if (options->listed) {
                out.count = inspect::count_subscriptions(server, options->query);
            }
            return out;
        },
        [this, options, done = std::move(done)](std::vector<Counted> counted) mutable {
            // Which loop's rows are shown follows from how many the ones before have.
            std::vector<std::pair<uint64_t, uint64_t>> slices;
            SublistReport sublist;
            uint64_t total = 0, skip = options->page.offset, take = options->page.limit;
            for (const Counted& part : counted) {
                sublist += part.sublist;
                total += part.count;
                const uint64_t skipped = std::min(skip, part.count);
                const uint64_t taken = std::min(take, part.count - skipped);
                slices.emplace_back(skipped, taken);
                skip -= skipped;
                take -= taken;
            }
            const auto shown = std::make_shared<decltype(slices)>(std::move(slices));
            gather<std::vector<SubscriptionReport>>(
                [options, shown](Server& server) {
                    const auto [skipped, taken] = (*shown)[server.index()];
                    return inspect::subscriptions(server, options->query, skipped, taken);
                },
                [this, options, sublist, total, done = std::move(done)](
                    std::vector<std::vector<SubscriptionReport>> found) mutable {
                    Json out = head();
                    const auto part = [&](uint64_t value) {
                        return sublist.matches == 0 ? 0.0
                                                    : static_cast<double>(value) /
                                                          static_cast<double>(sublist.matches);
                    };
                    out.update({{"num_subscriptions", sublist.subscriptions},
                                {"num_cache", sublist.cached},
                                {"num_inserts", sublist.inserts},
                                {"num_removes", sublist.removes},
                                {"num_matches", sublist.matches},
                                {"cache_hit_rate", part(sublist.cache_hits)},
                                {"max_fanout", sublist.fanout_max},
                                {"avg_fanout", part(sublist.fanout_sum)},
                                {"total", options->listed ? total : sublist.subscriptions},
                                {"offset", options->page.offset},
                                {"limit", options->page.limit}});
                    if (options->listed) {
                        Json rows = Json::array();
                        for (const auto& part_found : found) {
                            for (const SubscriptionReport& report : part_found) {
                                rows.push_back(to_json(report));
                            }
                        }
                        out["subscriptions_list"] = std::move(rows);
                    }
                    done(std::move(out));
                });
        });
}

}  // namespace candela::bus_role
