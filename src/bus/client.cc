#include "bus/client.h"

#include "bus/client_core.h"

namespace candela::bus {

namespace {

// Flows hold the core, not the client, which may be gone before they have noticed.
Task<Result<OwnedMessage>> run_request(std::shared_ptr<ClientCore> core, std::string subject,
                                       std::string payload, Duration timeout, std::string headers) {
    ClientCore::Waiting waiting(core);
    Timer timer(core->loop().timers(), [&] {
        waiting.done.complete(
            fail(Code::kTimeout, "no answer from {} within {}", subject, format_duration(timeout)));
    });
    timer.start(timeout);
    if (!waiting.done.is_complete()) {
        PublishOptions options;
        options.reply = waiting.reply;
        options.headers = headers;
        const Result<> sent = core->publish(subject, payload, options);
        if (!sent) co_return fail(sent.error());
    }
    co_return co_await waiting.done;
}

Task<Result<>> run_flush(std::shared_ptr<ClientCore> core, Duration timeout) {
    ClientCore::FlushWaiting waiting(core);
    Timer timer(core->loop().timers(), [&] {
        waiting.done.complete(
            fail(Code::kTimeout, "the bus did not answer within {}", format_duration(timeout)));
    });
    timer.start(timeout);
    co_return co_await waiting.done;
}

Task<Result<>> run_drain(std::shared_ptr<ClientCore> core, Duration timeout) {
    core->unsubscribe_all();
    Result<> flushed = co_await run_flush(core, timeout);
    core->close();
    co_return flushed;
}

}  // namespace

CredentialsProvider credentials_from_file(std::string path) {
    return [path = std::move(path)] { return auth::load_creds(path); };
}

void Subscription::unsubscribe() {
    const uint64_t sid = std::exchange(sid_, 0);
    if (sid == 0) return;
    if (const std::shared_ptr<ClientCore> core = core_.lock()) core->unsubscribe(sid);
    core_.reset();
}

bool Subscription::is_active() const {
    const std::shared_ptr<ClientCore> core = core_.lock();
    return core != nullptr && core->has_subscription(sid_);
}

void Subscription::unsubscribe_after(uint64_t messages) {
    if (const std::shared_ptr<ClientCore> core = core_.lock()) {
        core->unsubscribe_after(sid_, messages);
    }
}

Client::Client(Loop& loop, ClientOptions options, Logger log)
    : core_(std::make_shared<ClientCore>(loop, std::move(options), std::move(log))) {
    core_->start();
}

Client::~Client() {
    core_->on_state({});
    core_->close();
}

Result<> Client::publish(std::string_view subject, std::string_view payload,
                         const PublishOptions& options) {
    return core_->publish(subject, payload, options);
}

Result<Subscription> Client::subscribe(std::string_view subject, Handler handler,
                                       std::string_view queue) {
    CANDELA_TRY_ASSIGN(const uint64_t sid, core_->subscribe(subject, queue, std::move(handler)));
    return Subscription(core_, sid);
}

Task<Result<OwnedMessage>> Client::request(std::string subject, std::string payload,
                                           Duration timeout, std::string headers) {
    return run_request(core_, std::move(subject), std::move(payload), timeout, std::move(headers));
}

Task<Result<>> Client::flush(Duration timeout) { return run_flush(core_, timeout); }
Task<Result<>> Client::drain(Duration timeout) { return run_drain(core_, timeout); }

ClientState Client::state() const { return core_->state(); }
void Client::on_state(std::function<void(ClientState)> callback) {
    core_->on_state(std::move(callback));
}
const std::string& Client::last_error() const { return core_->last_error(); }
std::string Client::new_inbox() { return core_->new_inbox(); }
size_t Client::pending_bytes() const { return core_->pending_bytes(); }
size_t Client::payload_max() const { return core_->payload_max(); }
Loop& Client::loop() { return core_->loop(); }

}  // namespace candela::bus
