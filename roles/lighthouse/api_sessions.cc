// Into an instance: a program beside it (exec), or a connection to its port (forward). The caller's
// connection becomes a stream that is joined with a tunnel to the instance's host, wherever that
// is; it ends when either side does, or when the caller's credential does.

#include <algorithm>

#include "api.h"
#include "base/text.h"
#include "loop/relay.h"
#include "planner.h"
#include "service/build_wish.h"
#include "service/session_frame.h"

namespace candela::lighthouse {

namespace {

constexpr Duration kTunnelTimeout = 10s;
constexpr std::string_view kProtocol = "candela-stream";

// Counts those that are open.
class Open {
public:
    explicit Open(size_t& count) : count_(count) { ++count_; }
    ~Open() { --count_; }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

private:
    size_t& count_;
};

Result<uint16_t> window_number(std::string_view text, uint16_t fallback) {
    if (text.empty()) return fallback;
    CANDELA_TRY_ASSIGN(const uint64_t number, parse_uint(text));
    constexpr uint64_t kMax = 10'000;
    return static_cast<uint16_t>(std::clamp<uint64_t>(number, 1, kMax));
}

}  // namespace

Result<const Instance*> Api::find_running(const Call& call) const {
    const std::string& id = call.param("instance");
    const auto found = state_.wanted().instances.find(id);
    if (found == state_.wanted().instances.end() ||
        found->second.service.first != call.param("space")) {
        return fail(Code::kNotFound, "there is no instance '{}' in the space {}", printable(id),
                    call.param("space"));
    }
    return &found->second;
}

// The caller's connection joined with the tunnel, until it is over.
Task<Result<>> Api::join_streams(Call& call, std::string subject, std::string target) {
    if (sessions_open_ >= kJoinedMax) {
        co_return fail(Code::kExhausted, "{} connections into instances are open already",
                       kJoinedMax);
    }
    // Before anything is begun that nobody would hear of.
    const auto asked = call.request.header("upgrade");
    if (!asked || !ascii_iequals(*asked, kProtocol)) {
        co_return fail(Code::kInvalid, "this wants the header Upgrade: {}", kProtocol);
    }
    const Open open(sessions_open_);
    auto opening = bus_.open_tunnel(std::move(subject), std::move(target), kTunnelTimeout);
    auto tunnel = co_await std::move(opening);
    if (!tunnel) {
        co_return fail(tunnel.error().in("the instance's host"));
    }
    auto stream = call.request.upgrade(kProtocol);
    if (!stream) co_return fail(stream.error());
    Relay relay(state_.loop(), std::move(*stream), std::move(*tunnel));
    for (;;) {
        auto waiting = relay.wait();
        auto bounded = with_timeout(state_.loop(), kRecheckInterval, "session", std::move(waiting));
        const auto over = co_await std::move(bounded);
        // How a connection breaks is no failure of what was asked for.
        if (over || over.error().code() != Code::kTimeout) co_return Result<>();
        CO_TRY(check_still_valid(call.who));
    }
}

Task<Result<>> Api::exec(Call& call) {
    auto instance = find_running(call);
    if (!instance) co_return fail(instance.error());
    service::SessionWish wish;
    wish.instance = (*instance)->id;
    for (const auto& [name, value] : call.request.query()) {
        if (name == "argument") wish.command.push_back(value);
    }
    wish.has_terminal = call.query("terminal") == "1";
    wish.terminal_kind = call.query("kind");
    CO_TRY_ASSIGN(wish.window.rows, window_number(call.query("rows"), wish.window.rows));
    CO_TRY_ASSIGN(wish.window.columns, window_number(call.query("columns"), wish.window.columns));
    const std::string target = service::to_text(wish);
    CO_TRY(service::parse_session_wish(target));
    // Of its arguments only how many: they may hold secrets.
    call.note = fmt::format("{} with {} argument{}{}", cut_utf8(wish.command.front(), 200),
                            wish.command.size() - 1, wish.command.size() == 2 ? "" : "s",
                            wish.has_terminal ? ", on a terminal" : "");
    auto joined = co_await join_streams(call, "candela.exec." + (*instance)->node, target);
    co_return joined;
}

// A host that nothing is wrong with: the one named, or that with the least to do.
Result<std::string> Api::choose_builder(const std::string& wanted) const {
    const Node* best = nullptr;
    std::string why_not;
    for (const auto& [name, node] : state_.seen().nodes) {
        if (!node.has_role("host") || (!wanted.empty() && name != wanted)) continue;
        const bool is_away = !node.heard_at || node.draining ||
                             is_silent(node, state_.seen(), state_.loop().now(), state_.limits());
        if (is_away) {
            why_not = "is away";
        } else if (node.mode != NodeMode::kOpen) {
            why_not = fmt::format("is {}", to_string(node.mode));
        } else if (!node.trouble.empty()) {
            why_not = "is in trouble: " + node.trouble;
        } else if (best == nullptr || node.load_percent < best->load_percent) {
            best = &node;
        }
    }
    if (best != nullptr) return best->name;
    if (!why_not.empty()) {
        if (wanted.empty()) return fail(Code::kUnreachable, "no host can build just now");
        return fail(Code::kConflict, "the host {} {}", wanted, why_not);
    }
    if (wanted.empty()) return fail(Code::kUnreachable, "there is no host");
    return fail(Code::kNotFound, "there is no host '{}'", printable(wanted));
}

Task<Result<>> Api::build(Call& call) {
    const std::string& service = call.param("service");
    if (!service::is_valid_name(service))
        co_return fail(Code::kInvalid, "'{}' is no name of a service", printable(service));
    const std::string space = call.param("space");
    if (!state_.spaces().contains(space))
        co_return fail(Code::kNotFound, "there is no space '{}'", space);
    CO_TRY_ASSIGN(const std::string node, choose_builder(call.query("node")));
    call.note = "on " + node;
    const service::BuildTarget target{space, service};
    auto joined = co_await join_streams(call, "candela.exec." + node, service::to_text(target));
    co_return joined;
}

Task<Result<>> Api::forward(Call& call) {
    auto instance = find_running(call);
    if (!instance) co_return fail(instance.error());
    const std::string id = (*instance)->id;
    auto joined = co_await join_streams(call, "candela.tunnel." + (*instance)->node, id);
    co_return joined;
}

}  // namespace candela::lighthouse
