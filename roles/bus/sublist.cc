#include "sublist.h"

#include <algorithm>

#include "bus/subject.h"

namespace candela::bus_role {

// `next` holds the literal tokens; "*" and ">" have places of their own.
struct Sublist::Node {
    std::unordered_map<std::string, std::unique_ptr<Node>, Hash, std::equal_to<>> next;
    std::unique_ptr<Node> star;
    std::unique_ptr<Node> rest;
    std::vector<Subscription*> plain;
    std::map<std::string, std::vector<Subscription*>, std::less<>> queues;

    bool is_unused() const {
        return next.empty() && !star && !rest && plain.empty() && queues.empty();
    }
};

namespace {

// The first token of a subject; the rest is what is behind its dot, or has no data at all at the
// end.
std::string_view take_token(std::string_view& rest) {
    const size_t dot = rest.find('.');
    const std::string_view token = rest.substr(0, dot);
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
    return token;
}

bool has_empty_token(std::string_view subject) {
    if (subject.empty() || subject.front() == '.' || subject.back() == '.') return true;
    return subject.find("..") != std::string_view::npos;
}

void add(std::vector<Subscription*>& list, Subscription& subscription) {
    subscription.slot = list.size();
    list.push_back(&subscription);
}

void drop(std::vector<Subscription*>& list, const Subscription& subscription) {
    list.back()->slot = subscription.slot;
    list[subscription.slot] = list.back();
    list.pop_back();
}

}  // namespace

Sublist::Sublist() : root_(std::make_unique<Node>()) {}
Sublist::~Sublist() = default;

void Sublist::insert(Subscription& subscription) {
    Node* node = root_.get();
    std::string_view rest = subscription.subject;
    while (!rest.empty()) {
        const std::string_view token = take_token(rest);
        std::unique_ptr<Node>* place = nullptr;
        if (token == "*") {
            place = &node->star;
        } else if (token == ">") {
            place = &node->rest;
        } else {
            const auto found = node->next.find(token);
            place = found != node->next.end() ? &found->second
                                              : &node->next.emplace(token, nullptr).first->second;
        }
        if (*place == nullptr) *place = std::make_unique<Node>();
        node = place->get();
    }
    if (subscription.queue.empty())
        add(node->plain, subscription);
    else
        add(node->queues[subscription.queue], subscription);
    ++size_;
    forget(subscription.subject);
}

void Sublist::remove(Subscription& subscription) {
    Node* node = root_.get();
    std::string_view rest = subscription.subject;
    while (!rest.empty() && node != nullptr) {
        const std::string_view token = take_token(rest);
        if (token == "*") {
            node = node->star.get();
        } else if (token == ">") {
            node = node->rest.get();
        } else {
            const auto found = node->next.find(token);
            node = found == node->next.end() ? nullptr : found->second.get();
        }
    }
    if (node == nullptr) return;
    if (subscription.queue.empty()) {
        drop(node->plain, subscription);
    } else {
        const auto group = node->queues.find(subscription.queue);
        drop(group->second, subscription);
        if (group->second.empty()) node->queues.erase(group);
    }
    --size_;
    if (node->is_unused()) prune(subscription.subject);
    forget(subscription.subject);
}

// Frees the nodes that nothing hangs on any more, from the end of the pattern to its start.
void Sublist::prune(std::string_view pattern) {
    struct Step {
        Node* parent;
        std::string_view token;
    };
    std::vector<Step> steps;
    Node* node = root_.get();
    while (!pattern.empty()) {
        const std::string_view token = take_token(pattern);
        steps.push_back(Step{node, token});
        if (token == "*")
            node = node->star.get();
        else if (token == ">")
            node = node->rest.get();
        else
            node = node->next.find(token)->second.get();
    }
    while (!steps.empty() && node->is_unused()) {
        const Step step = steps.back();
        steps.pop_back();
        if (step.token == "*")
            step.parent->star.reset();
        else if (step.token == ">")
            step.parent->rest.reset();
        else
            step.parent->next.erase(step.parent->next.find(step.token));
        node = step.parent;
    }
}

void Sublist::forget(std::string_view pattern) {
    ++generation_;
    if (bus::has_wildcard(pattern)) {
        for (auto& [subject, matches] : cache_) outdated_.push_back(std::move(matches));
        cache_.clear();
        return;
    }
    const auto found = cache_.find(pattern);
    if (found == cache_.end()) return;
    outdated_.push_back(std::move(found->second));
    cache_.erase(found);
}

void Sublist::take(const Node& node, Matches& out) {
    out.plain.insert(out.plain.end(), node.plain.begin(), node.plain.end());
    for (const auto& [name, members] : node.queues) {
        // Groups of one name are one group, whichever patterns their members have.
        const auto same = std::find_if(
            out.queues.begin(), out.queues.end(),
            [&](const std::vector<Subscription*>& group) { return group.front()->queue == name; });
        if (same == out.queues.end())
            out.queues.push_back(members);
        else
            same->insert(same->end(), members.begin(), members.end());
    }
}

void Sublist::collect(const Node& node, std::string_view rest, Matches& out) {
    if (rest.empty()) {
        take(node, out);
        return;
    }
    if (node.rest != nullptr) take(*node.rest, out);
    const std::string_view token = take_token(rest);
    if (node.star != nullptr) collect(*node.star, rest, out);
    const auto found = node.next.find(token);
    if (found != node.next.end()) collect(*found->second, rest, out);
}

const Matches& Sublist::match(std::string_view subject) {
    const auto cached = cache_.find(subject);
    last_was_cached_ = true;
    if (cached != cache_.end()) return *cached->second;
    const size_t hash = Hash()(subject);
    const auto tag = static_cast<uint32_t>(hash >> 32 | 1);
    uint32_t& seen = seen_[hash % kSeenSlots];
    const bool is_again = seen == tag;
    seen = tag;
    if (!is_again) {
        last_was_cached_ = false;
        scratch_.clear();
        if (!has_empty_token(subject)) collect(*root_, subject, scratch_);
        return scratch_;
    }
    if (cache_.size() >= kCacheMax) {
        ++generation_;
        for (auto& [key, matches] : cache_) outdated_.push_back(std::move(matches));
        cache_.clear();
    }
    auto matches = std::make_unique<Matches>();
    if (!has_empty_token(subject)) collect(*root_, subject, *matches);
    return *cache_.emplace(subject, std::move(matches)).first->second;
}

void Sublist::sweep() { outdated_.clear(); }

}  // namespace candela::bus_role
