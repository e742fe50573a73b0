#include "ctl/api.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "http/target.h"
#include "loop/file.h"
#include "loop/flow.h"
#include "node/api_error.h"
#include "tls/context.h"

namespace candela::ctl {

namespace {

void append_page(Json& list, Json page) {
    list.erase("next_page");
    for (auto& [name, items] : page.items()) {
        if (name == "next_page") {
            list["next_page"] = std::move(items);
        } else if (items.is_array() && list.contains(name) && list[name].is_array()) {
            for (Json& item : items) list[name].push_back(std::move(item));
        }
    }
}

// Reads a file on the pool, piece by piece.
class FileSource final : public http::BodySource {
public:
    static Result<std::unique_ptr<FileSource>> open(Loop& loop, const std::string& path) {
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) return fail_errno(fmt::format("opening {}", path), errno);
        return std::unique_ptr<FileSource>(new FileSource(loop, fd));
    }
    ~FileSource() override = default;

    Task<Result<std::optional<std::string>>> next() override {
        auto read = [file = file_] { return read_piece(*file); };
        auto piece = co_await offload(loop_, std::move(read));
        co_return piece;
    }

    Result<uint64_t> size_bytes() const {
        struct stat info = {};
        if (fstat(*file_, &info) != 0) return fail_errno("looking at the bundle", errno);
        return static_cast<uint64_t>(info.st_size);
    }

private:
    static constexpr size_t kPieceBytes = 256 * 1024;

    // A read that is under way when the flow is cancelled keeps the descriptor open.
    FileSource(Loop& loop, int fd)
        : loop_(loop), file_(new int(fd), [](int* held) {
              ::close(*held);
              delete held;
          }) {}

    static Result<std::optional<std::string>> read_piece(int fd) {
        std::string piece(kPieceBytes, '\0');
        const ssize_t count = ::read(fd, piece.data(), piece.size());
        if (count < 0) return fail_errno("reading the bundle", errno);
        if (count == 0) return std::optional<std::string>();
        piece.resize(static_cast<size_t>(count));
        return std::optional<std::string>(std::move(piece));
    }

    Loop& loop_;
    std::shared_ptr<int> file_;
};

}  // namespace

Error error_of(int status, const std::string& body) {
    const Error error = api_error(status, body);
    const std::string hint = api_hint(body);
    return hint.empty() ? error : Error(error.code(), error.message() + "\ntry: " + hint);
}

std::string path_part(std::string_view name) { return http::percent_encode(name); }

Result<const auth::Credentials*> Api::credentials() {
    if (target_.creds_file.empty()) return nullptr;
    if (!credentials_) {
        auto loaded = auth::load_creds(target_.creds_file);
        if (!loaded) return fail(loaded.error());
        credentials_.emplace(std::move(*loaded));
    }
    return &*credentials_;
}

Result<http::ClientRequest> Api::make_request(std::string_view method, std::string target) {
    http::ClientRequest request;
    request.address = target_.address;
    request.method = method;
    request.target = std::move(target);
    request.headers.add("User-Agent", "candela-ctl/" CANDELA_VERSION);
    request.headers.add("Accept", "application/json");
    if (!token_.empty()) request.headers.add("Authorization", "Bearer " + token_);
    if (!target_.tls) return request;
    if (!tls_) {
        tls::ClientOptions options;
        options.pinned_fingerprint = target_.fingerprint;
        if (!target_.ca_file.empty()) {
            CANDELA_TRY_ASSIGN(options.ca_pem, read_file(target_.ca_file, 1 << 20));
        }
        CANDELA_TRY_ASSIGN(tls_, tls::ClientContext::create(options));
    }
    request.tls = tls_;
    return request;
}

// Where the connection failed, says to whom and what to do.
Error Api::explain(const Error& error) const {
    // A certificate that is not to be trusted is another matter, and so is a request that can't be
    // sent.
    if (error.code() == Code::kDenied && target_.ca_file.empty() && target_.fingerprint.empty()) {
        return Error(
            Code::kDenied,
            error.message() +
                "\ntry: --ca FILE with the cloud's own authority (DATA_DIR/lighthouse/ca/ca.crt there), "
                "or --fingerprint SHA256 of the certificate");
    }
    if (error.code() == Code::kDenied || error.code() == Code::kInvalid) return error;
    const std::string url = (target_.tls ? "https://" : "") + target_.address.to_string();
    return Error(
        Code::kUnreachable,
        fmt::format("no answer from the lighthouse at {} (from {}): {}\n"
                    "try: is it running? candela dev, or systemctl status candela-lighthouse",
                    url, target_.origin, error.message()));
}

Task<Result<http::ClientResponse>> Api::send(http::ClientRequest request) {
    auto response = co_await client_.send(std::move(request));
    if (!response) co_return fail(explain(response.error()));
    if (response->status() < 400) co_return std::move(*response);
    auto body = co_await response->read_all(kAnswerBytesMax);
    const std::string text = body ? std::move(*body) : std::string();
    co_return fail(error_of(response->status(), text));
}

Task<Result<Json>> Api::call_plain(std::string path, Json body) {
    auto request = make_request("POST", path);
    if (!request) co_return fail(request.error());
    request->headers.add("Content-Type", "application/json");
    request->body = dump_json(body);
    auto response = co_await send(std::move(*request));
    if (!response) co_return fail(response.error());
    auto text = co_await response->read_all(kAnswerBytesMax);
    if (!text) co_return fail(text.error());
    co_return parse_json(*text).in("the lighthouse's answer");
}

Task<Result<>> Api::ensure_token() {
    // Tokens live for a quarter of an hour (auth/session.h); a rollout may take longer.
    constexpr Duration kTokenAgeMax = 5min;
    const bool is_fresh = !token_.empty() && loop_.now() - token_at_ < kTokenAgeMax;
    if (!target_.tls || is_fresh) co_return Result<>();
    token_.clear();
    auto creds = credentials();
    if (!creds) co_return fail(creds.error());
    Json nothing = Json::object();
    auto challenge = co_await call_plain("/v1/auth/challenge", std::move(nothing));
    if (!challenge) co_return fail(challenge.error());
    const std::string nonce = json_string_or(*challenge, "nonce");
    const crypto::Signature signature = (*creds)->key.sign(nonce);
    Json login = {
        {"jwt", (*creds)->jwt}, {"nonce", nonce}, {"signature", base64url_encode(signature)}};
    auto token = co_await call_plain("/v1/auth/token", std::move(login));
    if (!token) co_return fail(token.error());
    token_ = json_string_or(*token, "token");
    token_at_ = loop_.now();
    co_return Result<>();
}

Task<Result<Json>> Api::call(std::string method, std::string path, std::optional<Json> body,
                             std::string if_match) {
    auto logged_in = co_await ensure_token();
    if (!logged_in) co_return fail(logged_in.error());
    auto request = make_request(method, path);
    if (!request) co_return fail(request.error());
    if (!if_match.empty()) request->headers.add("If-Match", fmt::format("\"{}\"", if_match));
    if (body) {
        request->headers.add("Content-Type", "application/json");
        request->body = dump_json(*body);
    }
    auto response = co_await send(std::move(*request));
    if (!response) co_return fail(response.error());
    auto text = co_await response->read_all(kAnswerBytesMax);
    if (!text) co_return fail(text.error());
    if (text->empty()) co_return Json();
    co_return parse_json(*text).in("the lighthouse's answer");
}

Task<Result<Json>> Api::get(std::string path) {
    std::optional<Json> nothing;
    auto answer = co_await call("GET", path, nothing);
    // A list comes in pages; here it is one.
    while (answer && answer->is_object() && answer->contains("next_page")) {
        const std::string after = path_part(json_string_or(*answer, "next_page"));
        const bool has_query = path.find('?') != std::string::npos;
        std::string next = fmt::format("{}{}after={}", path, has_query ? '&' : '?', after);
        auto page = co_await call("GET", std::move(next), nothing);
        if (!page) co_return fail(page.error());
        append_page(*answer, std::move(*page));
    }
    co_return answer;
}

Task<Result<Json>> Api::post(std::string path, Json body) {
    std::optional<Json> content(std::move(body));
    auto answer = co_await call("POST", std::move(path), std::move(content));
    co_return answer;
}

Task<Result<Json>> Api::put(std::string path, Json body, std::string if_match) {
    std::optional<Json> content(std::move(body));
    auto answer = co_await call("PUT", std::move(path), std::move(content), std::move(if_match));
    co_return answer;
}

Task<Result<Json>> Api::remove(std::string path) {
    std::optional<Json> nothing;
    auto answer = co_await call("DELETE", std::move(path), std::move(nothing));
    co_return answer;
}

Task<Result<bool>> Api::has_bundle(std::string digest) {
    auto logged_in = co_await ensure_token();
    if (!logged_in) co_return fail(logged_in.error());
    auto request = make_request("HEAD", "/v1/bundles/" + digest);
    if (!request) co_return fail(request.error());
    auto response = co_await client_.send(std::move(*request));
    if (!response) co_return fail(explain(response.error()));
    if (response->status() == 404) co_return false;
    if (response->status() < 400) co_return true;
    co_return fail(error_of(response->status(), ""));
}

Task<Result<>> Api::put_bundle(std::string digest, std::string file, std::string signature,
                               std::string signer, std::function<void(uint64_t)> on_progress) {
    auto logged_in = co_await ensure_token();
    if (!logged_in) co_return fail(logged_in.error());
    auto source = FileSource::open(loop_, file);
    if (!source) co_return fail(source.error());
    auto size = (*source)->size_bytes();
    if (!size) co_return fail(size.error());
    auto request = make_request("PUT", "/v1/bundles/" + digest);
    if (!request) co_return fail(request.error());
    request->headers.add("Content-Type", "application/octet-stream");
    request->headers.add("Candela-Signature", signature);
    request->headers.add("Candela-Signer", signer);
    request->body_source = std::move(*source);
    request->body_length_bytes = *size;
    request->on_progress = std::move(on_progress);
    request->first_byte_timeout = 5min;  // the lighthouse checks the whole bundle before it answers
    auto response = co_await send(std::move(*request));
    if (!response) co_return fail(response.error());
    co_return Result<>();
}

Task<Result<>> Api::follow(std::string path, OnLine on_line) {
    constexpr size_t kLineBytesMax = 4 << 20;
    constexpr Duration kForEver = 24h * 365;  // a service may have nothing to say
    auto response = co_await open(std::move(path), kForEver);
    if (!response) co_return fail(response.error());
    std::string rest;
    for (;;) {
        auto chunk = co_await response->read_chunk();
        if (!chunk) co_return fail(chunk.error());
        if (!*chunk) break;
        rest += **chunk;
        size_t begin = 0;
        for (size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n', begin)) {
            if (!on_line(std::string_view(rest).substr(begin, end - begin))) co_return Result<>();
            begin = end + 1;
        }
        rest.erase(0, begin);
        if (rest.size() > kLineBytesMax) {
            co_return fail(Code::kExhausted, "the lighthouse sent a line of more than {} bytes",
                           kLineBytesMax);
        }
    }
    if (!rest.empty()) on_line(rest);
    co_return Result<>();
}

Task<Result<>> Api::read(std::string path, OnBytes on_bytes) {
    auto response = co_await open(std::move(path), kReadIdleTimeout);
    if (!response) co_return fail(response.error());
    for (;;) {
        auto chunk = co_await response->read_chunk();
        if (!chunk) co_return fail(chunk.error());
        if (!*chunk) co_return Result<>();
        CO_TRY(on_bytes(**chunk));
    }
}

Task<Result<http::ClientResponse>> Api::open(std::string path, Duration idle_timeout) {
    auto logged_in = co_await ensure_token();
    if (!logged_in) co_return fail(logged_in.error());
    auto request = make_request("GET", std::move(path));
    if (!request) co_return fail(request.error());
    request->idle_timeout = idle_timeout;
    request->first_byte_timeout = std::max(request->first_byte_timeout, kReadIdleTimeout);
    auto response = co_await send(std::move(*request));
    co_return response;
}

}  // namespace candela::ctl
