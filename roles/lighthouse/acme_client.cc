#include "acme_client.h"

#include <algorithm>
#include <ctime>

#include <nlohmann/json.hpp>

#include "acme_jws.h"
#include "base/json.h"
#include "base/text.h"

namespace candela::lighthouse {

namespace {

constexpr std::string_view kErrorPrefix = "urn:ietf:params:acme:error:";

}  // namespace

std::optional<Duration> parse_retry_after(std::string_view text, WallTime now) {
    if (const auto seconds = parse_uint(text)) {
        const auto most =
            std::chrono::duration_cast<std::chrono::seconds>(AcmeClient::kRetryAfterMax).count();
        return std::chrono::seconds(std::min<uint64_t>(*seconds, static_cast<uint64_t>(most)));
    }
    tm utc{};
    const std::string copy(text);
    const char* const end = strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    if (end == nullptr || *end != '\0') return std::nullopt;
    const WallTime at = WallTime(std::chrono::seconds(timegm(&utc)));
    return std::clamp<Duration>(at - now, Duration::zero(), AcmeClient::kRetryAfterMax);
}

AcmeClient::AcmeClient(Loop& loop, Options options, Logger log)
    : loop_(loop), options_(std::move(options)), log_(std::move(log)), http_(loop) {}

// ---- requests

Task<Result<AcmeReply>> AcmeClient::exchange_once(http::ClientRequest request) {
    auto response = co_await http_.send(std::move(request));
    if (!response) co_return fail(response.error());
    AcmeReply reply;
    reply.status = response->status();
    const http::Headers& fields = response->head.headers;
    reply.location = fields.get("location").value_or("");
    const std::string_view nonce = fields.get("replay-nonce").value_or("");
    if (is_base64url(nonce, kNonceBytesMax) && nonces_.size() < kNoncesMax) {
        nonces_.emplace_back(nonce);
    }
    if (const auto after = fields.get("retry-after")) {
        reply.retry_after = parse_retry_after(*after, loop_.wall());
    }
    auto body = co_await response->read_all(kBodyBytesMax);
    if (!body) co_return fail(body.error());
    reply.body = std::move(*body);
    co_return reply;
}

Task<Result<AcmeReply>> AcmeClient::exchange(std::string method, std::string url, std::string body,
                                             std::string accept) {
    CO_TRY_ASSIGN(const http::Url parsed, parse_acme_url(url, options_.allow_plain));
    http::ClientRequest request;
    request.address = Address::tcp(parsed.host, parsed.port);
    request.method = std::move(method);
    request.target = parsed.target;
    request.host = parsed.authority;
    request.server_name = parsed.host;
    if (parsed.is_encrypted) request.tls = options_.tls;
    request.headers.add("User-Agent", "candela/" CANDELA_VERSION);
    if (!accept.empty()) request.headers.add("Accept", accept);
    if (!body.empty()) request.headers.add("Content-Type", "application/jose+json");
    request.body = std::move(body);
    auto one = exchange_once(std::move(request));
    auto reply = co_await with_timeout(loop_, kRequestTimeout, "an answer", std::move(one));
    if (!reply) co_return fail(reply.error().in(parsed.authority));
    co_return reply;
}

Task<Result<std::string>> AcmeClient::take_nonce() {
    if (nonces_.empty()) {
        auto reply = co_await exchange("HEAD", new_nonce_, "", "");
        if (!reply) co_return fail(reply.error());
    }
    if (nonces_.empty()) co_return fail(Code::kUnreachable, "the server gives no nonces");
    std::string nonce = std::move(nonces_.front());
    nonces_.pop_front();
    co_return nonce;
}

Task<Result<AcmeReply>> AcmeClient::post_signed(std::string url, std::string payload,
                                                std::string accept, bool by_key) {
    for (int tries = 0;; ++tries) {
        JwsHeader header;
        header.url = url;
        CO_TRY_ASSIGN(header.nonce, co_await take_nonce());
        if (!by_key) header.account_url = account_url_;
        CO_TRY_ASSIGN(std::string body, sign_jws(*key_, header, payload));
        std::string wanted = accept;
        auto reply = co_await exchange("POST", url, std::move(body), std::move(wanted));
        if (!reply) co_return fail(reply.error());
        if (reply->status >= 200 && reply->status < 300) co_return reply;
        auto refused = refuse(*reply);
        // RFC 8555 §6.5: the refusal brings a new nonce.
        if (problem_.type != "badNonce" || tries + 1 >= kTriesMax) co_return fail(refused.error());
    }
}

Task<Result<AcmeReply>> AcmeClient::post(std::string url, std::string payload, std::string accept) {
    auto reply = co_await post_signed(std::move(url), std::move(payload), std::move(accept), false);
    co_return reply;
}

// RFC 8555 §6.7: what was refused, as an error; it is always one.
Result<> AcmeClient::refuse(const AcmeReply& reply) {
    problem_ = AcmeProblem();
    problem_.retry_after = reply.retry_after;
    std::string detail;
    if (const auto json = parse_json(reply.body)) {
        std::string type = json_string_or(*json, "type");
        if (type.starts_with(kErrorPrefix)) type.erase(0, kErrorPrefix.size());
        problem_.type = printable(type, 60);
        detail = printable(json_string_or(*json, "detail"), 500);
    }
    std::string text = fmt::format("HTTP {}", reply.status);
    if (!problem_.type.empty()) text = problem_.type;
    if (!detail.empty()) text += ": " + detail;
    Code code = Code::kInvalid;
    if (problem_.type == "rateLimited" || reply.status == 429) {
        code = Code::kExhausted;
    } else if (reply.status >= 500 || problem_.type == "badNonce") {
        code = Code::kUnreachable;
    }
    return fail(Error(code, std::move(text)));
}

// ---- the directory and the account

Task<Result<>> AcmeClient::open() {
    if (!new_order_.empty()) co_return Result<>();
    auto reply = co_await exchange("GET", options_.directory, "", "");
    if (!reply) co_return fail(reply.error());
    if (reply->status != 200) {
        co_return fail(Code::kUnreachable, "{} answers HTTP {}", options_.directory, reply->status);
    }
    const auto json = parse_json(reply->body);
    if (!json) co_return fail(Code::kCorrupt, "{} is no ACME directory", options_.directory);
    for (const auto& [name, place] :
         {std::pair("newNonce", &new_nonce_), std::pair("newAccount", &new_account_),
          std::pair("newOrder", &new_order_)}) {
        auto url = json_string(*json, name);
        if (!url || !parse_acme_url(*url, options_.allow_plain)) {
            new_order_.clear();
            co_return fail(Code::kCorrupt, "{} is no ACME directory: no {}", options_.directory,
                           name);
        }
        *place = std::move(*url);
    }
    co_return Result<>();
}

Task<Result<std::string>> AcmeClient::make_account(std::string email) {
    CO_TRY(co_await open());
    Json wanted = {{"termsOfServiceAgreed", true}};
    if (!email.empty()) wanted["contact"] = Json::array({"mailto:" + email});
    std::string payload = dump_json(wanted);
    std::string url = new_account_;
    auto reply = co_await post_signed(std::move(url), std::move(payload), "", true);
    if (!reply) co_return fail(reply.error().in("making an account"));
    if (!parse_acme_url(reply->location, options_.allow_plain)) {
        co_return fail(Code::kCorrupt, "the new account has no address");
    }
    const auto json = parse_json(reply->body);
    const std::string status = json ? json_string_or(*json, "status", "valid") : "valid";
    if (status != "valid") {
        co_return fail(Code::kDenied, "the account is {}", printable(status, 40));
    }
    account_url_ = reply->location;
    log_.info("acme_account", {{"url", account_url_}});
    co_return account_url_;
}

}  // namespace candela::lighthouse
