#pragma once

// What starts instances, and finds again those that an earlier life of this host started. The
// process driver keeps each by a small process of its own; a driver of containers asks an engine;
// tests have a driver of their own. Everything here is for one loop's thread.

#include <signal.h>

#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "loop/address.h"
#include "loop/fd.h"
#include "loop/process.h"
#include "loop/stream.h"
#include "loop/task.h"

namespace candela::host {

// What an instance may take; 0 is what the host gives everyone.
struct InstanceLimits {
    uint64_t memory_bytes = 0;
    uint32_t cpu_percent = 0;  // of one core
    uint32_t pids = 0;         // processes and threads
    uint64_t scratch_bytes = 0;
    uint64_t io_bytes = 0;  // a second, read from the host's disk, and as many written to it
};

// Of an instance that runs in a container.
struct ContainerWish {
    std::string image;
    bool is_host_network = false;
    uint16_t port = 0;  // where it listens within; what is published is StartRequest::port
    std::string user;   // empty: the image's
    bool is_writable = false;
    std::string bundle_folder;  // what it finds read-only at kBundleFolder
    std::string credentials_folder;
    std::string values_folder;  // empty: it uses none
    std::map<std::string, std::string> labels;

    static constexpr std::string_view kBundleFolder = "/candela/bundle";
    static constexpr std::string_view kCredentialsFolder = "/candela/credentials";
    static constexpr std::string_view kValuesFolder = "/candela/values";
};

struct StartRequest {
    std::string instance;  // by which find() knows it again
    std::string note;      // what find() tells of it
    std::vector<std::string> command;
    std::vector<std::string> environment;  // NAME=value, all of it
    std::string directory;
    std::string executable;  // what runs in place of the command's first word; empty: nothing does
    InstanceLimits limits;
    std::vector<std::string>
        readable;  // folders that it may read, beside the system's: all it sees
    std::vector<std::string> writable;  // folders that it may write to, too; they are its user's
    bool has_network = true;            // false: none but a loopback of its own
    Duration grace = 10s;  // from SIGTERM to SIGKILL, should it have to end while we are away
    uint16_t port = 0;     // on loopback, where others find it
    // Without a network: where it finds the bus within; 0: nowhere.
    uint16_t bus_port = 0;
    std::string bus_name;                    // of the bus's machine, which leads there
    std::optional<ContainerWish> container;  // absent: it is a process
};

// The first three descriptors of a program that runs for a person.
struct SessionFds {
    Fd input{-1};
    Fd output{-1};
    Fd errors{-1};
};

class RunningHandler {
public:
    // Once, before anything else; or on_start_failed, and then nothing more.
    virtual void on_started(int pid) = 0;
    // It never ran. May destroy the Running.
    virtual void on_start_failed(const Error& error) = 0;
    virtual void on_output(OutputKind kind, std::string_view bytes) = 0;
    // The same, with the position behind it, which grows over all the output of one run. False: it
    // is not safe yet; Running::acknowledge() will be called when it is, and until then it is kept
    // for the next host. What comes again then is cut in the same pieces, at the same positions.
    virtual bool on_output_at(OutputKind kind, std::string_view bytes, uint64_t position) {
        static_cast<void>(position);
        on_output(kind, bytes);
        return true;
    }
    // So much of it came while we were away, or did not listen, that the oldest was dropped.
    virtual void on_output_lost(uint64_t bytes) = 0;
    // Once. All output that came before the end has been delivered. May destroy the Running.
    virtual void on_exit(const ExitStatus& status) = 0;
    // Before on_exit(), where more is known of the end than its status: "out of memory".
    virtual void on_end_detail(std::string_view) {}

protected:
    ~RunningHandler() = default;
};

// Something that runs. Destroying it kills whatever is left of it, at once and without a word;
// after Driver::let_go() it runs on.
class Running {
public:
    virtual ~Running() = default;
    virtual int pid() const = 0;  // 0 until it has started
    // Where probes find what listens on this port: not where somebody else listens in its stead.
    virtual Address probe_address(uint16_t port) const { return Address::tcp("127.0.0.1", port); }
    // A connection to what listens on its port, where we can't make one: it has a network of its
    // own.
    virtual std::optional<Task<Result<StreamPtr>>> reach() const { return std::nullopt; }
    // Memory in use, where the driver knows it better than the process table.
    virtual std::optional<uint64_t> memory_bytes() const { return std::nullopt; }
    virtual void terminate() = 0;  // ask it and its children to end
    virtual void kill() = 0;       // end them, however deep they hide
    virtual void set_note(std::string_view note) = 0;
    // To its first process, which decides what it means.
    virtual Result<> signal(int number) {
        if (pid() > 0 && ::kill(pid(), number) == 0) return {};
        return fail_errno("sending a signal", pid() > 0 ? errno : ESRCH);
    }
    // All output up to here is safe. For drivers that keep none there is nothing to do.
    virtual void acknowledge(uint64_t position) { static_cast<void>(position); }
    // Of a session, whose terminal has another size now, where it is not that of the descriptors.
    virtual void set_window(uint16_t rows, uint16_t columns) {
        static_cast<void>(rows);
        static_cast<void>(columns);
    }
    // Runs another program in the same surroundings (an exec probe); it ends with its Running.
    virtual Result<std::unique_ptr<Running>> run_beside(const StartRequest& request,
                                                        RunningHandler& handler) = 0;
    // The same for a person: where the descriptors are a terminal, it is the program's own, or
    // stands for it. No output comes to the handler.
    virtual Result<std::unique_ptr<Running>> run_session(const StartRequest&, SessionFds,
                                                         RunningHandler&) {
        return fail(Code::kUnsupported, "programs can't be run beside this kind of instance");
    }
};

struct FoundInstance {
    std::string instance;
    std::string note;  // empty where it ended without one
};

class Driver {
public:
    virtual ~Driver() = default;
    // The handler is called later, never from within start().
    virtual Result<std::unique_ptr<Running>> start(const StartRequest& request,
                                                   RunningHandler& handler) = 0;
    // What an earlier life of this host left, running or ended. Once, before the first start().
    virtual Task<Result<std::vector<FoundInstance>>> find() = 0;
    // One that find() named, once. It has started already: on_started() is not called, and pid() is
    // known where it still runs. Null where there is none of this name.
    virtual std::unique_ptr<Running> adopt(const std::string& instance,
                                           RunningHandler& handler) = 0;
    // We are about to end: what runs shall go on, and be found by the next host.
    virtual void let_go() = 0;
};

}  // namespace candela::host
