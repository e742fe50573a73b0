#include "server.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include <nlohmann/json.hpp>

#include "auth/identity.h"
#include "base/json.h"
#include "base/text.h"
#include "user_info.h"

namespace candela::bus_role {

namespace {

constexpr Duration kBacklogInterval = 1s;
constexpr size_t kRefusedMax = 64;  // that are told so at a time; further ones are just closed
// Clients switch features by it: the highest nats-server whose gated features exist here.
constexpr std::string_view kProtocolVersion = "2.11.0";
// Of the JetStream API (ADR-44), as streams/js_api.h has it.
constexpr int kApiLevel = 1;
constexpr std::string_view kNoRespondersBody = "NATS/1.0 503\r\n\r\n\r\n";

void append_number(std::string& out, size_t value) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out.append(digits, static_cast<size_t>(end - digits));
}

}  // namespace

Server::Server(Loop& loop, ServerOptions options, Accounts accounts, Logger log,
               std::shared_ptr<Mesh> mesh, size_t index)
    : loop_(loop),
      options_(std::move(options)),
      accounts_(std::move(accounts)),
      log_(std::move(log)),
      id_(mesh != nullptr ? mesh->server_id()
                          : auth::KeyPair::generate(auth::KeyKind::kServer).public_key()),
      reception_(log_, [this](Guest guest) { on_guest(std::move(guest)); }),
      imports_(std::make_unique<Imports>(*this)),
      next_id_(index + 1),
      id_step_(mesh != nullptr ? mesh->size() : 1),
      backlog_timer_(loop.timers(), [this] { check_backlogs(); }) {
    if (mesh != nullptr && mesh->size() > 1)
        links_ = std::make_unique<Links>(*this, std::move(mesh), index);
    user_info_ = std::make_unique<UserInfo>(*this);
    for (const auto& [key, account] : accounts_.all()) {
        if (links_ != nullptr) links_->add(*account);
        take_shares(*account);
    }
}

Server::~Server() {
    *alive_ = false;
    doors_.clear();
    reception_.close();
    connections_.clear();
    imports_.reset();
}

Result<> Server::listen(const Address& address, EntrancePtr entrance,
                        const ListenOptions& options) {
    auto shared = std::make_shared<EntrancePtr>(std::move(entrance));
    const auto on_accept = [this, shared](StreamPtr stream) { accept(std::move(stream), *shared); };
    CANDELA_TRY_ASSIGN(std::unique_ptr<Listener> listener,
                       loop_.listen(address, options, on_accept));
    doors_.push_back(Door{std::move(shared), std::move(listener)});
    return {};
}

std::vector<Address> Server::addresses() const {
    std::vector<Address> out;
    for (const Door& door : doors_) out.push_back(door.listener->address());
    return out;
}

void Server::accept(StreamPtr stream, const EntrancePtr& entrance) {
    note_load();
    const auto go_on = [entrance](Server& server, StreamPtr moved) {
        server.receive(std::move(moved), entrance);
    };
    if (links_ != nullptr && links_->hand_over(stream, go_on)) return;
    receive(std::move(stream), entrance);
}

void Server::receive(StreamPtr stream, const EntrancePtr& entrance) {
    reception_.receive(std::move(stream), entrance);
    note_load();
}

void Server::note_load() {
    if (links_ == nullptr) return;
    links_->mesh().connections(links_->index()) = connections_.size() + reception_.waiting();
}

void Server::on_guest(Guest guest) {
    const size_t others =
        links_ != nullptr ? links_->mesh().connections_total()++ : connections_.size();
    const bool is_full = others >= options_.connections_max;
    if (is_full) log_.warn("bus_connections_exceeded", {{"max", options_.connections_max}});
    ++counters_.connections_open;
    if (others >= options_.connections_max + kRefusedMax) {
        uncount_connection();
        return;
    }
    ++counters_.connections_total;
    const uint64_t id = next_id_;
    next_id_ += id_step_;
    auto connection = std::make_unique<Connection>(*this, std::move(guest), id);
    Connection& added = *connection;
    connections_.emplace(id, std::move(connection));
    if (is_full)
        added.refuse("maximum connections exceeded");
    else
        added.start();
}

void Server::uncount_connection() {
    --counters_.connections_open;
    if (links_ != nullptr) --links_->mesh().connections_total();
    note_load();
}

Connection* Server::find_connection(uint64_t id) {
    const auto found = connections_.find(id);
    return found == connections_.end() ? nullptr : found->second.get();
}

std::string Server::info_line(const Connection& connection, std::string_view nonce,
                              const Address& peer, size_t payload_max, bool is_lame_duck) const {
    Json info = {{"server_id", id_},
                 {"server_name", options_.name},
                 {"version", kProtocolVersion},
                 {"candela", CANDELA_VERSION},
                 {"proto", 1},
                 {"headers", true},
                 {"auth_required", true},
                 {"max_payload", payload_max},
                 {"client_id", connection.id()},
                 {"nonce", nonce}};
    if (peer.kind == Address::Kind::kTcp) info["client_ip"] = peer.host;
    for (const Door& door : doors_) {
        if (door.listener->address().kind != Address::Kind::kTcp) continue;
        info["host"] = door.listener->address().host;
        info["port"] = door.listener->address().port;
        break;
    }
    const Entrance& entrance = connection.entrance();
    if (!entrance.advertise.empty()) info["connect_urls"] = entrance.advertise;
    if (entrance.tls != nullptr) {
        info[entrance.tls_required ? "tls_required" : "tls_available"] = true;
    }
    if (has_streams_) {
        info["jetstream"] = true;
        info["api_lvl"] = kApiLevel;
    }
    if (is_lame_duck) info["ldm"] = true;
    return "INFO " + dump_json(info) + " \r\n";
}

bool Server::is_allowed(Account& account, Connection& from, std::string_view subject) {
    if (from.may_publish(subject)) return true;
    if (from.reply_permits().is_active() && from.reply_permits().take(subject, loop_.now())) {
        return true;
    }
    from.send_error(fmt::format("Permissions Violation for Publish to \"{}\"", subject));
    log_.debug("bus_publish_denied", {{"account", account.claims.name}, {"subject", subject}});
    return false;
}

// Null: the publisher may not, and has been told.
const Matches* Server::find_matches(Account& account, Connection* from, const Message& message) {
    Sublist& sublist = account.sublist;
    if (from == nullptr) return &sublist.match(message.subject);
    Connection::Route& route = from->route();
    if (route.matches != nullptr && route.generation == sublist.generation() &&
        sublist.is_current(*route.matches) && route.subject == message.subject) {
        return route.matches;
    }
    if (!is_allowed(account, *from, message.subject)) return nullptr;
    const Matches& matches = sublist.match(message.subject);
    // An answer that was permitted once is not permitted for good.
    const bool is_repeatable = sublist.last_was_cached() && !from->reply_permits().is_active();
    if (is_repeatable) {
        route.subject.assign(message.subject);
        route.matches = &matches;
        route.generation = sublist.generation();
    }
    touch(account);
    return &matches;
}

// What follows the subject and sid of a receiver, the same for all of them.
void Server::make_tails(const Message& message) {
    const size_t total = message.body.size() - bus::kLineEnd.size();
    const bool is_plain = message.reply.empty() && message.header_bytes == 0;
    if (is_plain && total == tail_total_) return;  // that of the last message serves again
    tail_total_ = is_plain ? total : SIZE_MAX;
    tail_.clear();
    if (!message.reply.empty()) {
        tail_ += message.reply;
        tail_ += ' ';
    }
    if (message.header_bytes != 0) {
        tail_without_headers_ = tail_;
        append_number(tail_without_headers_, total - message.header_bytes);
        tail_without_headers_ += bus::kLineEnd;
        append_number(tail_, message.header_bytes);
        tail_ += ' ';
    }
    append_number(tail_, total);
    tail_ += bus::kLineEnd;
}

bool Server::publish(Account& account, Connection* from, const Message& message) {
    const Matches* matches = find_matches(account, from, message);
    if (matches == nullptr) return false;
    bool is_delivered = false;
    if (!matches->passages.empty())
        is_delivered = imports_->route(account, from, message, message.subject, nullptr);
    else if (!matches->empty())
        is_delivered = deliver_all(account, *matches, from, message, {}, nullptr);
    if (!is_delivered && from != nullptr && !message.reply.empty() &&
        from->options().no_responders) {
        send_no_responders(account, *from, message);
    }
    return true;
}

bool Server::publish_to(Account& account, std::string_view route, const Message& message,
                        size_t* backlog) {
    const Matches& matches = account.sublist.match(route);
    touch(account);
    if (!matches.passages.empty()) {
        return imports_->route(account, nullptr, message, route, backlog);
    }
    return !matches.empty() && deliver_all(account, matches, nullptr, message, route, backlog);
}

bool Server::has_interest(Account& account, std::string_view subject) {
    return imports_->has_interest(account, subject);
}

bool Server::deliver_here(const Matches& matches, Connection* from, const Message& message,
                          size_t* backlog) {
    if (matches.plain.empty()) return false;
    make_tails(message);
    bool is_delivered = false;
    for (Subscription* subscription : matches.plain) {
        const Connection* to = subscription->connection;
        is_delivered = deliver(*subscription, from, message) || is_delivered;
        if (backlog != nullptr && to != nullptr) *backlog = std::max(*backlog, to->pending_bytes());
    }
    return is_delivered;
}

void Server::forward(Account& account, const Matches& matches, Connection* from,
                     const Message& message, std::string_view route, uint8_t flags,
                     size_t* backlog) {
    if (backlog != nullptr) flags |= link_flags::kWantsBacklog;
    links_->forward(account, from, message, route, matches.plain_loops, flags);
    if (backlog != nullptr)
        *backlog = std::max(*backlog, links_->backlog(account, route, matches.plain_loops));
}

bool Server::deliver_plain(Account& account, const Matches& matches, Connection* from,
                           const Message& message, std::string_view route, size_t* backlog) {
    const bool is_delivered = deliver_here(matches, from, message, backlog);
    if (matches.plain_loops == 0) return is_delivered;
    forward(account, matches, from, message, route, 0, backlog);
    return true;
}

bool Server::deliver_all(Account& account, const Matches& matches, Connection* from,
                         const Message& message, std::string_view route, size_t* backlog) {
    bool is_delivered = deliver_here(matches, from, message, backlog);
    const uint8_t flags =
        is_delivered || links_ == nullptr ? 0 : answer_flag(matches, from, message);
    if (!matches.queues.empty()) {
        if (matches.plain.empty()) make_tails(message);
        for (size_t i = 0; i < matches.queues.size(); ++i) {
            is_delivered =
                deliver_to_one(account, matches, i, from, message, route, flags) || is_delivered;
        }
    }
    if (matches.plain_loops == 0) return is_delivered;
    forward(account, matches, from, message, route, flags, backlog);
    return true;
    return is_delivered;
}

bool Server::deliver_to_group(Account& account, const Matches& matches, size_t group,
                              Connection* from, const Message& message, std::string_view route) {
    make_tails(message);
    return deliver_to_one(account, matches, group, from, message, route, 0);
}

bool Server::deliver(Subscription& subscription, Connection* from, const Message& message) {
    if (subscription.service != nullptr) {
        const Origin origin =
            from == nullptr ? Origin{incoming_client_, nullptr} : Origin{from->id(), from->login()};
        subscription.service->on_message(origin, message);
        return true;
    }
    Connection& to = *subscription.connection;
    if (&to == from && !from->options().echo) return false;
    if (!to.deliver(subscription, message, tail_, tail_without_headers_)) return false;
    ++counters_.messages_out;
    if (subscription.max != 0 && subscription.delivered >= subscription.max) {
        to.remove_subscription(subscription);
    }
    if (from != nullptr) {
        if (from != &to && !from->is_held() && to.wants_publisher_to_wait(loop_.now()))
            to.hold_publisher(*from);
    } else if (incoming_client_ != 0 && to.wants_publisher_to_wait(loop_.now())) {
        links_->hold_sender(to);
    }
    return true;
}

// One member, by lot among all loops'; where that one can't take it, the next.
bool Server::deliver_to_one(Account& account, const Matches& matches, size_t group,
                            Connection* from, const Message& message, std::string_view route,
                            uint8_t flags) {
    const GroupList::Members members = matches.queues[group];
    const uint64_t remotes = matches.remote_members(group);
    const uint64_t all = members.size() + remotes;
    const uint64_t lot = all <= 1 ? 0 : loop_.random().below(all);
    if (lot < members.size()) {
        for (size_t i = 0; i < members.size(); ++i) {
            if (deliver(*members[(lot + i) % members.size()], from, message)) return true;
        }
        if (remotes == 0) return false;
    }
    const uint64_t remote_lot =
        lot < members.size() ? loop_.random().below(remotes) : lot - members.size();
    links_->forward_to_group(account, from, message, route, matches, group, remote_lot, flags);
    return true;
}

uint8_t Server::answer_flag(const Matches& matches, const Connection* from,
                            const Message& message) {
    if (from == nullptr || message.reply.empty() || !from->options().no_responders) return 0;
    const size_t ways =
        matches.queues.size() + static_cast<size_t>(std::popcount(matches.plain_loops));
    return ways == 1 ? link_flags::kWantsAnswer : 0;
}

bool Server::deliver_forwarded(Account& account, const Matches& matches, const Message& message,
                               std::string_view route, uint64_t client, size_t* backlog) {
    bool is_delivered = false;
    incoming_client_ = client;
    if (!matches.plain.empty()) make_tails(message);
    for (Subscription* subscription : matches.plain) {
        if (subscription->is_private) continue;
        const Connection* to = subscription->connection;
        is_delivered = deliver(*subscription, nullptr, message) || is_delivered;
        if (to != nullptr) *backlog = std::max(*backlog, to->pending_bytes());
    }
    if (!matches.passages.empty())
        is_delivered = imports_->answer_forwarded(account, message, route) || is_delivered;
    incoming_client_ = 0;
    return is_delivered;
}

bool Server::deliver_forwarded_to_one(GroupList::Members members, const Message& message,
                                      uint64_t client) {
    if (members.empty()) return false;
    make_tails(message);
    incoming_client_ = client;
    bool is_delivered = false;
    const size_t first = members.size() == 1 ? 0 : loop_.random().below(members.size());
    for (size_t i = 0; i < members.size() && !is_delivered; ++i) {
        Subscription& member = *members[(first + i) % members.size()];
        is_delivered = !member.is_private && deliver(member, nullptr, message);
    }
    incoming_client_ = 0;
    return is_delivered;
}

void Server::answer_no_responders(uint64_t client, std::string_view reply) {
    Connection* from = find_connection(client);
    if (from == nullptr || from->login() == nullptr) return;
    Message message;
    message.reply = reply;
    send_no_responders(*from->login()->account, *from, message);
}

void Server::release_held(uint64_t publisher) {
    if (Connection* connection = find_connection(publisher))
        connection->resume_reading();
    else if (links_ != nullptr)
        links_->release(publisher);
}

void Server::send_no_responders(Account& account, Connection& from, const Message& message) {
    Message answer;
    answer.subject = message.reply;
    answer.body = kNoRespondersBody;
    answer.header_bytes = kNoRespondersBody.size() - bus::kLineEnd.size();
    const Matches& matches = account.sublist.match(answer.subject);
    for (Subscription* subscription : matches.plain) {
        if (subscription->connection != &from) continue;
        make_tails(answer);
        deliver(*subscription, nullptr, answer);
        return;
    }
}

void Server::publish_later(std::string account_key, std::string subject, std::string payload) {
    later([this, account_key = std::move(account_key), subject = std::move(subject),
           body = std::move(payload) + std::string(bus::kLineEnd)] {
        Account* account = accounts_.find(account_key);
        if (account == nullptr) return;
        Message message;
        message.subject = subject;
        message.body = body;
        publish(*account, nullptr, message);
    });
}

void Server::later(std::function<void()> work) {
    later_.push_back(std::move(work));
    schedule_round_end();
}

void Server::mark_closing(Connection& connection) {
    closing_.push_back(&connection);
    schedule_round_end();
}

void Server::forget(Connection& connection, std::string_view reason) {
    log_.debug("bus_connection_ended", {{"id", connection.id()}, {"reason", reason}});
    connection.note_end(reason);
    std::erase(dirty_, &connection);
    std::erase(closing_, &connection);
    connections_.erase(connection.id());
    uncount_connection();
}

void Server::start_round_end() {
    round_end_scheduled_ = true;
    loop_.defer([this, alive = alive_] {
        if (*alive) end_round();
    });
}

void Server::end_round() {
    // Services first: what they publish goes out with the rest.
    for (size_t i = 0; i < later_.size(); ++i) {
        const std::function<void()> work = std::move(later_[i]);
        work();
    }
    later_.clear();
    if (links_ != nullptr) links_->flush();
    for (Connection* connection : dirty_) {
        connection->is_dirty = false;
        connection->flush();
    }
    dirty_.clear();
    end_closing();
    for (Account* account : touched_) account->sublist.sweep();
    touched_.clear();
    for (const auto& account : removed_) events_.add_departed(account->departed);
    if (links_ != nullptr) {
        for (const auto& account : removed_) links_->remove(*account);
        if (links_->has_unsent()) links_->flush();  // of connections that have ended
    }
    removed_.clear();
    round_end_scheduled_ = false;
    // What connections that ended had to say.
    if (!later_.empty() || !dirty_.empty() || !closing_.empty()) schedule_round_end();
}

void Server::end_closing() {
    for (Connection* connection : std::exchange(closing_, {})) {
        connection->leave_account();
        if (connection->start_linger()) continue;
        log_.debug("bus_connection_ended",
                   {{"id", connection->id()}, {"reason", connection->close_reason()}});
        connections_.erase(connection->id());
        uncount_connection();
    }
}

void Server::note_backlog() {
    if (!backlog_timer_.is_active()) backlog_timer_.start(kBacklogInterval);
}

void Server::check_backlogs() {
    bool has_backlog = false;
    for (const auto& [id, connection] : connections_) {
        connection->check_backlog();
        has_backlog = has_backlog || connection->pending_bytes() != 0;
    }
    if (has_backlog) note_backlog();
}

Result<> Server::put_account(std::string_view jwt) {
    CANDELA_TRY_ASSIGN(const Accounts::Update update, accounts_.put(jwt));
    apply(update);
    if (links_ == nullptr || !update.is_changed) return {};
    const Account& account = *update.account;
    links_->post_to_others([news = std::make_shared<const AccountNews>(AccountNews{
                                account.claims, account.number, account.totals})](Server& server) {
        server.apply(server.accounts_.adopt(*news));
    });
    return {};
}

void Server::apply(const Accounts::Update& update) {
    if (update.is_new && links_ != nullptr) links_->add(*update.account);
    if (update.is_changed) take_shares(*update.account);
    if (update.is_new) {
        for (const auto& callback : on_account_) callback(*update.account);
    } else if (update.is_changed) {
        for (const auto& callback : on_account_changed_) callback(*update.account);
        for (Connection* connection : update.account->connections) connection->check_login();
    }
}

bool Server::remove_account(std::string_view key) {
    if (!drop_account(key)) return false;
    if (links_ != nullptr) {
        links_->post_to_others(
            [gone = std::string(key)](Server& server) { server.drop_account(gone); });
    }
    return true;
}

bool Server::drop_account(std::string_view key) {
    std::unique_ptr<Account> account = accounts_.take(key);
    if (account == nullptr) return false;
    imports_->remove(*account);
    for (Connection* connection : account->connections) {
        connection->close("the account was removed", "Account Authentication Expired");
    }
    removed_.push_back(std::move(account));
    schedule_round_end();
    return true;
}

void Server::on_account(std::function<void(Account&)> callback) {
    for (const auto& [key, account] : accounts_.all()) callback(*account);
    on_account_.push_back(std::move(callback));
}

void Server::announce_end(MonoTime deadline) {
    for (const auto& [id, connection] : connections_) {
        if (connection->login() == nullptr || connection->options().protocol < 1) continue;
        connection->send(
            info_line(*connection, "", Address::in_process(""), connection->payload_max(), true));
    }
    doors_.clear();
    reception_.close();
    lame_duck_.emplace(*this, deadline);
}

size_t Server::guest_count() const {
    return static_cast<size_t>(
        std::count_if(connections_.begin(), connections_.end(), [](const auto& entry) {
            return entry.second->entrance().type != ConnectionType::kInProcess;
        }));
}

void Server::send_away(size_t count, bool even_busy) {
    for (const auto& [id, connection] : connections_) {
        if (count == 0) return;
        if (connection->entrance().type == ConnectionType::kInProcess) continue;
        if (connection->is_closing()) continue;
        if (connection->pending_bytes() != 0 && !even_busy) continue;
        connection->send_away("the bus is about to stop");
        --count;
    }
}

bool Server::is_own_account(const Account& account) const {
    return account.key() == accounts_.operator_claims().system_account ||
           account.claims.name == auth::kPlatformAccount;
}

void Server::shed(Account& account) {
    const auto is_over = [&] {
        return account.totals->budget.pending_bytes >
               static_cast<int64_t>(options_.account_pending_bytes_max);
    };
    while (is_over()) {
        Connection* slowest = nullptr;
        for (Connection* connection : account.connections) {
            if (connection->is_closing()) continue;
            if (slowest == nullptr || connection->pending_bytes() > slowest->pending_bytes()) {
                slowest = connection;
            }
        }
        // Those to blame may be on another loop, which notices as well.
        if (slowest == nullptr || !account.totals->budget.is_to_blame(slowest->pending_bytes()))
            return;
        slowest->close_slow("too much waits for its account");
    }
}

void Server::report_slow(const Connection& connection, std::string_view reason) {
    ++counters_.slow_consumers;
    const Login* login = connection.login();
    const std::string_view account =
        login == nullptr ? std::string_view() : std::string_view(login->account->claims.name);
    log_.warn("bus_slow_consumer", {{"client", connection.peer().to_string()},
                                    {"name", printable(connection.options().name)},
                                    {"account", account},
                                    {"pending_bytes", connection.pending_bytes()},
                                    {"reason", reason}});
}

bool Server::is_flushed() const {
    if (links_ != nullptr && !links_->is_settled()) return false;
    if (lame_duck_ && !lame_duck_->is_done()) return false;
    return std::all_of(connections_.begin(), connections_.end(),
                       [](const auto& entry) { return entry.second->pending_bytes() == 0; });
}

}  // namespace candela::bus_role
