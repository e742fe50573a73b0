#pragma once

// The flows of one container, and of a program beside it; for DockerDriver alone.

#include "docker_container.h"
#include "docker_driver.h"

namespace candela::host {

// One instance from its start, or its adoption, until its end is known and told.
class DockerDriver::Kept final : public std::enable_shared_from_this<Kept> {
public:
    Kept(DockerDriver& driver, ContainerNote note);

    void start(StartRequest request, RunningHandler& handler);
    // One that was there before us, as the engine has it; absent: the engine is away.
    void set_found(const std::optional<ContainerState>& state);
    void set_lost();
    void adopt(RunningHandler& handler);

    const std::string& instance() const { return note_.instance; }
    const std::string& name() const { return note_.name; }
    const std::string& id() const { return note_.id; }
    const ContainerNote& container_note() const { return note_; }
    bool is_started() const { return is_started_; }
    int pid() const { return pid_; }
    const std::string& address() const { return address_; }
    uint16_t inner_port() const { return note_.inner_port; }
    std::optional<uint64_t> memory_bytes() const { return memory_bytes_; }

    void terminate() { order(Wish::kTerminate); }
    void kill() { order(Wish::kKill); }
    void set_note(std::string_view note);
    Result<> signal(int number);
    // Nobody listens any more: it shall end.
    void abandon();
    // Nothing is done any more; the note is as new as can be. Blocks for moments.
    void let_go();

private:
    enum class Wish : uint8_t { kNone, kTerminate, kKill };

    Task<void> run();
    Task<void> go_on();
    Task<Result<>> make();
    Task<void> follow();
    Task<bool> read_log(http::ClientResponse response);
    Task<void> drain_log();
    Task<void> take_end(ContainerNote::End end);
    Task<void> measure_forever();
    Task<void> deliver();
    Task<void> deliver_signal(int number);
    Task<Result<>> save();
    Task<void> save_later();
    void learn(const ContainerState& state);
    void order(Wish wish);
    void on_save_timer();
    void finish();
    ContainerNote::End end_of(const ContainerState& state) const;

    DockerDriver& driver_;
    ContainerNote note_;
    RunningHandler* handler_ = nullptr;
    StartRequest request_;  // until it is made
    Timer later_;           // tells of the end, outside of every flow
    Timer save_timer_;
    AsyncMutex saving_;
    std::shared_ptr<ContainerNoteWriter> writer_ = std::make_shared<ContainerNoteWriter>();
    uint64_t notes_ = 0;
    std::optional<Error> start_error_;
    std::string stop_signal_ = "SIGTERM";
    std::string address_;
    std::optional<uint64_t> memory_bytes_;
    Wish wish_ = Wish::kNone;
    Wish told_ = Wish::kNone;
    bool is_delivering_ = false;
    bool is_started_ = false;
    bool is_over_ = false;
    int pid_ = 0;
    TaskGroup tasks_;  // last: its flows use the rest
};

// A program in a container that runs. It ends with this, as far as we may end it.
class DockerDriver::Beside final : public Running {
public:
    Beside(DockerDriver& driver, std::string container, RunningHandler& handler);
    ~Beside() override;

    void start(const StartRequest& request);

    int pid() const override { return 0; }
    void terminate() override { kill(); }
    void kill() override;
    void set_note(std::string_view) override {}
    Result<std::unique_ptr<Running>> run_beside(const StartRequest&, RunningHandler&) override {
        return fail(Code::kUnsupported, "this runs beside another already");
    }

private:
    Task<void> run(std::string body);
    Task<Result<ExitStatus>> run_to_end(std::string body);

    DockerDriver& driver_;
    std::string container_;
    RunningHandler& handler_;
    std::string exec_;
    std::optional<Result<ExitStatus>> result_;
    bool is_started_ = false;
    Timer later_;
    TaskGroup tasks_;
};

}  // namespace candela::host
