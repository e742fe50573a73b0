#pragma once

// Child processes. A Process lives on its loop; destroying it stops watching but does not end the
// child: whoever owns it signals first and waits for on_exit.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/loop.h"

namespace candela {

struct SpawnOptions {
    std::vector<std::string> command;      // program (looked up in PATH) and its arguments
    std::vector<std::string> environment;  // NAME=value; the child sees nothing else
    std::string directory;                 // where it starts; empty: where we are
    std::optional<uint32_t> uid;
    std::optional<uint32_t> gid;
    // Its standard input, which stays the caller's here; otherwise /dev/null.
    std::optional<int> input;
    // Its output goes to on_output; otherwise it goes where ours goes.
    bool capture_output = true;
};

struct ExitStatus {
    int code = 0;    // of exit(), where signal is 0
    int signal = 0;  // that ended it

    bool ok() const { return code == 0 && signal == 0; }
    std::string to_string() const;  // "exit code 3", "signal 9 (Killed)"
};

enum class OutputKind : uint8_t { kStdout, kStderr };

class ProcessHandler {
public:
    // Bytes as they come, without regard to lines; valid during the call.
    virtual void on_output(OutputKind kind, std::string_view bytes) = 0;
    // Once, when the process has ended. Output may still follow from its children that live on. The
    // handler may destroy the Process here.
    virtual void on_exit(const ExitStatus& status) = 0;
    // Captured output is at its end: nobody holds the other side any more. Before or after on_exit;
    // the handler may destroy the Process here.
    virtual void on_output_end() {}

protected:
    ~ProcessHandler() = default;
};

class Process {
public:
    // The child leads a new session and process group, and inherits no descriptor of ours but those
    // that the options name. Needs a libuv loop (kUnsupported on a simulated one).
    static Result<std::unique_ptr<Process>> spawn(Loop& loop, const SpawnOptions& options,
                                                  ProcessHandler& handler);
    virtual ~Process() = default;

    virtual int pid() const = 0;
    // To the child's whole process group, so that what it started hears it too. It is no error that
    // nobody is left.
    virtual Result<> signal_group(int signal_number) = 0;
    virtual bool has_exited() const = 0;
    // Stops and restarts on_output (backpressure: the child then blocks on a full pipe).
    virtual void pause_output() = 0;
    virtual void resume_output() = 0;
};

// Calls back on each delivery of a signal to this process, on the loop, until destroyed.
class SignalWatcher {
public:
    static Result<std::unique_ptr<SignalWatcher>> watch(Loop& loop, int signal_number,
                                                        Loop::Callback callback);
    virtual ~SignalWatcher() = default;
};

}  // namespace candela
