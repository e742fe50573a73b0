#include "links.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "connection.h"
#include "loop/move_stream.h"
#include "server.h"

namespace candela::bus_role {

namespace {

constexpr Duration kBacklogTime = 10ms;  // how long a reported backlog is believed
constexpr size_t kChangesKept = 1024;
constexpr size_t kReadBytes = 64 * 1024;  // of a connection at once, at most
constexpr unsigned kPongsMax = 1024;      // due to a connection; with more it is not read
constexpr size_t kSentKept = 16;          // rounds; more are looked through at each send

}  // namespace

std::string Links::backlog_key(uint64_t account, std::string_view route) {
    return fmt::format("{} {}", account, route);
}

Links::Links(Server& server, std::shared_ptr<Mesh> mesh, size_t index)
    : server_(server), mesh_(std::move(mesh)), index_(index), peers_(mesh_->size()) {
    for (size_t i = 0; i < peers_.size(); ++i) {
        if (i != index_) peers_[i].channel = &mesh_->channel(index_, i);
    }
    mesh_->set_server(index_, &server_);
    // What came before there was anybody to take it.
    for (size_t i = 0; i < peers_.size(); ++i) {
        if (i != index_) Mesh::wake(mesh_, i, index_);
    }
}

Links::~Links() {
    mesh_->set_server(index_, nullptr);
    for (const auto& [number, watch] : watches_) watch->account.sublist.set_observer(nullptr);
}

bool Links::hand_over(StreamPtr& stream, GoOn go_on) {
    const size_t target = mesh_->emptiest();
    if (target == index_ || mesh_->load(target) >= mesh_->load(index_)) return false;
    // Counted at once, so that those that come next go elsewhere.
    ++mesh_->arriving(target);
    const bool is_moved =
        move_stream(stream, mesh_->loop(target),
                    [mesh = mesh_, target, go_on = std::move(go_on)](Result<StreamPtr> moved) {
                        Server* server = mesh->server(target);
                        if (moved && server != nullptr) go_on(*server, std::move(*moved));
                        --mesh->arriving(target);
                    });
    if (!is_moved) --mesh_->arriving(target);
    return is_moved;
}

// --- Subscriptions
// --------------------------------------------------------------------------------

void Links::add(Account& account) {
    auto watch = std::make_unique<Watch>(*this, account, server_.hash());
    account.sublist.set_observer(watch.get());
    watches_[account.number] = std::move(watch);
    last_account_ = std::max(last_account_, account.number);
    const auto early = early_.find(account.number);
    if (early == early_.end()) return;
    for (const Early& each : early->second) {
        account.sublist.set_remote(each.subject, each.queue, static_cast<uint32_t>(each.loop),
                                   each.count);
    }
    early_.erase(early);
}

// Numbers are not used again: what is still on its way for this one is for nobody.
void Links::remove(const Account& account) {
    const auto found = watches_.find(account.number);
    if (found == watches_.end()) return;
    Watch* watch = found->second.get();
    watch->account.sublist.set_observer(nullptr);
    std::erase(changed_, watch);
    if (last_found_ == watch) last_found_ = nullptr;
    if (route_.account == account.number) route_ = Route();
    watches_.erase(found);
}

Links::Watch* Links::find(uint64_t account) {
    if (last_found_ != nullptr && last_found_->account.number == account) return last_found_;
    const auto found = watches_.find(account);
    if (found == watches_.end()) return nullptr;
    last_found_ = found->second.get();
    return last_found_;
}

void Links::Watch::on_interest(Sublist&, const Subscription& changed, uint32_t before) {
    if (changes.empty()) {
        links.changed_.push_back(this);
        links.server_.schedule_round_end();
    }
    std::string key = changed.subject;
    key += ' ';
    key += changed.queue;
    changes.try_emplace(std::move(key), Change{changed.subject, changed.queue, before});
}

void Links::note_change(Connection& connection) const { connection.sent_round = round_; }

// What came and went within the round is not told at all.
void Links::flush_interest() {
    if (changed_.empty()) return;
    news_.clear();
    for (Watch* watch : std::exchange(changed_, {})) {
        for (const auto& [key, change] : watch->changes) {
            uint32_t now = watch->account.sublist.interest(change.subject, change.queue);
            uint32_t told = change.told;
            if (change.queue.empty()) {
                now = std::min(now, 1U);
                told = std::min(told, 1U);
            }
            if (now == told) continue;
            LinkRecord record;
            record.head.kind = LinkKind::kInterest;
            record.head.account = watch->account.number;
            record.head.count = now;
            record.subject = change.subject;
            record.queue = change.queue;
            CANDELA_CHECK(record.measure());
            const size_t at = news_.size();
            news_.resize(at + record.head.size);
            record.write(news_.data() + at);
        }
        if (watch->changes.size() > kChangesKept)
            watch->changes = decltype(watch->changes)(0, server_.hash());  // with its memory
        else
            watch->changes.clear();
    }
    if (news_.empty()) return;
    for (size_t i = 0; i < peers_.size(); ++i) {
        if (i == index_) continue;
        Block block = peers_[i].channel->take_block(news_.size());
        std::memcpy(block.bytes.get(), news_.data(), news_.size());
        block.size = news_.size();
        send(i, block);
    }
}

// --- Sending
// --------------------------------------------------------------------------------------

void Links::append(size_t loop, const LinkRecord& record) {
    Peer& peer = peers_[loop];
    if (peer.out.room() < record.head.size) {
        if (peer.out.size != 0) {
            flush_interest();
            send(loop, peer.out);
        }
        if (peer.out.room() < record.head.size)
            peer.out = peer.channel->take_block(record.head.size);
    }
    peer.last.kind = LinkKind::kNudge;
    record.write(peer.out.bytes.get() + peer.out.size);
    peer.out.size += record.head.size;
    server_.schedule_round_end();
}

void Links::append_message(size_t loop, LinkRecord& record) {
    if (!record.measure()) return;  // nobody can have subscribed to that
    append(loop, record);
    Peer& peer = peers_[loop];
    const bool is_plain = record.reply.empty() && record.route.empty();
    peer.last.kind = is_plain ? record.head.kind : LinkKind::kNudge;
    if (!is_plain) return;
    peer.last.flags = record.head.flags;
    peer.last.account = record.head.account;
    peer.last.client = record.head.client;
    peer.last.subject.assign(record.subject);
    peer.last.queue.assign(record.queue);
}

bool Links::append_again(Peer& peer, LinkKind kind, uint8_t flags, uint64_t account,
                         uint64_t client, const Message& message, std::string_view queue) {
    const Last& last = peer.last;
    if (last.kind != kind || last.client != client || last.account != account ||
        last.flags != flags || last.subject != message.subject || last.queue != queue) {
        return false;
    }
    AgainHead head;
    head.size = static_cast<uint32_t>(sizeof head + message.body.size());
    head.header_bytes = static_cast<uint32_t>(message.header_bytes);
    if (peer.out.room() < head.size) return false;
    char* to = peer.out.bytes.get() + peer.out.size;
    std::memcpy(to, &head, sizeof head);
    std::memcpy(to + sizeof head, message.body.data(), message.body.size());
    peer.out.size += head.size;
    server_.schedule_round_end();
    return true;
}

void Links::send(size_t loop, Block& block) {
    Peer& peer = peers_[loop];
    peer.last.kind = LinkKind::kNudge;  // what comes next may begin a block
    const bool must_wake = peer.channel->send(block);
    const uint64_t end = peer.channel->sent();
    if (!peer.sent.empty() && peer.sent.back().round == round_)
        peer.sent.back().end = end;
    else
        peer.sent.push_back(Sent{round_, end});
    if (peer.sent.size() > kSentKept) forget_consumed(peer);
    if (must_wake) Mesh::wake(mesh_, index_, loop);
    peer.is_full = in_flight(peer) > kInFlightMax;
}

void Links::flush() {
    flush_interest();
    for (size_t i = 0; i < peers_.size(); ++i) {
        if (i != index_ && peers_[i].out.size != 0) send(i, peers_[i].out);
    }
    ++round_;
    look_for_news();
}

void Links::forget_consumed(Peer& peer) {
    peer.consumed = peer.channel->consumed();
    while (!peer.sent.empty() && peer.sent.front().end <= peer.consumed) peer.sent.pop_front();
}

size_t Links::in_flight(Peer& peer) {
    const size_t seen = peer.channel->sent() - peer.consumed + peer.out.size;
    if (seen <= kInFlightMax) return seen;
    peer.consumed = peer.channel->consumed();  // costs a look into the other loop's cache
    return peer.channel->sent() - peer.consumed + peer.out.size;
}

void Links::stall(Connection& from, size_t loop) {
    if (from.is_stalled() || in_flight(peers_[loop]) <= kInFlightMax) return;
    from.set_stalled(true);
    stalled_.push_back(from.id());
}

// A message as a record, whole.
LinkRecord Links::record_of(LinkKind kind, uint8_t flags, uint64_t account, uint64_t client,
                            const Message& message, std::string_view route,
                            std::string_view queue) {
    LinkRecord record;
    record.head.kind = kind;
    record.head.flags = flags;
    record.head.header_bytes = static_cast<uint32_t>(message.header_bytes);
    record.head.account = account;
    record.head.client = client;
    record.subject = message.subject;
    record.reply = message.reply;
    if (route != message.subject) record.route = route;
    record.queue = queue;
    record.body = message.body;
    return record;
}

void Links::forward(Account& account, Connection* from, const Message& message,
                    std::string_view route, uint64_t loops, uint8_t flags) {
    for (; loops != 0; loops &= loops - 1) {
        send_message(static_cast<size_t>(std::countr_zero(loops)), LinkKind::kMessage, account,
                     from, message, route, {}, flags);
    }
}

void Links::forward_to_group(Account& account, Connection* from, const Message& message,
                             std::string_view route, const Matches& matches, size_t group,
                             uint64_t lot, uint8_t flags) {
    const RemoteMembers* chosen = nullptr;
    for (const RemoteMembers& remote : matches.remotes) {
        if (remote.group != group) continue;
        chosen = &remote;
        if (lot < remote.count) break;
        lot -= remote.count;
    }
    send_message(chosen->loop, LinkKind::kQueued, account, from, message, route, *chosen->queue,
                 flags);
}

void Links::send_message(size_t loop, LinkKind kind, const Account& account, Connection* from,
                         const Message& message, std::string_view route, std::string_view queue,
                         uint8_t flags) {
    Peer& peer = peers_[loop];
    const uint64_t client = from == nullptr ? 0 : from->id();
    const bool is_plain = message.reply.empty() && (route.empty() || route == message.subject);
    if (!is_plain || !append_again(peer, kind, flags, account.number, client, message, queue)) {
        LinkRecord record = record_of(kind, flags, account.number, client, message, route, queue);
        append_message(loop, record);
    }
    if (from == nullptr) return;
    from->sent_round = round_;
    if (peer.is_full) stall(*from, loop);
}

size_t Links::backlog(const Account& account, std::string_view route, uint64_t loops) const {
    size_t most = 0;
    for (; loops != 0; loops &= loops - 1) {
        const Peer& peer = peers_[static_cast<size_t>(std::countr_zero(loops))];
        size_t waits = peer.channel->in_flight() + peer.out.size;
        if (!peer.backlogs.empty()) {
            const auto found = peer.backlogs.find(backlog_key(account.number, route));
            if (found != peer.backlogs.end() &&
                server_.loop().now() - found->second.second < kBacklogTime) {
                waits += found->second.first;
            }
        }
        most = std::max(most, waits);
    }
    return most;
}

bool Links::is_congested() const {
    return std::any_of(peers_.begin(), peers_.end(), [](const Peer& peer) {
        return peer.channel != nullptr && peer.channel->in_flight() + peer.out.size > kInFlightMax;
    });
}

// --- Waiting
// --------------------------------------------------------------------------------------

bool Links::has_unsent() const {
    if (!changed_.empty()) return true;
    return std::any_of(peers_.begin(), peers_.end(),
                       [](const Peer& peer) { return peer.out.size != 0; });
}

bool Links::is_settled() const {
    if (has_unsent()) return false;
    return std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) {
        return peer.channel == nullptr || peer.channel->in_flight() == 0;
    });
}

// All that was sent in that round and before has been taken.
bool Links::is_settled(uint64_t round) {
    if (round >= round_ && has_unsent()) return false;
    for (Peer& peer : peers_) {
        if (peer.channel == nullptr || peer.sent.empty()) continue;
        forget_consumed(peer);
        if (!peer.sent.empty() && peer.sent.front().round <= round) return false;
    }
    return true;
}

void Links::answer_ping(Connection& connection) {
    if (connection.pongs_waiting == 0 &&
        (connection.sent_round == 0 || is_settled(connection.sent_round))) {
        connection.sent_round = 0;
        connection.send("PONG\r\n");
        return;
    }
    ++connection.pongs_waiting;
    pongs_.push_back(WaitingPong{round_, connection.id()});
    if (connection.pongs_waiting >= kPongsMax && !connection.is_stalled()) {
        connection.set_stalled(true);
        stalled_.push_back(connection.id());
    }
    server_.schedule_round_end();
}

void Links::look_for_news() {
    if (!is_waiting()) return;
    for (Peer& peer : peers_) {
        if (peer.channel != nullptr) peer.channel->ask_for_news();
    }
    while (!pongs_.empty() && is_settled(pongs_.front().round)) {
        Connection* connection = server_.find_connection(pongs_.front().client);
        pongs_.pop_front();
        if (connection == nullptr) continue;
        --connection->pongs_waiting;
        connection->send("PONG\r\n");
    }
    if (!stalled_.empty() || !relieved_.empty()) relieve();
}

void Links::relieve() {
    size_t most = 0;
    for (const Peer& peer : peers_) {
        if (peer.channel != nullptr)
            most = std::max(most, peer.channel->in_flight() + peer.out.size);
    }
    // Not before there is room for a while, or each message would stop and start somebody.
    if (most > kInFlightMax / 2) return;
    for (const auto& callback : std::exchange(relieved_, {})) callback();
    // Each may bring as much as is read at once; the others wait for their turn.
    size_t left = std::min((kInFlightMax - most) / kReadBytes, stalled_.size());
    for (; left > 0; --left) {
        const uint64_t client = stalled_.front();
        Connection* connection = server_.find_connection(client);
        stalled_.pop_front();
        if (connection == nullptr) continue;
        if (connection->pongs_waiting >= kPongsMax)
            stalled_.push_back(client);
        else
            connection->set_stalled(false);
    }
    // Where nothing is on the way, no news will come.
    if (!stalled_.empty() && most == 0)
        Mesh::post(mesh_, index_, [](Server& server) { server.links()->look_for_news(); });
}

void Links::hold_sender(Connection& reader) {
    if (std::find(held_in_batch_.begin(), held_in_batch_.end(), sender_) != held_in_batch_.end())
        return;
    held_in_batch_.push_back(sender_);
    if (!reader.add_held(sender_)) return;
    LinkRecord record;
    record.head.kind = LinkKind::kHold;
    record.head.client = sender_;
    record.measure();
    append(loop_of(sender_), record);
}

void Links::release(uint64_t client) {
    if (loop_of(client) == index_) return;  // it is gone
    LinkRecord record;
    record.head.kind = LinkKind::kRelease;
    record.head.client = client;
    record.measure();
    append(loop_of(client), record);
}

}  // namespace candela::bus_role
