#include "loop/process.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <array>
#include <utility>

#include "loop/uv_stream_impl.h"

namespace candela {

std::string ExitStatus::to_string() const {
    if (signal != 0) return fmt::format("signal {} ({})", signal, strsignal(signal));
    return fmt::format("exit code {}", code);
}

namespace {

class UniqueFile {
public:
    UniqueFile() = default;
    explicit UniqueFile(int fd) : fd_(fd) {}
    UniqueFile(UniqueFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFile& operator=(UniqueFile&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~UniqueFile() {
        if (fd_ >= 0) ::close(fd_);
    }
    int fd() const { return fd_; }

private:
    int fd_ = -1;
};

class UvProcess;

struct ProcessBlock {
    uv_process_t handle{};
    UvProcess* owner = nullptr;
};

class UvProcess final : public Process {
public:
    UvProcess(Loop& loop, ProcessHandler& handler)
        : handler_(handler),
          output_(*this, OutputKind::kStdout, loop),
          errors_(*this, OutputKind::kStderr, loop) {}

    ~UvProcess() override {
        if (block_ == nullptr) return;
        block_->owner = nullptr;
        uv_close(reinterpret_cast<uv_handle_t*>(&block_->handle),
                 [](uv_handle_t* closed) { delete static_cast<ProcessBlock*>(closed->data); });
    }

    Result<> open(Loop& loop, const SpawnOptions& options);

    int pid() const override { return pid_; }
    bool has_exited() const override { return exited_; }
    Result<> signal_group(int signal_number) override {
        if (::kill(-pid_, signal_number) != 0 && errno != ESRCH) {
            return fail_errno(fmt::format("signalling process group {}", pid_), errno);
        }
        return {};
    }
    void pause_output() override {
        output_.set_paused(true);
        errors_.set_paused(true);
    }
    void resume_output() override {
        output_.set_paused(false);
        errors_.set_paused(false);
    }

private:
    class Pipe final : private StreamHandler {
    public:
        Pipe(UvProcess& process, OutputKind kind, Loop& loop)
            : process_(process), kind_(kind), loop_(loop) {}
        // Returns the child's end. A real pipe, as a shell makes it: what libuv itself would make
        // is a socket, on which a program can't open /dev/stdout or /dev/stderr.
        Result<UniqueFile> prepare() {
            auto& loop = static_cast<UvLoop&>(loop_);
            uv_file ends[2];
            const int made = uv_pipe(ends, UV_NONBLOCK_PIPE, 0);
            if (made != 0) return fail(uv_failure("making a pipe", made));
            UniqueFile child(ends[1]);
            UvStreamBlock* block = UvStreamBlock::make(loop.uv(), false);
            stream_ = std::make_unique<UvStream>(loop, block);
            const int opened = uv_pipe_open(&block->handle.pipe, ends[0]);
            if (opened != 0) {
                ::close(ends[0]);
                return fail(uv_failure("opening a pipe", opened));
            }
            return child;
        }
        void read() { stream_->start(*this); }
        void set_paused(bool paused) {
            if (stream_ == nullptr) return;
            if (paused)
                stream_->pause();
            else
                stream_->resume();
        }

    private:
        void on_data(std::string_view bytes) override { process_.handler_.on_output(kind_, bytes); }
        void on_end() override { close(); }
        void on_error(const Error&) override { close(); }
        void close() {
            stream_.reset();
            process_.on_pipe_closed();
        }

        UvProcess& process_;
        OutputKind kind_;
        Loop& loop_;
        StreamPtr stream_;
    };

    void on_pipe_closed() {
        if (--open_pipes_ == 0) handler_.on_output_end();
    }
    void on_exit(int64_t code, int signal_number) {
        exited_ = true;
        ExitStatus status;
        status.code = static_cast<int>(code);
        status.signal = signal_number;
        handler_.on_exit(status);
    }

    ProcessHandler& handler_;
    ProcessBlock* block_ = nullptr;
    Pipe output_;
    Pipe errors_;
    int pid_ = 0;
    int open_pipes_ = 2;
    bool exited_ = false;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
    std::vector<char*> out;
    for (const std::string& text : strings) out.push_back(const_cast<char*>(text.c_str()));
    out.push_back(nullptr);
    return out;
}

Result<> UvProcess::open(Loop& loop, const SpawnOptions& options) {
    std::vector<char*> arguments = pointers(options.command);
    std::vector<char*> environment = pointers(options.environment);
    std::array<uv_stdio_container_t, 3> stdio{};
    stdio[0].flags = options.input ? UV_INHERIT_FD : UV_IGNORE;
    stdio[0].data.fd = options.input.value_or(-1);  // libuv opens /dev/null for what it ignores
    UniqueFile child_output, child_errors;          // ours are closed when it has its own
    if (options.capture_output) {
        CANDELA_TRY_ASSIGN(child_output, output_.prepare());
        CANDELA_TRY_ASSIGN(child_errors, errors_.prepare());
    }
    stdio[1].flags = UV_INHERIT_FD;
    stdio[1].data.fd = options.capture_output ? child_output.fd() : 1;
    stdio[2].flags = UV_INHERIT_FD;
    stdio[2].data.fd = options.capture_output ? child_errors.fd() : 2;
    uv_process_options_t native{};
    native.file = arguments[0];
    native.args = arguments.data();
    native.env = environment.data();
    native.cwd = options.directory.empty() ? nullptr : options.directory.c_str();
    native.stdio = stdio.data();
    native.stdio_count = 3;
    native.flags = UV_PROCESS_DETACHED;  // setsid(): its own session and group
    if (options.uid) {
        native.flags |= UV_PROCESS_SETUID;
        native.uid = *options.uid;
    }
    if (options.gid) {
        native.flags |= UV_PROCESS_SETGID;
        native.gid = *options.gid;
    }
    native.exit_cb = [](uv_process_t* handle, int64_t code, int signal_number) {
        UvProcess* owner = static_cast<ProcessBlock*>(handle->data)->owner;
        if (owner != nullptr) owner->on_exit(code, signal_number);
    };
    block_ = new ProcessBlock;
    block_->owner = this;
    block_->handle.data = block_;
    const int status = uv_spawn(loop.uv(), &block_->handle, &native);
    if (status != 0)
        return fail(uv_failure(fmt::format("starting {}", options.command[0]), status));
    pid_ = block_->handle.pid;
    if (options.capture_output) {
        output_.read();
        errors_.read();
    }
    return {};
}

class UvSignalWatcher final : public SignalWatcher {
public:
    explicit UvSignalWatcher(Loop::Callback callback) : callback_(std::move(callback)) {}
    ~UvSignalWatcher() override {
        if (handle_ == nullptr) return;
        handle_->data = nullptr;
        uv_close(reinterpret_cast<uv_handle_t*>(handle_),
                 [](uv_handle_t* closed) { delete reinterpret_cast<uv_signal_t*>(closed); });
    }
    Result<> open(uv_loop_t* loop, int signal_number) {
        handle_ = new uv_signal_t;
        uv_signal_init(loop, handle_);
        handle_->data = this;
        const int status = uv_signal_start(
            handle_,
            [](uv_signal_t* handle, int) {
                if (handle->data != nullptr)
                    static_cast<UvSignalWatcher*>(handle->data)->callback_();
            },
            signal_number);
        if (status != 0) return fail(uv_failure("watching a signal", status));
        return {};
    }

private:
    Loop::Callback callback_;
    uv_signal_t* handle_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<Process>> Process::spawn(Loop& loop, const SpawnOptions& options,
                                                ProcessHandler& handler) {
    if (loop.uv() == nullptr) {
        return fail(Code::kUnsupported, "a simulated loop has no processes");
    }
    if (options.command.empty()) return fail(Code::kInvalid, "there is no command to start");
    auto process = std::make_unique<UvProcess>(loop, handler);
    CANDELA_TRY(process->open(loop, options));
    return std::unique_ptr<Process>(std::move(process));
}

Result<std::unique_ptr<SignalWatcher>> SignalWatcher::watch(Loop& loop, int signal_number,
                                                            Loop::Callback callback) {
    if (loop.uv() == nullptr) return fail(Code::kUnsupported, "a simulated loop has no signals");
    auto watcher = std::make_unique<UvSignalWatcher>(std::move(callback));
    CANDELA_TRY(watcher->open(loop.uv(), signal_number));
    return std::unique_ptr<SignalWatcher>(std::move(watcher));
}

}  // namespace candela
