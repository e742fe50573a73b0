#pragma once

// What starts instances. The process driver runs them as child processes; tests have a driver of
// their own, and later ones run containers.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/process.h"

namespace candela::host {

struct StartRequest {
    std::vector<std::string> command;
    std::vector<std::string> environment;  // NAME=value, all of it
    std::string directory;
};

class RunningHandler {
public:
    virtual void on_output(OutputKind kind, std::string_view bytes) = 0;
    // Once. All output that came before the end has been delivered. May destroy the Running.
    virtual void on_exit(const ExitStatus& status) = 0;

protected:
    ~RunningHandler() = default;
};

// Something that runs. Destroying it kills whatever is left of it, at once and without a word.
class Running {
public:
    virtual ~Running() = default;
    virtual int pid() const = 0;
    virtual void terminate() = 0;  // ask it and its children to end
    virtual void kill() = 0;       // end them; also those that are left after on_exit
};

class Driver {
public:
    virtual ~Driver() = default;
    // The handler is called later, never from within start().
    virtual Result<std::unique_ptr<Running>> start(const StartRequest& request,
                                                   RunningHandler& handler) = 0;
};

}  // namespace candela::host
