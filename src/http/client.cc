#include "http/client.h"

#include "base/text.h"
#include "http/client_connection_impl.h"
#include "tls/stream.h"

namespace candela::http {

using detail::ClientConnection;
using detail::ClientPool;

namespace {

// Only requests to the same place with the same trust share a connection.
std::string pool_key(const ClientRequest& request) {
    return fmt::format("{}|{}|{}", request.address.to_string(),
                       static_cast<const void*>(request.tls.get()), request.server_name);
}

Task<Result<StreamPtr>> open_stream(Loop& loop, const ClientRequest& request) {
    const MonoTime begun = loop.now();
    Result<StreamPtr> plain = co_await connect(loop, request.address, request.connect_timeout);
    if (!plain || request.tls == nullptr) co_return std::move(plain);
    const std::string& name =
        request.server_name.empty() ? request.address.host : request.server_name;
    const Duration left = request.connect_timeout - (loop.now() - begun);
    Result<StreamPtr> secured =
        co_await tls::wrap_client(std::move(*plain), request.tls, name, left);
    co_return std::move(secured).in(request.address.to_string());
}

// A flow of its own, so that it outlives the Client.
Task<Result<ResponseHead>> send_on(std::shared_ptr<ClientPool> pool, ClientRequest request,
                                   std::unique_ptr<ClientConnection>& connection) {
    const std::string key = pool_key(request);
    connection = pool->take(key);
    if (connection != nullptr) {
        Result<ResponseHead> head = co_await connection->exchange(request);
        // RFC 9110 §9.2.2: the server may have closed it before our request came.
        const bool again = !head && connection->broke_before_answer() &&
                           is_idempotent(request.method) && request.body_source == nullptr;
        if (!again) co_return std::move(head);
    }
    Result<StreamPtr> stream = co_await open_stream(pool->loop, request);
    if (!stream) co_return fail(std::move(stream).error());
    connection = std::make_unique<ClientConnection>(pool, pool->options, std::move(*stream), key);
    co_return co_await connection->exchange(request);
}

}  // namespace

Client::Client(Loop& loop, ClientOptions options)
    : pool_(std::make_shared<ClientPool>(loop, std::move(options))) {}

Client::~Client() = default;

Task<Result<ClientResponse>> Client::send(ClientRequest request) {
    std::shared_ptr<ClientPool> pool = pool_;
    std::unique_ptr<ClientConnection> connection;
    Result<ResponseHead> head = co_await send_on(pool, std::move(request), connection);
    if (!head) co_return fail(std::move(head).error());
    ClientResponse response(std::move(pool), std::move(connection));
    response.head = std::move(*head);
    co_return std::move(response);
}

ClientResponse::ClientResponse(std::shared_ptr<ClientPool> pool,
                               std::unique_ptr<ClientConnection> connection)
    : pool_(std::move(pool)), connection_(std::move(connection)) {
    release_if_over();
}
ClientResponse::ClientResponse(ClientResponse&&) noexcept = default;
ClientResponse& ClientResponse::operator=(ClientResponse&&) noexcept = default;
ClientResponse::~ClientResponse() = default;

void ClientResponse::release_if_over() {
    if (connection_ == nullptr || !connection_->is_over()) return;
    if (connection_->is_reusable()) pool_->put(std::move(connection_));
    connection_.reset();
}

Task<Result<std::optional<std::string>>> ClientResponse::read_chunk() {
    if (connection_ == nullptr) co_return std::optional<std::string>();
    Result<std::optional<std::string>> chunk = co_await connection_->read_chunk();
    if (chunk) release_if_over();
    co_return std::move(chunk);
}

Task<Result<std::string>> ClientResponse::read_all(size_t size_bytes_max) {
    std::string body;
    while (true) {
        Result<std::optional<std::string>> chunk = co_await read_chunk();
        if (!chunk) co_return fail(std::move(chunk).error());
        if (!*chunk) co_return std::move(body);
        if (body.size() + (*chunk)->size() > size_bytes_max) {
            co_return fail(Code::kExhausted, "the answer's body is larger than {}",
                           format_size(size_bytes_max));
        }
        body.append(**chunk);
    }
}

}  // namespace candela::http
