#pragma once

// Serves the files of a folder over HTTP: what runs for services of kind "static". GET and HEAD,
// index.html, entity tags, one range, content types by name; app.js.br, .zst or .gz instead of
// app.js for clients that take it. What begins with a dot (but for .well-known) and what lies
// outside of the folder, also by a link, is not found: then 200.html is served for what looks like
// a page of an application that routes by itself, otherwise 404.html with its status. Lives on one
// loop; files are read on the pool.

#include <filesystem>
#include <string>

#include "http/flow_server.h"
#include "loop/loop.h"

namespace candela::service {

class StaticFiles final : public http::Handler {
public:
    // `release` makes the entity tags: within one release a path has one content, on every host.
    // kNotFound where there is no such folder. Blocking, at start.
    static Result<StaticFiles> open(Loop& loop, const std::filesystem::path& folder,
                                    std::string_view release);

    Task<void> handle(http::ServerRequest& request) override;

private:
    struct File;

    StaticFiles(Loop& loop, std::filesystem::path folder, std::string release)
        : loop_(&loop), folder_(std::move(folder)), release_(std::move(release)) {}

    Task<Result<>> send_file(http::ServerRequest& request, const File& file, std::string path,
                             int status);
    Task<void> send_missing(http::ServerRequest& request, std::string path);

    Loop* loop_;
    std::filesystem::path folder_;  // canonical
    std::string release_;
};

// The type for a file's name: "text/html; charset=utf-8"; unknown ones are
// application/octet-stream.
std::string_view content_type(std::string_view file_name);

// One range of bytes, both ends inclusive (RFC 9110 §14.1.2).
struct ByteRange {
    uint64_t first = 0;
    uint64_t last = 0;
};
enum class RangeAnswer : uint8_t { kWhole, kPart, kUnsatisfiable };
// Several ranges, and what is malformed, are answered with the whole.
RangeAnswer parse_range(std::string_view field, uint64_t size_bytes, ByteRange& range);

// `candela serve-static DIR`: serves on $HOST:$PORT until SIGTERM. Returns the exit status.
int run_static_server(std::string_view folder);

}  // namespace candela::service
