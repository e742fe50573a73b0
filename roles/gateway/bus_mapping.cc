#include "bus_mapping.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "bus/subject.h"
#include "http/target.h"

namespace candela::gateway {
namespace {

// What a service may want to know. Everything else of the client's request is between it and us.
constexpr std::array<std::string_view, 16> kRequestHeaders{
    "Accept",      "Accept-Language", "Authorization",    "Content-Encoding",   "Content-Type",
    "Cookie",      "If-None-Match",   "Origin",           "Traceparent",        "Tracestate",
    "User-Agent",  "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Forwarded-Proto",
    "X-Request-Id"};

constexpr std::string_view kStatusHeader = "Http-Status";

// Headers of a reply that are the gateway's to say, or the bus's own.
bool stays_here(std::string_view name) {
    if (name.size() >= 5 && ascii_iequals(name.substr(0, 5), "Nats-")) return true;
    switch (http::field_id(name)) {
        case http::FieldId::kOther:
        case http::FieldId::kContentType:
        case http::FieldId::kTraceparent:
        case http::FieldId::kXRequestId: return ascii_iequals(name, kStatusHeader);
        default: return true;
    }
}

std::optional<int> status_of(std::optional<std::string_view> text, int lowest) {
    if (!text) return std::nullopt;
    const auto number = parse_uint(*text);
    if (!number || *number < static_cast<uint64_t>(lowest) || *number > 599) return std::nullopt;
    return static_cast<int>(*number);
}

template <class Visit>
void for_each_header(std::string_view block, Visit visit) {
    size_t at = block.find("\r\n");  // after the status line
    while (at != std::string_view::npos) {
        block.remove_prefix(at + 2);
        at = block.find("\r\n");
        const auto field = split_once(block.substr(0, at), ':');
        if (field) visit(trim(field->first), trim(field->second));
    }
}

}  // namespace

Result<std::string> subject_for(std::string_view path, std::string_view prefix,
                                std::string_view service) {
    std::string_view rest = path;
    if (rest.starts_with(prefix)) rest.remove_prefix(prefix.size());
    if (rest.starts_with('/')) rest.remove_prefix(1);
    if (rest.empty()) return std::string(service);
    std::string subject;
    for (const std::string_view segment : split(rest, '/')) {
        CANDELA_TRY_ASSIGN(const std::string token, http::percent_decode(segment));
        const bool is_plain = !token.empty() && std::all_of(token.begin(), token.end(), [](char c) {
            return static_cast<unsigned char>(c) > ' ' && c != '.' && c != '*' && c != '>' &&
                   c != 0x7f;
        });
        if (!is_plain) {
            return fail(Code::kNotFound, "\"{}\" can't be part of a subject", printable(token));
        }
        if (!subject.empty()) subject += '.';
        subject += token;
    }
    // "$SRV", "$JS", "_INBOX": the bus's own business, and other clients'.
    if (subject.front() == '$' || subject.front() == '_' || !bus::is_valid_subject(subject)) {
        return fail(Code::kNotFound, "\"{}\" is not a subject that is served here",
                    printable(subject));
    }
    return subject;
}

std::string bus_headers_for(const http::RequestHead& head) {
    bus::HeaderBuilder builder;
    builder.add("Http-Method", head.method);
    const http::TargetParts target = http::split_target(head.target);
    builder.add("Http-Path", target.path);
    if (target.has_query) builder.add("Http-Query", target.query);
    for (const http::Headers::Field field : head.headers) {
        for (const std::string_view name : kRequestHeaders) {
            if (ascii_iequals(field.name, name)) builder.add(name, field.value);
        }
    }
    return builder.text();
}

BusAnswer answer_from(const bus::MessageView& reply) {
    BusAnswer answer;
    answer.body = reply.payload;
    for_each_header(reply.headers, [&](std::string_view name, std::string_view value) {
        if (!stays_here(name)) answer.headers.add(name, value);
    });
    // The NATS micro protocol's errors (ADR-32): a code that is a status of HTTP is that status.
    const auto error_text = bus::find_header(reply.headers, "Nats-Service-Error");
    const auto error_code = bus::find_header(reply.headers, "Nats-Service-Error-Code");
    if (error_text || error_code) {
        answer.status = status_of(error_code, 400).value_or(500);
        if (answer.body.empty() && error_text) {
            answer.body = std::string(*error_text) + "\n";
            answer.headers.set("Content-Type", "text/plain; charset=utf-8");
        }
    } else {
        answer.status =
            status_of(bus::find_header(reply.headers, kStatusHeader), 200).value_or(200);
    }
    if (!answer.headers.contains(http::FieldId::kContentType) && !answer.body.empty()) {
        const bool looks_json = answer.body.front() == '{' || answer.body.front() == '[';
        answer.headers.add("Content-Type", looks_json ? "application/json"
                                           : is_valid_utf8(answer.body)
                                               ? "text/plain; charset=utf-8"
                                               : "application/octet-stream");
    }
    return answer;
}

}  // namespace candela::gateway
