#pragma once

// Asks an instance once whether it is well: GET a path, connect, or run a program. Lives on one
// loop; destroying it cancels the probe under way.

#include <functional>
#include <memory>
#include <string>

#include "driver.h"
#include "loop/flow.h"
#include "loop/loop.h"
#include "proto/messages.h"

namespace candela::host {

struct ProbeResult {
    bool is_well = false;
    bool has_answered = false;  // well or not: silence and a refused connection are no answers
    std::string answer;         // "HTTP 503", "connection refused": for people
};

class Prober {
public:
    using OnResult = std::function<void(ProbeResult)>;

    // `on_result` may destroy the Prober.
    Prober(Loop& loop, proto::Probe probe, OnResult on_result);
    ~Prober();
    Prober(const Prober&) = delete;
    Prober& operator=(const Prober&) = delete;

    // One probe; the result comes later, never from within this call, and within the probe's
    // timeout. An exec probe runs beside `running`, as `request` says, which only it asks; its
    // command is the probe's own. Not while one is under way.
    void start(uint16_t port, Running* running, const std::function<StartRequest()>& request_of);
    void cancel();

private:
    class Program;

    Task<void> run(Address address, std::optional<Task<Result<StreamPtr>>> way_in);
    void finish(ProbeResult result);
    void deliver();

    Loop& loop_;
    proto::Probe probe_;
    OnResult on_result_;
    ProbeResult result_;
    Timer deliver_;
    std::unique_ptr<Program> program_;
    TaskGroup tasks_;
};

}  // namespace candela::host
