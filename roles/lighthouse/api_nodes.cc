// The nodes of the cloud, and what people want of them.

#include <nlohmann/json.hpp>

#include "api.h"
#include "paging.h"
#include "views.h"

namespace candela::lighthouse {

Task<Result<>> Api::list_nodes(Call& call) {
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    auto counts = count_by_node(state_);
    page->fill(state_.seen().nodes, [&](Page& into, const Node& node) {
        into.add(view_of(node, counts[node.name], state_));
    });
    const Json body = std::move(*page).answer("nodes");
    respond(call, 200, body);
    co_return Result<>();
}

Result<const Node*> Api::find_node(const std::string& name) const {
    const auto node = state_.seen().nodes.find(name);
    if (node != state_.seen().nodes.end()) return &node->second;
    return fail(Code::kNotFound, "there is no node '{}'", name);
}

Json Api::view_with_instances(const Node& node, const auth::Principal& who) const {
    Json view = view_of(node, count_by_node(state_)[node.name], state_);
    Json placed = Json::array();
    std::map<ServiceKey, std::string> waiting;
    for (const auto& [id, instance] : state_.wanted().instances) {
        if (instance.node != node.name || !may_see(who, instance.service.first)) continue;
        placed.push_back(view_of(instance, state_));
        std::string why = state_.waiting_for(instance.service);
        if (!why.empty()) waiting.emplace(instance.service, std::move(why));
    }
    Json reasons = Json::array();
    for (const auto& [key, why] : waiting) {
        reasons.push_back({{"space", key.first}, {"service", key.second}, {"why", why}});
    }
    view["placed"] = std::move(placed);
    view["waiting"] = std::move(reasons);
    return view;
}

Task<Result<>> Api::get_node(Call& call) {
    auto node = find_node(call.param("node"));
    if (!node) co_return fail(node.error());
    respond(call, 200, view_with_instances(**node, call.who));
    co_return Result<>();
}

Task<Result<>> Api::cordon_node(Call& call) {
    auto done = co_await set_mode(call, NodeMode::kCordoned);
    co_return done;
}

Task<Result<>> Api::uncordon_node(Call& call) {
    auto done = co_await set_mode(call, NodeMode::kOpen);
    co_return done;
}

Task<Result<>> Api::drain_node(Call& call) {
    auto done = co_await set_mode(call, NodeMode::kDraining);
    co_return done;
}

Task<Result<>> Api::set_mode(Call& call, NodeMode mode) {
    const std::string name = call.param("node");
    State::MakeChange make = [this, name, mode]() -> Result<Change> {
        CANDELA_TRY_ASSIGN(const Node* node, find_node(name));
        // Said twice is done once.
        return node->mode == mode ? Change() : set_node_mode(*node, mode);
    };
    auto changed = co_await state_.change(std::move(make));
    if (!changed) co_return fail(changed.error());
    auto node = find_node(name);
    if (!node) co_return fail(node.error());
    respond(call, 200, view_with_instances(**node, call.who));
    co_return Result<>();
}

Task<Result<>> Api::delete_node(Call& call) {
    const std::string name = call.param("node");
    State::MakeChange make = [this, name]() -> Result<Change> {
        CANDELA_TRY_ASSIGN(const Node* node, find_node(name));
        const bool is_here = node->heard_at &&
                             !is_silent(*node, state_.seen(), state_.loop().now(), state_.limits());
        if (is_here) {
            return fail(Code::kConflict,
                        "{} is heard, and would come back with its next heartbeat; drain it, stop "
                        "its process, and remove it then",
                        name);
        }
        return remove_node(*node);
    };
    auto removed = co_await state_.change(std::move(make));
    if (!removed) co_return fail(removed.error());
    // It does not come back by itself: it would have to join again.
    const auto revoked = co_await credentials_.revoke_node(name);
    if (!revoked) co_return fail(revoked.error());
    const Json body = {{"name", name}, {"deleted", true}};
    respond(call, 200, body);
    co_return Result<>();
}

}  // namespace candela::lighthouse
