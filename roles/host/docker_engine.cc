#include "docker_engine.h"

#include <algorithm>

#include "base/text.h"

namespace candela::host {

namespace {

// A registry that can't be reached now may be later; one that has no such image never will. To an
// engine both are the same, but for what it says of it.
Error as_pull_error(const Error& error) {
    constexpr std::string_view kPassing[] = {
        "dial tcp",         "lookup ",        "i/o timeout", "connection refused",
        "connection reset", "timeout",        "EOF",         "no route to host",
        "toomanyrequests",  "Client.Timeout", "unavailable", "network is unreachable",
    };
    const bool may_pass = std::ranges::any_of(kPassing, [&](std::string_view text) {
        return error.message().find(text) != std::string::npos;
    });
    const bool is_unclear = error.code() == Code::kInternal || error.code() == Code::kNotFound;
    if (!may_pass || !is_unclear) return error;
    return Error(Code::kUnreachable, error.message());
}

}  // namespace

DockerEngine::DockerEngine(Loop& loop, std::string socket, Logger log,
                           std::function<void()> on_change)
    : loop_(loop),
      log_(std::move(log)),
      on_change_(std::move(on_change)),
      api_(loop, std::move(socket)) {}

Task<void> DockerEngine::start() {
    if (!is_wanted()) co_return;
    tasks_.spawn(look_forever());
    Timer timer(loop_.timers(), [this] { looked_.set(); });
    timer.start(kFirstAnswerTimeout);
    co_await looked_.wait();
}

Task<void> DockerEngine::look_forever() {
    for (;;) {
        co_await look();
        looked_.set();
        const Duration pause = is_on() ? kPingInterval : kLookInterval;
        const MonoTime until = loop_.now() + pause;
        // Sooner where somebody meets it gone.
        while (loop_.now() < until) {
            const bool was_on = is_on();
            co_await sleep_for(loop_, kLookInterval, kLookInterval / 4);
            if (was_on && !is_on()) break;
        }
    }
}

Task<void> DockerEngine::look() {
    if (is_on()) {
        const auto answer = co_await api_.ping();
        if (!answer) on_failure(answer.error());
        if (is_on()) co_return;
    }
    auto info = co_await api_.probe();
    if (!info) {
        set_off(info.error());
        co_return;
    }
    info_ = std::move(*info);
    why_off_.reset();
    log_.info("engine_on", {{"engine", detail()}});
    on_.set();
    on_change_();
}

void DockerEngine::set_off(const Error& error) {
    const bool is_news = is_on() || !why_off_ || why_off_->message() != error.message();
    info_.reset();
    why_off_ = error;
    on_.reset();
    if (!is_news) return;
    // Most machines have none, and need none.
    if (error.system_errno() == ENOENT)
        log_.debug("engine_off", {{"error", error}});
    else
        log_.info("engine_off", {{"error", error}});
    on_change_();
}

void DockerEngine::on_failure(const Error& error) {
    const bool is_gone = error.code() == Code::kUnreachable || error.code() == Code::kTimeout;
    if (is_gone && is_on()) set_off(error);
}

std::string DockerEngine::detail() const {
    if (is_on()) {
        return fmt::format("{}, API {}, cgroup v{}", info_->name, info_->version,
                           info_->cgroup_version);
    }
    return why_off().message();
}

Error DockerEngine::why_off() const {
    if (!is_wanted()) return Error(Code::kUnsupported, "turned off by [host] docker_socket");
    if (!why_off_) return Error(Code::kUnreachable, "docker: not asked yet");
    return *why_off_;
}

Task<Result<>> DockerEngine::provide_image(std::string image, OnProgress on_progress) {
    if (!is_on()) co_return fail(why_off());
    auto has = co_await api_.has_image(image);
    if (!has) {
        on_failure(has.error());
        co_return fail(has.error());
    }
    if (*has) co_return Result<>();
    std::shared_ptr<Pull> state = pulls_[image];
    if (state == nullptr) {
        state = std::make_shared<Pull>();
        pulls_[image] = state;
        tasks_.spawn(pull(image, state));
    }
    // Who is cancelled hears nothing more.
    struct Listening {
        Pull& pull;
        uint64_t number;
        ~Listening() { pull.listeners.erase(number); }
    };
    const Listening listening(*state, next_listener_++);
    state->listeners[listening.number] = on_progress;
    if (!state->progress.empty()) on_progress(state->progress);
    co_await state->done.wait();
    if (state->error) co_return fail(*state->error);
    co_return Result<>();
}

Task<void> DockerEngine::pull(std::string image, std::shared_ptr<Pull> state) {
    const MonoTime begun = loop_.now();
    Result<> pulled = fail(Code::kInternal, "not pulled");
    for (int attempt = 1;; ++attempt) {
        pulled = co_await pull_image(image, state);
        const bool may_pass = !pulled && pulled.error().code() == Code::kUnreachable;
        if (!may_pass || !is_on() || attempt == kPullAttempts) break;
        co_await sleep_for(loop_, kPullRetryPause);
    }
    if (pulled) {
        log_.info("image_pulled", {{"image", image}, {"took", loop_.now() - begun}});
    } else {
        log_.warn("image_not_pulled", {{"image", image}, {"error", pulled.error()}});
        // While the engine is away there is nothing but to wait; a registry that stays away is a
        // failure like any other: somebody waits for it.
        state->error = is_on() ? Error(Code::kIo, pulled.error().message()) : pulled.error();
    }
    pulls_.erase(image);
    state->done.set();
}

Task<Result<>> DockerEngine::pull_image(std::string image, std::shared_ptr<Pull> state) {
    const std::string context = "pulling " + image;
    const auto tell = [&](std::string text) {
        if (state->progress == text) return;
        state->progress = std::move(text);
        for (const auto& [number, listener] : state->listeners) listener(state->progress);
    };
    tell(context);
    auto response = co_await api_.pull(image);
    if (!response) {
        on_failure(response.error());
        co_return fail(as_pull_error(response.error()).in(context));
    }
    PullProgress progress;
    MonoTime heard_at = loop_.now();
    for (;;) {
        auto chunk = co_await response->read_chunk();
        if (!chunk && chunk.error().code() == Code::kTimeout &&
            loop_.now() - heard_at < kPullSilenceMax) {
            continue;
        }
        if (!chunk) co_return fail(chunk.error().in(context));
        if (!*chunk) break;
        heard_at = loop_.now();
        progress.feed(**chunk);
        const std::string text = progress.text();
        if (!text.empty()) tell(fmt::format("{}, {}", context, text));
    }
    if (!progress.failure().empty()) {
        const Error failure(Code::kNotFound, "docker: " + progress.failure());
        co_return fail(as_pull_error(failure).in(context));
    }
    auto has = co_await api_.has_image(image);
    if (!has) co_return fail(has.error().in(context));
    if (!*has) co_return fail(Code::kNotFound, "{}: docker: it is still not there", context);
    co_return Result<>();
}

}  // namespace candela::host
