#include "connection.h"

#include <algorithm>

#include "base/text.h"
#include "bus/subject.h"
#include "crypto/entropy.h"
#include "http/websocket_stream.h"
#include "server.h"

namespace candela::bus_role {

namespace {

constexpr size_t kNonceBytes = 11;  // 15 characters, as nats-server's
constexpr size_t kWriteBytesMax =
    128 * 1024;  // at once; smaller steps show that a reader progresses
constexpr size_t kWriteEarlyBytes = 64 * 1024;  // more is not kept until the round ends
constexpr size_t kHoldBytes = 512 * 1024;       // a backlog for which publishers wait a little
constexpr Duration kHoldTime = 2ms;
constexpr Duration kPauseMin = 1ms;  // what a publisher is ahead by less is left to add up
constexpr Duration kProgressTime =
    20ms;                             // a reader that took nothing for so long is not waited for
constexpr Duration kLingerTime = 1s;  // for the client to read why it was closed
constexpr size_t kHeldPublishersMax = 1024;

char* put(char* to, std::string_view text) {
    std::memcpy(to, text.data(), text.size());
    return to + text.size();
}

std::string_view error_text(bus::ReadError error) {
    switch (error) {
        case bus::ReadError::kUnknownOperation: return "Unknown Protocol Operation";
        case bus::ReadError::kControlLine: return "maximum control line exceeded";
        case bus::ReadError::kPayload: return "Maximum Payload Violation";
        case bus::ReadError::kArguments: return "";
    }
    return "";
}

}  // namespace

Connection::Connection(Server& server, Guest guest, uint64_t id)
    : server_(server),
      entrance_(std::move(guest.entrance)),
      stream_(std::move(guest.stream)),
      websocket_(guest.websocket),
      id_(id),
      peer_(stream_->peer()),
      nonce_(crypto::random_token(kNonceBytes)),
      // Nobody unknown makes the reader keep a payload.
      reader_(0),
      subscriptions_(0, server.hash()),
      out_(server.blocks()),
      progress_at_(server.loop().now()),
      started_at_(server.loop().wall()),
      active_at_(server.loop().now()),
      timer_(server.loop().timers(), [this] { on_timer(); }),
      expiry_(server.loop().timers(), [this] { check_login(); }),
      hold_timer_(server.loop().timers(), [this] { resume_reading(); }) {}

Connection::~Connection() { leave_account(); }

void Connection::leave_account() {
    if (!login_) return;
    Account& account = *login_->account;
    for (auto& [sid, subscription] : subscriptions_) account.sublist.remove(*subscription);
    account.totals->subscriptions -= static_cast<int64_t>(subscriptions_.size());
    server_.events().on_leaving(*this);
    subscriptions_.clear();
    budget_share_.set(account.totals->budget, 0);
    account.connections.erase(this);
    --account.totals->connections;
    server_.touch(account);
    login_.reset();
}

void Connection::start() {
    send(server_.info_line(*this, nonce_, peer_, server_.options().payload_max));
    Duration time = server_.options().auth_timeout;
    if (entrance_->upgrades_after_info()) time += entrance_->handshake_timeout;
    timer_.start(time);
    stream_->start(*this);
}

void Connection::refuse(std::string_view error) {
    close(error, error);
    stream_->start(*this);
}

void Connection::on_data(std::string_view bytes) {
    if (closing_) return;
    server_.counters().bytes_in += bytes.size();
    active_at_ = server_.loop().now();
    const std::optional<bus::ReadError> error = reader_.feed(bytes, *this);
    if (error && !closing_) on_read_error(*error);
}

void Connection::on_end() { server_.forget(*this, "the client closed the connection"); }

void Connection::on_error(const Error& error) { server_.forget(*this, error.message()); }

void Connection::on_drained() {
    in_stream_ = 0;
    progress_at_ = server_.loop().now();
    flush();
    if (held_publishers_.empty() || pending_bytes() > kHoldBytes / 2) return;
    for (const uint64_t held : std::exchange(held_publishers_, {})) server_.release_held(held);
}

void Connection::on_read_error(bus::ReadError error) {
    // Whoever has not logged in learns nothing but that, and that a CONNECT was too long.
    if (!login_ && error != bus::ReadError::kControlLine) {
        close("not a login", "Authorization Violation");
        return;
    }
    close("protocol error", error_text(error));
}

bool Connection::on_line(const bus::Line& line, std::string_view headers,
                         std::string_view payload) {
    using bus::Operation;
    if (!login_ && line.operation != Operation::kConnect) {
        close("not a login", "Authorization Violation");
        return false;
    }
    switch (line.operation) {
        case Operation::kPub:
        case Operation::kHpub: on_publish(line, headers, payload); break;
        case Operation::kSub: on_sub(line); break;
        case Operation::kUnsub: on_unsub(line); break;
        case Operation::kPing: server_.answer_ping(*this); break;
        case Operation::kPong:
            if (pings_unanswered_ == 1) {
                rtt_ = std::max<Duration>(server_.loop().wall() - pinged_at_, 1us);
            }
            pings_unanswered_ = 0;
            break;
        case Operation::kConnect: on_connect(line.text); break;
        default: break;  // +OK, -ERR and INFO from clients mean nothing
    }
    return !closing_;
}

void Connection::on_connect(std::string_view text) {
    Result<ConnectOptions> options = parse_connect(text);
    if (login_) {  // who one is, is said once
        if (options)
            send_ok();
        else
            close("CONNECT is not JSON");
        return;
    }
    if (!options) {
        close("CONNECT is not JSON", "Authorization Violation");
        return;
    }
    options_ = std::move(*options);
    const WallTime now = server_.loop().wall();
    Result<Login> login = log_in(server_.accounts(), options_, nonce_, peer_, now, entrance_->type);
    if (!login) {
        ++server_.counters().logins_refused;
        server_.log().warn("bus_login_refused", {{"client", peer_.to_string()},
                                                 {"name", printable(options_.name)},
                                                 {"reason", login.error()}});
        server_.events().on_refused(*this);
        close("login refused", "Authorization Violation");
        return;
    }
    if (Result<> limited = limit_publishing(*login); !limited) {
        server_.log().warn("bus_login_refused", {{"client", peer_.to_string()},
                                                 {"name", printable(options_.name)},
                                                 {"reason", limited.error()}});
        close("login refused", "Authorization Violation");
        return;
    }
    if (options_.no_responders && !options_.headers) {
        close("no_responders without headers", "no responders requires headers support");
        return;
    }
    if (!AccountTotals::take_one(login->account->totals->connections,
                                 login->account->claims.limits.connections)) {
        close("account at its limit", "maximum account active connections exceeded");
        return;
    }
    options_.jwt.clear();
    login_ = std::move(*login);
    login_->account->connections.insert(this);
    if (login_->permissions != auth::Permissions()) {
        permissions_ = std::make_unique<auth::PermissionSet>(login_->permissions);
        reply_permits_.set_rule(login_->permissions.response);
    }
    reader_.set_payload_max(payload_max());
    if (payload_max() != server_.options().payload_max && options_.protocol >= 1) {
        send(server_.info_line(*this, nonce_, peer_, payload_max()));
    }
    timer_.start(server_.options().ping_interval);
    check_login();
    server_.events().on_connected(*this);
    server_.log().debug("bus_login", {{"client", peer_.to_string()},
                                      {"user", login_->user_name},
                                      {"account", login_->account->claims.name}});
    send_ok();
}

Result<> Connection::limit_publishing(const Login& login) {
    const ServerOptions& options = server_.options();
    // The platform's own accounts are not slowed by what the profile says for everybody.
    PublishRate rate =
        server_.is_own_account(*login.account) ? PublishRate() : options.publish_rate;
    CANDELA_TRY_ASSIGN(rate, read_publish_rate(login.account->claims.tags, rate));
    CANDELA_TRY_ASSIGN(rate, read_publish_rate(login.tags, rate));
    if (!rate.is_limited()) return {};
    publish_budget_ = options.publish_budgets->find(login.user_key, rate);
    auto paced = std::make_unique<PacedStream>(std::move(stream_), *this);
    pacer_ = paced.get();
    stream_ = std::move(paced);
    return {};
}

size_t Connection::payload_max() const {
    size_t max = server_.options().payload_max;
    for (const int64_t limit : {login_->limits.payload, login_->account->claims.limits.payload}) {
        if (limit >= 0) max = std::min(max, static_cast<size_t>(limit));
    }
    return max;
}

void Connection::on_publish(const bus::Line& line, std::string_view headers,
                            std::string_view payload) {
    if (line.operation == bus::Operation::kHpub && !options_.headers) {
        close("HPUB without headers");
        return;
    }
    ++server_.counters().messages_in;
    ++traffic_.in_messages;
    traffic_.in_bytes += headers.size() + payload.size();
    if (options_.pedantic && !bus::is_valid_subject(line.subject)) {
        send_error("Invalid Publish Subject");
    }
    // Answers on their way between accounts have subjects that nobody else may ask for.
    if (line.reply.starts_with(Responses::kPrefix)) {
        send_error(
            fmt::format("Permissions Violation for Publish with Reply of \"{}\"", line.reply));
        return;
    }
    Message message;
    message.subject = line.subject;
    message.reply = line.reply;
    message.header_bytes = headers.size();
    // In the input they lie one behind the other, with the line end.
    message.body = {headers.data(), headers.size() + payload.size() + bus::kLineEnd.size()};
    if (publish_budget_ != nullptr) {
        const size_t bytes = headers.size() + payload.size();
        const Duration wait = publish_budget_->spend(bytes, server_.loop().now());
        if (wait > kPauseMin) pacer_->pause_for(wait);
    }
    Account& account = *login_->account;
    const bool is_taken = account.mappings == nullptr
                              ? server_.publish(account, this, message)
                              : server_.publish_mapped(account, *this, message);
    if (is_taken) send_ok();
}

void Connection::on_sub(const bus::Line& line) {
    if (subscriptions_.contains(line.sid)) {  // the first one stays
        send_ok();
        return;
    }
    if (!bus::is_valid_pattern(line.subject)) {
        send_error("Invalid Subject");
        return;
    }
    if (permissions_ != nullptr && !permissions_->may_subscribe(line.subject, line.queue)) {
        std::string text =
            fmt::format("Permissions Violation for Subscription to \"{}\"", line.subject);
        if (!line.queue.empty()) text += fmt::format(" using queue \"{}\"", line.queue);
        send_error(text);
        return;
    }
    size_t limit = server_.options().subscriptions_max;
    if (login_->limits.subscriptions >= 0) {
        limit = std::min(limit, static_cast<size_t>(login_->limits.subscriptions));
    }
    if (subscriptions_.size() >= limit ||
        !AccountTotals::take_one(login_->account->totals->subscriptions,
                                 login_->account->claims.limits.subscriptions)) {
        send_error("maximum subscriptions exceeded");
        return;
    }
    auto subscription = std::make_unique<Subscription>();
    subscription->connection = this;
    subscription->subject = std::string(line.subject);
    subscription->queue = std::string(line.queue);
    subscription->sid = std::string(line.sid);
    subscription->sid_between_blanks = fmt::format(" {} ", line.sid);
    subscription->check_delivery =
        permissions_ != nullptr && permissions_->needs_delivery_check(line.subject);
    login_->account->sublist.insert(*subscription);
    server_.touch(*login_->account);
    server_.note_change(*this);
    subscriptions_.emplace(subscription->sid, std::move(subscription));
    send_ok();
}

void Connection::on_unsub(const bus::Line& line) {
    // As nats-server takes it, what is no count means at once.
    const int64_t max = line.max.empty() ? 0 : std::max<int64_t>(bus::parse_count(line.max), 0);
    const auto found = subscriptions_.find(line.sid);
    if (found != subscriptions_.end()) {
        Subscription& subscription = *found->second;
        subscription.max = static_cast<uint64_t>(max);
        if (subscription.delivered >= subscription.max) remove_subscription(subscription);
    }
    send_ok();
}

void Connection::remove_subscription(Subscription& subscription) {
    login_->account->sublist.remove(subscription);
    --login_->account->totals->subscriptions;
    server_.touch(*login_->account);
    subscriptions_.erase(subscriptions_.find(subscription.sid));
}

bool Connection::deliver(Subscription& subscription, const Message& message, std::string_view tail,
                         std::string_view tail_without_headers) {
    if (closing_) return false;
    if (subscription.check_delivery && !permissions_->may_receive(message.subject)) return false;
    std::string_view body = message.body;
    bool has_headers = message.header_bytes != 0;
    if (has_headers && !options_.headers) {  // this client does not know them
        has_headers = false;
        body.remove_prefix(message.header_bytes);
        tail = tail_without_headers;
    }
    const size_t size = 5 + message.subject.size() + subscription.sid_between_blanks.size() +
                        tail.size() + body.size();
    if (!has_room_for(size)) return false;
    char* to = out_.prepare(size);
    to = put(to, has_headers ? "HMSG " : "MSG ");
    to = put(to, message.subject);
    to = put(to, subscription.sid_between_blanks);
    to = put(to, tail);
    to = put(to, body);
    out_.commit(to);
    ++subscription.delivered;
    ++traffic_.out_messages;
    traffic_.out_bytes += body.size() - bus::kLineEnd.size();
    if (!message.reply.empty() && reply_permits_.is_active()) {
        reply_permits_.note(message.reply, server_.loop().now());
    }
    if (in_stream_ == 0 && out_.size() >= kWriteEarlyBytes) flush();
    server_.mark_dirty(*this);
    return true;
}

// False: it would have too much waiting, and is closed.
bool Connection::has_room_for(size_t size_bytes) {
    if (pending_bytes() + size_bytes <= server_.options().pending_bytes_max) return true;
    close_slow("too much waits for it");
    return false;
}

void Connection::send(std::string_view text) {
    if (closing_ || !has_room_for(text.size())) return;
    out_.append(text);
    server_.mark_dirty(*this);
}

void Connection::send_error(std::string_view text) { send(fmt::format("-ERR '{}'\r\n", text)); }

void Connection::send_ok() {
    if (options_.verbose) send("+OK\r\n");
}

void Connection::close(std::string_view reason, std::string_view error) {
    if (closing_) return;
    // However much waits: these are its last words.
    if (!error.empty()) out_.append(fmt::format("-ERR '{}'\r\n", error));
    closing_ = true;
    close_reason_ = std::string(reason);
    lingers_ = was_refused_ = !error.empty();
    server_.mark_closing(*this);
    note_pending();
}

void Connection::send_away(std::string_view reason) {
    close(reason);
    lingers_ = true;
}

void Connection::close_slow(std::string_view reason) {
    if (closing_) return;
    ++traffic_.slow_consumers;
    server_.report_slow(*this, reason);
    close(reason);
}

// For the account's budget; once a round is often enough.
void Connection::note_pending() {
    if (!login_) return;
    Account& account = *login_->account;
    if (budget_share_.set(account.totals->budget, closing_ ? 0 : pending_bytes()))
        server_.shed(account);
}

bool Connection::start_linger() {
    if (!lingers_) return false;
    // A socket that is closed while the client still sends is reset, and the reason would be lost
    // with it.
    stream_->write(out_.front(SIZE_MAX));
    out_.consume(out_.size());
    if (websocket_ != nullptr) {
        websocket_->set_end_status(was_refused_ ? http::WebSocketStatus::kPolicyViolation
                                                : http::WebSocketStatus::kGoingAway);
    }
    stream_->end();
    timer_.start(kLingerTime);
    expiry_.stop();
    set_stalled(false);
    resume_reading();
    return true;
}

void Connection::flush() {
    while (in_stream_ == 0 && !out_.empty()) {
        const std::string_view bytes = out_.front(kWriteBytesMax);
        server_.counters().bytes_out += bytes.size();
        progress_at_ = server_.loop().now();  // until now it had taken everything
        stream_->write(bytes);
        in_stream_ = stream_->queued_bytes();
        out_.consume(bytes.size());
        if (in_stream_ != 0) server_.note_backlog();
    }
    note_pending();
}

void Connection::on_timer() {
    if (closing_) {
        server_.forget(*this, close_reason_);
        return;
    }
    if (!login_) {
        close("no login in time", "Authentication Timeout");
        return;
    }
    // Whoever is not read can't be heard to answer.
    if (pacer_ != nullptr && pacer_->is_pausing()) pings_unanswered_ = 0;
    if (pings_unanswered_ >= server_.options().pings_unanswered_max) {
        close("stale", "Stale Connection");
        return;
    }
    if (++pings_unanswered_ == 1) pinged_at_ = server_.loop().wall();
    send("PING\r\n");
    timer_.start(server_.options().ping_interval);
}

void Connection::check_login() {
    if (!login_ || closing_) return;
    const WallTime now = server_.loop().wall();
    if (const auto reason = reason_to_end(*login_, now)) {
        close(*reason, *reason);
        return;
    }
    const std::optional<WallTime> end = login_->good_until(now);
    if (!end) return;
    // Wall clocks jump: a far end is looked at again and again.
    expiry_.start(std::min(*end, now + 1min) - now);
}

void Connection::check_backlog() {
    // What is only to be written at the end of the round has not been refused by anybody.
    if (closing_ || in_stream_ == 0) return;
    if (server_.loop().now() - progress_at_ < server_.options().write_deadline) return;
    close_slow("took nothing for too long");
}

bool Connection::wants_publisher_to_wait(MonoTime now) const {
    return pending_bytes() > kHoldBytes && in_stream_ != 0 && now - progress_at_ < kProgressTime;
}

void Connection::hold_publisher(Connection& publisher) {
    if (add_held(publisher.id())) publisher.pause_reading();
}

bool Connection::add_held(uint64_t publisher) {
    if (held_publishers_.size() >= kHeldPublishersMax) return false;
    held_publishers_.push_back(publisher);
    return true;
}

void Connection::pause_reading() {
    if (is_held_ || closing_) return;
    is_held_ = true;
    stream_->pause();
    hold_timer_.start(kHoldTime);
}

void Connection::resume_reading() {
    if (!is_held_) return;
    is_held_ = false;
    hold_timer_.stop();
    if (!is_stalled_) stream_->resume();
}

void Connection::set_stalled(bool is_stalled) {
    if (is_stalled_ == is_stalled) return;
    is_stalled_ = is_stalled;
    if (is_stalled)
        stream_->pause();
    else if (!is_held_)
        stream_->resume();
}

}  // namespace candela::bus_role
