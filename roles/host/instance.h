#pragma once

// One instance: carries out what its InstanceMachine decides, by the driver, the prober and the
// preparer, and collects its output. Owned by the Supervisor; lives on the control loop.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "docker_engine.h"
#include "driver.h"
#include "instance_machine.h"
#include "loop/flow.h"
#include "node/log_streams.h"
#include "output_lines.h"
#include "ports.h"
#include "preparer.h"
#include "prober.h"
#include "protections.h"
#include "service/session_frame.h"

namespace candela::host {

// What all instances of a host share. Outlives them.
struct InstanceContext {
    Loop& loop;
    Driver& driver;
    Preparer& preparer;
    Ports& ports;
    LogStreams& logs;
    Logger log;
    std::string node;
    std::string bus_url;             // as services see it
    std::string run_id;              // of this data folder, by which leftovers are known
    std::string executable;          // candela's own, for static services
    std::string path;                // $PATH of services
    Walls walls;                     // that this host builds
    DockerEngine* engine = nullptr;  // of containers; null: there is none
};

class Instance final : private RunningHandler {
public:
    // Called after each change of state, never from within a call of Instance's methods; it must
    // not destroy the instance.
    using OnChange = std::function<void(Instance&)>;

    Instance(InstanceContext& context, proto::InstanceSpec spec, OnChange on_change);
    ~Instance();
    Instance(const Instance&) = delete;
    Instance& operator=(const Instance&) = delete;

    void start();
    // One that an earlier life of this host started, as its keeper remembers it.
    void adopt(std::string_view note);
    // Of a job that an earlier life of this host has run to its end.
    void resume_ended(int exit_code);
    // It will never run here; `cause` says why.
    void refuse(std::string cause);
    // Takes on the wishes of a newer assignment: draining, stop, epoch. What runs is never changed.
    void update(const proto::InstanceSpec& spec);
    void stop();

    const proto::InstanceSpec& spec() const { return spec_; }
    const InstanceMachine& machine() const { return machine_; }
    bool is_over() const { return machine_.is_over(); }
    uint16_t port() const { return port_; }
    int pid() const { return running_ != nullptr ? running_->pid() : 0; }
    proto::InstanceStatus status() const;
    // A program for a person, within the walls and with the environment of the instance.
    Result<std::unique_ptr<Running>> run_session(const service::SessionWish& wish, SessionFds fds,
                                                 RunningHandler& handler) const;

    static constexpr size_t kTailLines = 20;
    static constexpr size_t kTailLineMax = 512;  // bytes of one line of it

private:
    void perform(InstanceMachine::Actions actions);
    void perform_one(const InstanceMachine::Action& action);
    Task<void> prepare();
    void on_prepared();
    // Brings what changes while it runs to what the spec says, and tries again until it is.
    void refresh_if_needed();
    Task<void> refresh();
    void send_signals();
    void spawn();
    StartRequest start_request() const;
    std::string note() const;
    std::vector<std::string> environment() const;
    std::map<std::string, std::string, std::less<>> place_variables() const;
    ContainerWish container_wish() const;
    Timer& timer(InstanceMachine::Timer which);
    void release_port();
    void on_line(OutputKind kind, std::string_view line);
    // What the host itself has to say in the instance's log.
    void say(std::string_view text);

    void on_started(int pid) override;
    void on_start_failed(const Error& error) override;
    void on_output(OutputKind kind, std::string_view bytes) override;
    bool on_output_at(OutputKind kind, std::string_view bytes, uint64_t position) override;
    void on_lines_written(const OutputMarks& marks);
    void on_output_lost(uint64_t bytes) override;
    void on_end_detail(std::string_view detail) override { end_detail_ = detail; }
    void on_exit(const ExitStatus& status) override;

    InstanceContext& context_;
    proto::InstanceSpec spec_;
    OnChange on_change_;
    InstanceMachine machine_;
    std::deque<InstanceMachine::Action> actions_;  // still to be carried out
    bool is_performing_ = false;

    std::optional<Result<Prepared>> prepare_result_;  // on its way from the flow
    std::optional<Prepared> prepared_;
    bool is_refreshing_ = false;
    std::string progress_;    // of the preparation
    std::string end_detail_;  // of the end that is about to be told
    uint16_t port_ = 0;
    uint64_t started_at_ms_ = 0;
    std::unique_ptr<LogStreams::Channel> channel_;
    std::deque<std::string> tail_;
    OutputLines output_;
    std::optional<uint64_t> acknowledged_;  // of the output of this run; none: not known yet
    Timer phase_timer_;
    Timer probe_timer_;
    Timer healthy_timer_;
    Timer prepare_timer_;
    Timer change_timer_;  // tells of a change, outside of every other callback
    std::unique_ptr<Prober> prober_;
    std::unique_ptr<Running> running_;
    TaskGroup tasks_;
};

}  // namespace candela::host
