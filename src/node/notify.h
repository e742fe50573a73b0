#pragma once

// Tells the service manager how we are (sd_notify(3)): datagrams to $NOTIFY_SOCKET, nothing where
// there is none. Never blocks.

#include <string>
#include <string_view>

namespace candela {

class ServiceManager {
public:
    // Reads $NOTIFY_SOCKET and removes it from the environment, so that no child speaks for us.
    // Before any thread is started.
    static ServiceManager from_environment();
    explicit ServiceManager(std::string socket_path) : path_(std::move(socket_path)) {}

    void ready(std::string_view status) const;
    void status(std::string_view status) const;
    void reloading() const;
    void stopping(std::string_view status) const;
    // Another process is the service's main one from now on, and will tell.
    void main_pid(int pid) const;
    // For that process's environment; empty: there is none.
    const std::string& socket_path() const { return path_; }

private:
    void send(const std::string& message) const;
    std::string path_;  // a leading '@' means the abstract namespace
};

}  // namespace candela
