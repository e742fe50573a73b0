#pragma once

// Errors of the JetStream API: an HTTP-like code, nats-server's number for it, on which clients
// decide, and the text that it has there. Values.

#include <string>

#include "base/json.h"

namespace candela::bus_role {

struct JsError {
    int code = 500;
    int number = 0;
    std::string text;
};

Json to_json(const JsError& error);

namespace js_errors {
inline JsError bad_request() { return {400, 10003, "bad request"}; }
inline JsError invalid_json() { return {400, 10025, "invalid JSON"}; }
inline JsError stream_not_found() { return {404, 10059, "stream not found"}; }
inline JsError consumer_not_found() { return {404, 10014, "consumer not found"}; }
inline JsError no_message_found() { return {404, 10037, "no message found"}; }
inline JsError stream_name_in_use() {
    return {400, 10058, "stream name already in use with a different configuration"};
}
inline JsError stream_mismatch() {
    return {400, 10056, "stream name in subject does not match request"};
}
inline JsError subjects_overlap() {
    return {400, 10065, "subjects overlap with an existing stream"};
}
inline JsError streams_max() { return {400, 10027, "maximum number of streams reached"}; }
inline JsError consumers_max() { return {400, 10026, "maximum consumers limit reached"}; }
inline JsError storage_exceeded() {
    return {500, 10047, "insufficient storage resources available"};
}
inline JsError memory_exceeded() { return {500, 10028, "insufficient memory resources available"}; }
inline JsError stream_config(std::string text) { return {500, 10052, std::move(text)}; }
inline JsError stream_name_invalid() {
    return stream_config("stream name is required and can not contain '.', '*', '>'");
}
inline JsError replicas() {
    return {500, 10074, "replicas > 1 not supported in non-clustered mode"};
}
inline JsError sealed() { return {400, 10109, "invalid operation on sealed stream"}; }
inline JsError store_failed(std::string text) { return {503, 10077, std::move(text)}; }
// A full disk, or one that can't keep up, is told apart from one that failed.
inline JsError not_stored(const Error& error) {
    if (error.code() == Code::kExhausted) return {503, 10023, "insufficient resources"};
    return store_failed(error.message());
}
inline JsError consumer_exists() { return {400, 10148, "consumer already exists"}; }
inline JsError consumer_missing() { return {400, 10149, "consumer does not exist"}; }
inline JsError consumer_create(std::string text) { return {500, 10012, std::move(text)}; }
}  // namespace js_errors

}  // namespace candela::bus_role
