#pragma once

// The engine of containers of this machine: whether it is there, asked again and again, so that one
// that comes, goes or is restarted is noticed; and its images. Lives on the control loop.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/log.h"
#include "docker_api.h"
#include "loop/flow.h"

namespace candela::host {

class DockerEngine {
public:
    // `socket` empty: there shall be none. `on_change`: it came or went.
    DockerEngine(Loop& loop, std::string socket, Logger log, std::function<void()> on_change);
    DockerEngine(const DockerEngine&) = delete;
    DockerEngine& operator=(const DockerEngine&) = delete;

    // Looks for it until destroyed. Returns once the first answer is known, or kFirstAnswerTimeout
    // is over.
    Task<void> start();

    bool is_wanted() const { return !api_.socket().empty(); }
    bool is_on() const { return info_.has_value(); }
    // Only while it is on.
    const EngineInfo& info() const { return *info_; }
    // "Docker 20.10.24, API 1.41, cgroup v1"; where it is off, why.
    std::string detail() const;
    // kUnreachable, with the reason.
    Error why_off() const;
    Task<void> wait_on() { return on_.wait(); }
    DockerApi& api() { return api_; }

    // A request failed: where that means that it is gone, everybody shall know.
    void on_failure(const Error& error);

    // Makes sure that the image is there: one that is there is used, another one is pulled, once
    // however many ask. `on_progress` tells how far it is: "pulling nginx:1.27, 45 % of 62.1 MiB".
    // kIo where the registry has none for us, or does not answer.
    using OnProgress = std::function<void(std::string_view)>;
    Task<Result<>> provide_image(std::string image, OnProgress on_progress);

    static constexpr Duration kFirstAnswerTimeout = 3s;
    static constexpr Duration kPingInterval = 10s;
    static constexpr Duration kLookInterval = 1s;  // while it is away
    static constexpr Duration kPullSilenceMax = 2min;
    static constexpr int kPullAttempts = 3;  // of a registry that does not answer
    static constexpr Duration kPullRetryPause = 1s;

private:
    struct Pull {
        Event done;
        std::optional<Error> error;
        std::string progress;
        std::map<uint64_t, OnProgress> listeners;
    };

    Task<void> look_forever();
    Task<void> look();
    void set_off(const Error& error);
    Task<void> pull(std::string image, std::shared_ptr<Pull> state);
    Task<Result<>> pull_image(std::string image, std::shared_ptr<Pull> state);

    Loop& loop_;
    Logger log_;
    std::function<void()> on_change_;
    DockerApi api_;
    std::optional<EngineInfo> info_;
    std::optional<Error> why_off_;
    Event on_;
    Event looked_;  // the first answer is known
    std::map<std::string, std::shared_ptr<Pull>> pulls_;
    uint64_t next_listener_ = 0;
    TaskGroup tasks_;  // last: its flows use the rest
};

}  // namespace candela::host
