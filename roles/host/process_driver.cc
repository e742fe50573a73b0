#include "process_driver.h"

#include <signal.h>

#include <optional>
#include <utility>

#include "loop/timers.h"
#include "process_table.h"

namespace candela::host {

namespace {
// How long output may still come after the end, and killed children may take to be gone: only what
// left the group, or waits for an init that does not reap, makes this wait last.
constexpr Duration kLastOutputMax = 200ms;
// How often we look whether the group of an ended leader is empty; the kernel does not tell.
constexpr Duration kGroupPollInterval = 20ms;
}  // namespace

// One process from its start until it is reaped.
class ProcessDriver::Child final : public std::enable_shared_from_this<Child>,
                                   private ProcessHandler {
public:
    Child(ProcessDriver& driver, RunningHandler& handler)
        : driver_(driver),
          handler_(&handler),
          last_output_(driver.loop_.timers(), [this] { finish(); }),
          group_poll_(driver.loop_.timers(), [this] { wait_for_group(); }) {}

    Result<> open(const StartRequest& request) {
        SpawnOptions options;
        options.command = request.command;
        options.environment = request.environment;
        options.directory = request.directory;
        CANDELA_TRY_ASSIGN(process_, Process::spawn(driver_.loop_, options, *this));
        return {};
    }

    int pid() const { return process_->pid(); }
    void terminate() {
        is_terminating_ = true;
        static_cast<void>(signal(SIGTERM));
    }
    void kill() {
        static_cast<void>(signal(SIGKILL));
        is_terminating_ = false;
        if (status_) expect_end();
    }
    // Nobody listens any more.
    void abandon() {
        handler_ = nullptr;
        kill();
    }

private:
    void on_output(OutputKind kind, std::string_view bytes) override {
        if (handler_ != nullptr) handler_->on_output(kind, bytes);
    }
    void on_exit(const ExitStatus& status) override {
        status_ = status;
        // Asked to end, its children have the same grace time as itself. Otherwise they go at once,
        // while the group's number can't have been given to another.
        if (!is_terminating_) return kill();
        wait_for_group();
    }
    void on_output_end() override {
        has_output_ended_ = true;
        if (is_group_dead_) last_output_.start(Duration(0));
    }
    void wait_for_group() {
        if (!is_terminating_) return;
        if (!signal(0)) return group_is_empty();
        // Perhaps only zombies, which an init that does not reap leaves for ever: /proc knows.
        auto is_alive = std::make_shared<bool>(true);
        driver_.loop_.offload([group = pid(), is_alive] { *is_alive = has_living_member(group); },
                              [weak = weak_from_this(), is_alive] {
                                  if (const auto self = weak.lock()) self->on_group_seen(*is_alive);
                              });
    }
    void on_group_seen(bool is_alive) {
        if (!is_terminating_) return;
        if (is_alive)
            group_poll_.start(kGroupPollInterval);
        else
            group_is_empty();
    }
    void group_is_empty() {
        is_terminating_ = false;
        expect_end();
    }
    void expect_end() {
        if (std::exchange(is_group_dead_, true)) return;
        group_poll_.stop();
        last_output_.start(has_output_ended_ ? Duration(0) : kLastOutputMax);
    }
    void finish() {
        RunningHandler* const handler = std::exchange(handler_, nullptr);
        const ExitStatus status = *status_;
        driver_.forget(*this);  // destroys this
        if (handler != nullptr) handler->on_exit(status);
    }
    // False where nobody is left in the group.
    bool signal(int number) { return !is_group_dead_ && ::kill(-process_->pid(), number) == 0; }

    ProcessDriver& driver_;
    RunningHandler* handler_;  // null once nobody listens
    Timer last_output_;
    Timer group_poll_;
    std::unique_ptr<Process> process_;
    std::optional<ExitStatus> status_;
    bool is_terminating_ = false;
    bool has_output_ended_ = false;
    bool is_group_dead_ = false;
};

// What the driver's user holds; the child may be gone before it, or live on after it.
class ProcessDriver::Handle final : public Running {
public:
    explicit Handle(const std::shared_ptr<Child>& child) : child_(child), pid_(child->pid()) {}
    ~Handle() override {
        if (const auto child = child_.lock()) child->abandon();
    }
    int pid() const override { return pid_; }
    void terminate() override {
        if (const auto child = child_.lock()) child->terminate();
    }
    void kill() override {
        if (const auto child = child_.lock()) child->kill();
    }

private:
    std::weak_ptr<Child> child_;
    int pid_;
};

ProcessDriver::ProcessDriver(Loop& loop) : loop_(loop) {}

ProcessDriver::~ProcessDriver() {
    for (const auto& child : children_) child->abandon();
}

void ProcessDriver::forget(Child& child) {
    children_.remove_if([&](const auto& other) { return other.get() == &child; });
}

Result<std::unique_ptr<Running>> ProcessDriver::start(const StartRequest& request,
                                                      RunningHandler& handler) {
    auto child = std::make_shared<Child>(*this, handler);
    CANDELA_TRY(child->open(request));
    children_.push_back(child);
    return std::unique_ptr<Running>(std::make_unique<Handle>(child));
}

}  // namespace candela::host
