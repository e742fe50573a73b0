#include "bus/client_core.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "tls/stream.h"

namespace candela::bus {

namespace {

constexpr unsigned kPingsUnansweredMax = 2;
constexpr size_t kMessageBytesMax = 64 * 1024 * 1024;  // more than any server may be told to carry

}  // namespace

ClientCore::ClientCore(Loop& loop, ClientOptions options, Logger log)
    : loop_(loop),
      options_(std::move(options)),
      log_(std::move(log)),
      connect_timer_(loop.timers(),
                     [this] {
                         const std::shared_ptr<ClientCore> self = shared_from_this();
                         if (stream_ != nullptr || attempt_ != nullptr || handshake_.size() != 0) {
                             lost(Error(Code::kTimeout, "the bus did not answer in time"));
                         } else {
                             connect_next();
                         }
                     }),
      ping_timer_(loop.timers(), [this] { on_ping_timer(); }) {}

ClientCore::~ClientCore() = default;

void ClientCore::start() { connect_timer_.start(0ns); }

void ClientCore::close() {
    if (state_ == ClientState::kClosed) return;
    flush_out();
    attempt_.reset();
    handshake_.cancel();
    stream_.reset();
    connect_timer_.stop();
    ping_timer_.stop();
    set_state(ClientState::kClosed);
    const Error closed(Code::kCancelled, "the bus client was closed");
    while (!waiting_.empty()) {
        Waiting* waiting = waiting_.begin()->second;
        waiting_.erase(waiting_.begin());
        waiting->done.complete(fail(closed));
    }
    pongs_.insert(pongs_.end(), flushes_.begin(), flushes_.end());
    flushes_.clear();
    fail_flushes(closed);
    // Handlers may own what holds this client: they end last, when nothing here is looked at any
    // more.
    const auto entries = std::exchange(entries_, {});
}

void ClientCore::connect_next() {
    if (options_.servers.empty()) {
        last_error_ = "no bus address is configured";
        return;
    }
    const Address& address = options_.servers[next_server_ % options_.servers.size()];
    ++next_server_;
    server_host_ = address.host;
    connect_timer_.start(options_.connect_timeout);
    // The attempt is ours: when it is gone its handler is never called.
    attempt_ = loop_.connect(address,
                             [this](Result<StreamPtr> stream) { on_connected(std::move(stream)); });
}

void ClientCore::on_connected(Result<StreamPtr> stream) {
    const std::shared_ptr<ClientCore> self = shared_from_this();
    attempt_.reset();
    if (!stream) {
        lost(stream.error());
        return;
    }
    stream_ = std::move(*stream);
    reader_ = ClientReader(kMessageBytesMax);
    broken_.reset();
    got_info_ = false;
    out_.clear();
    if (options_.tls.is_first && stream_->peer().kind != Address::Kind::kInProcess)
        begin_tls();
    else
        stream_->start(*this);
}

void ClientCore::begin_tls() { handshake_.spawn(shake_hands()); }

// Ends nothing itself where it fails: what it is part of would go with it.
Task<void> ClientCore::shake_hands() {
    const std::shared_ptr<ClientCore> self = shared_from_this();
    Result<std::shared_ptr<tls::ClientContext>> context =
        options_.tls.context ? options_.tls.context()
                             : client_tls_from_files(ClientTlsFiles()).context();
    Result<StreamPtr> secured = fail(Code::kInternal, "no TLS context");
    if (context) {
        secured = co_await tls::wrap_client(std::move(stream_), *context, server_host_,
                                            options_.connect_timeout);
    } else {
        secured = fail(context.error());
    }
    if (!secured) {
        loop_.defer([weak = weak_from_this(), error = secured.error().in("TLS")] {
            const std::shared_ptr<ClientCore> core = weak.lock();
            if (core != nullptr) core->lost(error);
        });
        co_return;
    }
    stream_ = std::move(*secured);
    stream_->start(*this);
    if (got_info_) log_in();
}

void ClientCore::on_data(std::string_view bytes) {
    const std::shared_ptr<ClientCore> self = shared_from_this();
    const std::optional<ReadError> error = reader_.feed(bytes, *this);
    if (state_ == ClientState::kClosed) return;
    if (error) {
        lost(Error(Code::kInvalid, "what the bus sent is not the NATS protocol"));
    } else if (broken_) {
        lost(Error(*broken_));
    }
}

void ClientCore::on_end() {
    const std::shared_ptr<ClientCore> self = shared_from_this();
    lost(Error(Code::kUnreachable, "the bus closed the connection"));
}

void ClientCore::on_error(const Error& error) {
    const std::shared_ptr<ClientCore> self = shared_from_this();
    lost(error);
}

bool ClientCore::on_line(const Line& line, std::string_view headers, std::string_view payload) {
    switch (line.operation) {
        case Operation::kMsg:
        case Operation::kHmsg: dispatch(line, headers, payload); break;
        case Operation::kPing:
            out_ += "PONG\r\n";
            schedule_flush();
            break;
        case Operation::kPong: on_pong(); break;
        case Operation::kInfo: on_info(line.text); break;
        case Operation::kErr: on_server_error(line.text); break;
        default: break;
    }
    return state_ != ClientState::kClosed && !broken_ && stream_ != nullptr;
}

void ClientCore::on_info(std::string_view text) {
    const Result<Json> info = parse_json(text);
    if (!info) {
        broken_ = info.error().in("INFO of the bus");
        return;
    }
    const int64_t payload_max = json_int_or(*info, "max_payload", kDefaultPayloadMax);
    if (payload_max > 0) payload_max_ = static_cast<size_t>(payload_max);
    if (std::exchange(got_info_, true)) return;
    nonce_ = json_string_or(*info, "nonce");
    has_headers_ = json_bool_or(*info, "headers", false);
    const bool is_elsewhere = stream_->peer().kind != Address::Kind::kInProcess;
    const bool is_asked_for = json_bool_or(*info, "tls_required", false);
    const bool is_offered = is_asked_for || json_bool_or(*info, "tls_available", false);
    const bool is_wanted = is_asked_for || options_.tls.is_required;
    if (!is_elsewhere || stream_->is_encrypted() || !is_wanted) return log_in();
    if (!is_offered) {
        broken_ = Error(Code::kDenied, "the bus offers no TLS, which this node asks for");
        return;
    }
    begin_tls();
}

void ClientCore::log_in() {
    const bool has_headers = has_headers_;
    Json connect = {{"verbose", false},
                    {"pedantic", false},
                    {"tls_required", stream_->is_encrypted()},
                    {"name", options_.name},
                    {"lang", "candela"},
                    {"version", CANDELA_VERSION},
                    {"protocol", 1},
                    {"echo", true},
                    {"headers", has_headers},
                    {"no_responders", has_headers}};
    if (inbox_prefix_.empty()) inbox_prefix_ = options_.inbox_prefix;
    if (options_.credentials) {
        const Result<auth::Credentials> credentials = options_.credentials();
        if (!credentials) {
            broken_ = credentials.error();
            return;
        }
        connect["jwt"] = credentials->jwt;
        const crypto::Signature signature = credentials->key.sign(nonce_);
        connect["sig"] = base64url_encode(signature);
        // Credentials allow the inboxes below their own key only; those that were renewed have a
        // new one.
        if (options_.inbox_prefix.empty()) {
            const std::string own = "_INBOX." + credentials->key.public_key();
            if (own != inbox_prefix_) {
                inbox_prefix_ = own;
                if (inbox_sid_ != 0) {
                    unsubscribe(std::exchange(inbox_sid_, 0));
                    inbox_.clear();
                }
            }
        }
    }
    out_ += "CONNECT ";
    out_ += dump_json(connect);
    out_ += "\r\nPING\r\n";
    schedule_flush();
}

void ClientCore::on_pong() {
    if (state_ != ClientState::kConnected) {
        if (got_info_) become_connected();
        return;
    }
    pings_unanswered_ = 0;
    if (pongs_.empty()) return;
    FlushWaiting* waiting = pongs_.front();
    pongs_.pop_front();
    if (waiting != nullptr) waiting->done.complete(Result<>());
}

void ClientCore::become_connected() {
    connect_timer_.stop();
    failures_ = 0;
    pings_unanswered_ = 0;
    last_error_.clear();
    for (auto& [sid, entry] : entries_) append_sub(sid, *entry);
    out_ += std::exchange(offline_, {});
    for (FlushWaiting* waiting : std::exchange(flushes_, {})) send_ping(waiting);
    schedule_flush();
    ping_timer_.start(options_.ping_interval);
    log_.info("bus_connected", {{"bus", stream_->peer().to_string()}});
    set_state(ClientState::kConnected);
}

void ClientCore::on_server_error(std::string_view text) {
    last_error_ = "the bus answered " + printable(text);
    log_.warn("bus_error", {{"bus", options_.name}, {"error", printable(text)}});
    const std::string lowered = ascii_lower(text);
    // What concerns one subject leaves the connection as it is; all else the server closes.
    const bool goes_on = lowered.find("permissions violation") != std::string::npos ||
                         lowered.find("invalid subject") != std::string::npos ||
                         lowered.find("invalid publish subject") != std::string::npos ||
                         lowered.find("maximum subscriptions exceeded") != std::string::npos;
    if (!goes_on) broken_ = Error(Code::kDenied, last_error_);
}

void ClientCore::lost(const Error& error) {
    if (state_ == ClientState::kClosed) return;
    const bool was_connected = state_ == ClientState::kConnected;
    // The same failure again and again is told once.
    const bool is_news = was_connected || last_error_ != error.message();
    if (is_news) {
        log_.warn("bus_connection_lost", {{"error", error}, {"was_connected", was_connected}});
    }
    last_error_ = error.message();
    got_info_ = false;
    attempt_.reset();
    handshake_.cancel();
    stream_.reset();
    out_.clear();
    ping_timer_.stop();
    const double growth = static_cast<double>(uint64_t{1} << std::min(failures_, 20u));
    const double longest = static_cast<double>(options_.reconnect_delay_max.count());
    const double full =
        std::min(static_cast<double>(options_.reconnect_delay_min.count()) * growth, longest);
    // Half of the pause is random, so that a thousand clients do not come back at once.
    const auto half = static_cast<int64_t>(full / 2);
    const auto jitter = static_cast<int64_t>(loop_.random().below(static_cast<uint64_t>(half) + 1));
    if (next_server_ % std::max<size_t>(options_.servers.size(), 1) == 0) ++failures_;
    connect_timer_.start(Duration(half + jitter));
    if (was_connected) set_state(ClientState::kConnecting);
    fail_flushes(error);
}

// Each one that is woken may end others that wait: they are taken one by one.
void ClientCore::fail_flushes(const Error& error) {
    while (!pongs_.empty()) {
        FlushWaiting* waiting = pongs_.front();
        pongs_.pop_front();
        if (waiting != nullptr) waiting->done.complete(fail(error));
    }
}

void ClientCore::set_state(ClientState state) {
    if (state_ == state) return;
    state_ = state;
    // The callback may replace itself, or end this client.
    const std::function<void(ClientState)> callback = on_state_;
    if (callback) callback(state);
}

void ClientCore::on_ping_timer() {
    const std::shared_ptr<ClientCore> self = shared_from_this();
    if (pings_unanswered_ >= kPingsUnansweredMax) {
        lost(Error(Code::kTimeout, "the bus no longer answers"));
        return;
    }
    send_ping(nullptr);
    ping_timer_.start(options_.ping_interval);
}

void ClientCore::send_ping(FlushWaiting* waiting) {
    ++pings_unanswered_;
    pongs_.push_back(waiting);
    out_ += "PING\r\n";
    schedule_flush();
}

void ClientCore::schedule_flush() {
    if (flush_scheduled_) return;
    flush_scheduled_ = true;
    loop_.defer([weak = weak_from_this()] {
        const std::shared_ptr<ClientCore> self = weak.lock();
        if (self == nullptr) return;
        self->flush_scheduled_ = false;
        self->flush_out();
    });
}

void ClientCore::flush_out() {
    if (stream_ == nullptr || out_.empty()) return;
    stream_->write(out_);
    out_.clear();
}

}  // namespace candela::bus
