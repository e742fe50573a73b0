#include "sublist.h"

#include "bus/subject.h"
#include "token_table.h"

namespace candela::bus_role {

// The members of one queue group at one pattern.
struct Sublist::Group {
    QueueName* name = nullptr;
    size_t index = 0;  // its place in the node's list
    std::vector<Subscription*> members;
    uint32_t shared = 0;  // members that are not private
    struct Remote {
        uint32_t loop;
        uint32_t count;
    };
    std::vector<Remote> remotes;
};

// `next` holds the literal tokens; "*" and ">" have places of their own.
struct Sublist::Node {
    TokenTable<Node> next;
    std::string token;  // under which its parent has it, where that is literal
    size_t hash = 0;
    std::unique_ptr<Node> star;
    std::unique_ptr<Node> rest;
    std::vector<Subscription*> plain;
    uint32_t shared_plain = 0;  // that are not private
    uint64_t plain_loops = 0;   // other loops with such subscriptions
    std::vector<Group*> groups;
    std::vector<Subscription*> passages;

    bool is_unused() const {
        return next.empty() && !star && !rest && plain.empty() && plain_loops == 0 &&
               groups.empty() && passages.empty();
    }
};

namespace {

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

Sublist::Sublist()
    : hash_(KeyedHash::from_system()), root_(std::make_unique<Node>()), names_(0, hash_) {}
Sublist::~Sublist() = default;

// Fills tokens_; false where one is empty.
bool Sublist::split(std::string_view subject) {
    tokens_.clear();
    for (;;) {
        const size_t dot = subject.find('.');
        const std::string_view token = subject.substr(0, dot);
        if (token.empty()) return false;
        tokens_.push_back(Token{token, hash_(token)});
        if (dot == std::string_view::npos) return true;
        subject.remove_prefix(dot + 1);
    }
}

// The node of the pattern in tokens_; null where there is none.
Sublist::Node* Sublist::find_node() {
    Node* node = root_.get();
    for (size_t i = 0; i < tokens_.size() && node != nullptr; ++i) {
        const auto [token, hash] = tokens_[i];
        if (token == "*")
            node = node->star.get();
        else if (token == ">")
            node = node->rest.get();
        else
            node = node->next.find(hash, token);
    }
    return node;
}

// The node of the pattern in tokens_.
Sublist::Node& Sublist::make_node() {
    Node* node = root_.get();
    for (const auto& [token, hash] : tokens_) {
        if (token == "*" || token == ">") {
            std::unique_ptr<Node>& place = token == "*" ? node->star : node->rest;
            if (place == nullptr) place = std::make_unique<Node>();
            node = place.get();
            continue;
        }
        Node* next = node->next.find(hash, token);
        if (next == nullptr) {
            auto made = std::make_unique<Node>();
            made->token = std::string(token);
            made->hash = hash;
            next = node->next.add(std::move(made));
        }
        node = next;
    }
    return *node;
}

void Sublist::insert(Subscription& subscription) {
    split(subscription.subject);
    Node& node = make_node();
    const uint32_t shared = subscription.is_private ? 0 : 1;
    uint32_t before = node.shared_plain;
    if (subscription.passage != nullptr) {
        add(node.passages, subscription);
        node.shared_plain += shared;
    } else if (subscription.queue.empty()) {
        add(node.plain, subscription);
        node.shared_plain += shared;
    } else {
        Group& group = make_group(node, subscription.queue);
        before = group.shared;
        add(group.members, subscription);
        group.shared += shared;
    }
    if (subscription.passage == nullptr) ++size_;
    ++counted_.inserts;
    outdate(subscription.subject);
    tell(subscription, before);
}

void Sublist::remove(Subscription& subscription) {
    split(subscription.subject);
    Node* node = find_node();
    if (node == nullptr) return;
    const uint32_t shared = subscription.is_private ? 0 : 1;
    uint32_t before = node->shared_plain;
    if (subscription.passage != nullptr) {
        drop(node->passages, subscription);
        node->shared_plain -= shared;
    } else if (subscription.queue.empty()) {
        drop(node->plain, subscription);
        node->shared_plain -= shared;
    } else {
        Group& group = *find_group(*node, subscription.queue);
        before = group.shared;
        drop(group.members, subscription);
        group.shared -= shared;
        drop_unused(*node, group);
    }
    if (subscription.passage == nullptr) --size_;
    ++counted_.removes;
    outdate(subscription.subject);
    if (node->is_unused()) prune();
    tell(subscription, before);
}

void Sublist::set_remote(std::string_view subject, std::string_view queue, uint32_t loop,
                         uint32_t count) {
    split(subject);
    Node* node = count != 0 ? &make_node() : find_node();
    if (node == nullptr) return;
    if (queue.empty()) {
        const uint64_t bit = uint64_t{1} << loop;
        node->plain_loops = count != 0 ? node->plain_loops | bit : node->plain_loops & ~bit;
    } else {
        Group* group = count != 0 ? &make_group(*node, queue) : find_group(*node, queue);
        if (group == nullptr) return;
        std::erase_if(group->remotes,
                      [loop](const Group::Remote& remote) { return remote.loop == loop; });
        if (count != 0) group->remotes.push_back(Group::Remote{loop, count});
        drop_unused(*node, *group);
    }
    outdate(subject);
    if (node->is_unused()) prune();
}

uint32_t Sublist::interest(std::string_view subject, std::string_view queue) {
    split(subject);
    const Node* node = find_node();
    if (node == nullptr) return 0;
    if (queue.empty()) return node->shared_plain;
    const Group* group = find_group(*node, queue);
    return group == nullptr ? 0 : group->shared;
}

Sublist::Group& Sublist::make_group(Node& node, std::string_view queue) {
    std::unique_ptr<QueueName>& name =
        names_.try_emplace(std::string(queue), nullptr).first->second;
    if (name == nullptr) {
        name = std::make_unique<QueueName>();
        name->text = std::string(queue);
    }
    std::unique_ptr<Group>& group = groups_[GroupKey{&node, name.get()}];
    if (group == nullptr) {
        group = std::make_unique<Group>();
        group->name = name.get();
        group->index = node.groups.size();
        node.groups.push_back(group.get());
        ++name->uses;
    }
    return *group;
}

Sublist::Group* Sublist::find_group(const Node& node, std::string_view queue) {
    const auto name = names_.find(queue);
    if (name == names_.end()) return nullptr;
    const auto found = groups_.find(GroupKey{&node, name->second.get()});
    return found == groups_.end() ? nullptr : found->second.get();
}

void Sublist::drop_unused(Node& node, Group& group) {
    if (!group.members.empty() || !group.remotes.empty()) return;
    QueueName& name = *group.name;
    node.groups.back()->index = group.index;
    node.groups[group.index] = node.groups.back();
    node.groups.pop_back();
    groups_.erase(GroupKey{&node, &name});
    if (--name.uses == 0) names_.erase(names_.find(name.text));
}

// Frees the nodes that nothing hangs on any more, from the end of the pattern in tokens_ to its
// start.
void Sublist::prune() {
    std::vector<Node*> path{root_.get()};
    for (const auto& [token, hash] : tokens_) {
        Node& node = *path.back();
        path.push_back(token == "*"   ? node.star.get()
                       : token == ">" ? node.rest.get()
                                      : node.next.find(hash, token));
    }
    for (size_t i = tokens_.size(); i > 0 && path[i]->is_unused(); --i) {
        Node& parent = *path[i - 1];
        if (path[i] == parent.star.get())
            parent.star.reset();
        else if (path[i] == parent.rest.get())
            parent.rest.reset();
        else
            parent.next.remove(*path[i]);
    }
}

// The pattern is that of tokens_.
void Sublist::outdate(std::string_view pattern) {
    const auto is_wild = [this](size_t i) {
        return tokens_[i].text == "*" || tokens_[i].text == ">";
    };
    if (!bus::has_wildcard(pattern)) {
        Matches* cached = cache_.find(hash_(pattern), pattern);
        if (cached != nullptr) cached->epoch = 0;
        return;
    }
    if (is_wild(0)) {
        ++epoch_;
        return;
    }
    Matches reach;
    set_buckets(reach);
    ++(is_wild(1) ? first_epochs_[reach.first_bucket] : second_epochs_[reach.second_bucket]);
}

// From tokens_.
void Sublist::set_buckets(Matches& matches) const {
    matches.first_bucket = static_cast<uint8_t>(tokens_[0].hash % kBuckets);
    matches.second_bucket =
        tokens_.size() == 1
            ? 0
            : static_cast<uint8_t>(hash_.combine(tokens_[0].hash, tokens_[1].hash) % kBuckets);
}

void Sublist::take(const Node& node, Matches& out) {
    out.plain.insert(out.plain.end(), node.plain.begin(), node.plain.end());
    out.passages.insert(out.passages.end(), node.passages.begin(), node.passages.end());
    out.plain_loops |= node.plain_loops;
    for (const Group* group : node.groups) {
        // Groups of one name are one group, whichever patterns their members have.
        QueueName& name = *group->name;
        if (name.met_in != search_) {
            name.met_in = search_;
            name.place = names_met_++;
        }
        parts_.push_back(GroupList::Part{name.place, group->members});
        for (const Group::Remote& remote : group->remotes) {
            const auto same = std::ranges::find_if(out.remotes, [&](const RemoteMembers& known) {
                return known.group == name.place && known.loop == remote.loop;
            });
            if (same != out.remotes.end())
                same->count += remote.count;
            else
                out.remotes.push_back(
                    RemoteMembers{name.place, remote.loop, remote.count, &name.text});
        }
    }
}

void Sublist::visit(const Node& start, size_t depth, Matches& out) {
    const Node* node = &start;
    for (; depth < tokens_.size(); ++depth) {
        if (node->rest != nullptr) take(*node->rest, out);
        if (node->star != nullptr) visit(*node->star, depth + 1, out);
        node = node->next.find(tokens_[depth].hash, tokens_[depth].text);
        if (node == nullptr) return;
    }
    take(*node, out);
}

void Sublist::collect(std::string_view subject, Matches& out) {
    out.clear();
    if (!split(subject)) return;
    ++search_;
    names_met_ = 0;
    parts_.clear();
    visit(*root_, 0, out);
    if (!parts_.empty()) out.queues.assign(parts_);
}

// Whether the subject was asked for a short while ago.
bool Sublist::comes_again(size_t hash) {
    if (seen_.empty()) seen_.resize(kSeenSlots);
    const auto tag = static_cast<uint32_t>(hash >> 32 | 1);
    return std::exchange(seen_[hash % kSeenSlots], tag) == tag;
}

const Matches& Sublist::match(std::string_view subject) {
    const size_t hash = hash_(subject);
    const Matches* cached = cache_.find(hash, subject);
    last_was_cached_ = cached != nullptr && is_current(*cached);
    ++counted_.matches;
    if (last_was_cached_) {
        ++counted_.cache_hits;
        count_fanout(*cached);
        return *cached;
    }
    collect(subject, scratch_);
    count_fanout(scratch_);
    if (scratch_.receivers() > kCachedReceiversMax) return scratch_;
    if (cached == nullptr && !comes_again(hash)) return scratch_;
    auto matches = std::make_unique<Matches>(scratch_);
    if (!tokens_.empty()) set_buckets(*matches);
    matches->epoch = epoch_of(*matches);
    const Matches& kept = *matches;
    cache_.put(hash, subject, std::move(matches), outdated_);
    last_was_cached_ = true;
    return kept;
}

void Sublist::sweep() {
    if (outdated_.empty()) return;
    ++generation_;
    outdated_.clear();
}

}  // namespace candela::bus_role
