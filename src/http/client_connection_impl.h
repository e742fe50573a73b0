#pragma once

// One connection of a Client: at most one request at a time; between requests it waits in the pool.
// Private to client.cc and client_connection.cc. It is owned by the flow that uses it, by a
// ClientResponse, or by the pool, and may be destroyed from within its own callbacks: waking a flow
// is the last thing that each of them does.

#include <list>
#include <memory>
#include <optional>
#include <string>

#include "http/client.h"

namespace candela::http::detail {

class ClientConnection final : public StreamHandler {
public:
    // The key says which requests may use the connection again.
    ClientConnection(std::weak_ptr<ClientPool> pool, const ClientOptions& options, StreamPtr stream,
                     std::string key);
    ClientConnection(const ClientConnection&) = delete;
    ClientConnection& operator=(const ClientConnection&) = delete;
    ~ClientConnection();

    // Sends the request and waits for the head of its answer.
    Task<Result<ResponseHead>> exchange(ClientRequest& request);
    Task<Result<std::optional<std::string>>> read_chunk();
    // True where the connection broke before a byte of the answer: the server had closed it
    // meanwhile.
    bool broke_before_answer() const { return error_.has_value() && !answer_begun_; }
    // True once the answer is over; the connection can go back to the pool if is_reusable().
    bool is_over() const { return complete_ && body_.empty(); }
    bool is_reusable() const { return complete_ && keep_alive_ && !error_; }

    const std::string& key() const { return key_; }
    void enter_pool(Duration timeout);
    void leave_pool() {
        idle_timer_.stop();
        is_idle_ = false;
    }

private:
    struct Waiting;

    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override { wake(); }

    Result<> write_head(const ClientRequest& request);
    Task<Result<>> send_body(ClientRequest& request);
    Task<Result<>> write_piece(ClientRequest& request, std::string_view piece);
    // False when the time is over first.
    Task<bool> wait(Duration timeout);
    void wake();
    void report_progress(const ClientRequest& request);
    void fail_with(Error error);
    void drop_from_pool();
    Error timeout_error(std::string_view what, Duration timeout) const;

    const std::weak_ptr<ClientPool> pool_;
    const ClientOptions& options_;
    const std::string key_;
    StreamPtr stream_;
    ResponseParser parser_;
    Timer idle_timer_;
    Waiting* waiting_ = nullptr;
    bool is_idle_ = false;
    bool is_chunked_ = false;  // the request
    bool answer_begun_ = false;
    bool head_ready_ = false;
    bool complete_ = false;
    bool keep_alive_ = true;
    bool paused_ = false;
    uint64_t sent_bytes_ = 0;
    uint64_t progress_bytes_ = 0;  // last reported
    Duration idle_timeout_{0};
    std::string peer_;  // for error texts
    ResponseHead head_;
    std::string body_;
    std::optional<Error> error_;
};

class ClientPool {
public:
    ClientPool(Loop& l, ClientOptions o) : loop(l), options(std::move(o)) {}

    std::unique_ptr<ClientConnection> take(const std::string& key);
    void put(std::unique_ptr<ClientConnection> connection);
    void drop(ClientConnection& connection);

    Loop& loop;
    const ClientOptions options;

private:
    std::list<std::unique_ptr<ClientConnection>> idle_;  // least recently used first
};

}  // namespace candela::http::detail
