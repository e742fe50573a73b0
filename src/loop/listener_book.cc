#include "loop/listener_book.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "loop/loop.h"

namespace candela {

void ListenerBook::inherit(Socket socket) {
    const std::lock_guard lock(mutex_);
    inherited_.push_back(std::move(socket));
}

std::optional<Fd> ListenerBook::claim(const std::string& address) {
    const std::lock_guard lock(mutex_);
    const auto fits = [&](const auto& one) {
        return one.wanted == address || one.bound == address;
    };
    const auto found = std::find_if(inherited_.begin(), inherited_.end(), fits);
    if (found != inherited_.end()) {
        Fd fd = std::move(found->fd);
        inherited_.erase(found);
        return fd;
    }
    for (const auto& [id, entry] : entries_) {
        if (!entry.is_held || !fits(entry)) continue;
        Fd copy(::fcntl(entry.fds.front(), F_DUPFD_CLOEXEC, 0));
        if (copy.get() >= 0) return copy;
    }
    return std::nullopt;
}

void ListenerBook::release() {
    const std::lock_guard lock(mutex_);
    for (auto& [id, entry] : entries_) {
        if (!std::exchange(entry.is_held, false)) continue;
        auto more = std::make_shared<std::vector<Fd>>();
        for (auto socket = inherited_.begin(); socket != inherited_.end();) {
            if (socket->wanted == entry.wanted || socket->bound == entry.bound) {
                more->push_back(std::move(socket->fd));
                socket = inherited_.erase(socket);
            } else {
                ++socket;
            }
        }
        entry.loop->post([this, id, more] { start(id, std::move(*more)); });
    }
    inherited_.clear();
}

// On the listener's loop, where alone it is destroyed.
void ListenerBook::start(uint64_t id, std::vector<Fd> more) {
    BookedListener* listener = nullptr;
    {
        const std::lock_guard lock(mutex_);
        const auto found = entries_.find(id);
        if (found == entries_.end()) return;
        listener = found->second.listener;
    }
    listener->start_accepting();
    for (Fd& socket : more) listener->adopt(std::move(socket));
}

Result<std::vector<ListenerBook::Socket>> ListenerBook::duplicate_all() const {
    const std::lock_guard lock(mutex_);
    std::vector<Socket> out;
    for (const auto& [id, entry] : entries_) {
        for (const int fd : entry.fds) {
            Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
            if (copy.get() < 0) return fail_errno("duplicating a listener", errno);
            out.push_back(Socket{std::move(copy), entry.wanted, entry.bound});
        }
    }
    return out;
}

void ListenerBook::give_away() {
    const std::lock_guard lock(mutex_);
    is_given_away_ = true;
}

uint64_t ListenerBook::add(Loop& loop, BookedListener& listener, int fd, std::string wanted,
                           std::string bound, bool is_held) {
    const std::lock_guard lock(mutex_);
    const uint64_t id = ++last_id_;
    entries_.emplace(id,
                     Entry{&loop, &listener, {fd}, std::move(wanted), std::move(bound), is_held});
    return id;
}

void ListenerBook::add_socket(uint64_t id, int fd) {
    const std::lock_guard lock(mutex_);
    entries_.at(id).fds.push_back(fd);
}

void ListenerBook::remove(uint64_t id) {
    const std::lock_guard lock(mutex_);
    entries_.erase(id);
}

bool ListenerBook::is_given_away() const {
    const std::lock_guard lock(mutex_);
    return is_given_away_;
}

}  // namespace candela
