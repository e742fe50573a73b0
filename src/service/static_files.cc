#include "service/static_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "base/text.h"
#include "http/content_coding.h"
#include "service/file_descriptor.h"

namespace candela::service {

namespace {

constexpr size_t kReadSize = 256 * 1024;

struct TypeRow {
    std::string_view extension;
    std::string_view type;
};
constexpr std::array kTypes{TypeRow{"html", "text/html; charset=utf-8"},
                            TypeRow{"htm", "text/html; charset=utf-8"},
                            TypeRow{"css", "text/css; charset=utf-8"},
                            TypeRow{"js", "text/javascript; charset=utf-8"},
                            TypeRow{"mjs", "text/javascript; charset=utf-8"},
                            TypeRow{"json", "application/json"},
                            TypeRow{"map", "application/json"},
                            TypeRow{"webmanifest", "application/manifest+json"},
                            TypeRow{"txt", "text/plain; charset=utf-8"},
                            TypeRow{"md", "text/markdown; charset=utf-8"},
                            TypeRow{"csv", "text/csv; charset=utf-8"},
                            TypeRow{"xml", "application/xml"},
                            TypeRow{"svg", "image/svg+xml"},
                            TypeRow{"png", "image/png"},
                            TypeRow{"jpg", "image/jpeg"},
                            TypeRow{"jpeg", "image/jpeg"},
                            TypeRow{"gif", "image/gif"},
                            TypeRow{"webp", "image/webp"},
                            TypeRow{"avif", "image/avif"},
                            TypeRow{"ico", "image/x-icon"},
                            TypeRow{"woff", "font/woff"},
                            TypeRow{"woff2", "font/woff2"},
                            TypeRow{"ttf", "font/ttf"},
                            TypeRow{"otf", "font/otf"},
                            TypeRow{"wasm", "application/wasm"},
                            TypeRow{"pdf", "application/pdf"},
                            TypeRow{"zip", "application/zip"},
                            TypeRow{"gz", "application/gzip"},
                            TypeRow{"mp3", "audio/mpeg"},
                            TypeRow{"ogg", "audio/ogg"},
                            TypeRow{"mp4", "video/mp4"},
                            TypeRow{"webm", "video/webm"}};

// The decoded path, or nothing where no file may be meant by it.
std::optional<std::string> wanted_path(const std::string& path) {
    const auto decoded = http::percent_decode(path);
    if (!decoded || decoded->find('\0') != std::string::npos || !decoded->starts_with('/')) {
        return std::nullopt;
    }
    for (const std::string_view part : split(*decoded, '/')) {
        if (part.starts_with('.') && part != ".well-known") return std::nullopt;
    }
    return decoded->ends_with('/') ? *decoded + "index.html" : *decoded;
}

bool matches_tag(std::string_view field, std::string_view tag) {
    if (trim(field) == "*") return true;
    return std::ranges::any_of(split(field, ','), [&](std::string_view one) {
        one = trim(one);
        if (one.starts_with("W/")) one.remove_prefix(2);  // RFC 9110 §13.1.2: the weak comparison
        return one == tag;
    });
}

// What a build leaves beside a file for clients that take it.
struct CodedName {
    http::ContentCoding coding;
    const char* ending;
};
constexpr std::array kCodedNames = {CodedName{http::ContentCoding::kZstd, ".zst"},
                                    CodedName{http::ContentCoding::kBrotli, ".br"},
                                    CodedName{http::ContentCoding::kGzip, ".gz"}};

bool is_missing(const Error& error) {
    return error.code() == Code::kNotFound || error.system_errno() == ENOENT ||
           error.system_errno() == ENOTDIR || error.system_errno() == ELOOP ||
           error.system_errno() == ENAMETOOLONG;
}

Result<std::string> read_at(int fd, uint64_t offset, size_t size) {
    std::string bytes(size, '\0');
    for (;;) {
        const ssize_t count = pread(fd, bytes.data(), size, static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno("reading a file", errno);
        bytes.resize(static_cast<size_t>(count));
        return bytes;
    }
}

}  // namespace

struct StaticFiles::File {
    std::shared_ptr<FileDescriptor> fd;
    uint64_t size_bytes = 0;
    bool is_folder = false;
    http::ContentCoding coding = http::ContentCoding::kIdentity;
    bool has_codings = false;  // the answer depends on Accept-Encoding

    // The file, or the coded form of it beside it that the client likes best.
    static Result<File> open_for(const std::filesystem::path& folder, const std::string& path,
                                 const http::Headers& request) {
        CANDELA_TRY_ASSIGN(File plain, open(folder, path));
        if (plain.is_folder) return plain;
        std::vector<http::ContentCoding> offered;
        std::vector<File> coded;
        for (const CodedName& name : kCodedNames) {
            auto file = open(folder, path + name.ending);
            if (!file || file->is_folder) continue;
            file->coding = name.coding;
            file->has_codings = true;
            offered.push_back(name.coding);
            coded.push_back(std::move(*file));
        }
        plain.has_codings = !offered.empty();
        const http::ContentCoding wanted = http::choose_coding(request, offered);
        for (File& file : coded) {
            if (file.coding == wanted) return std::move(file);
        }
        return plain;
    }

    static Result<File> open(const std::filesystem::path& folder, const std::string& path) {
        std::error_code error;
        const auto real = std::filesystem::canonical(folder.native() + path, error);
        if (error) return fail_errno(path, error.value());
        const bool is_inside = real == folder || real.native().starts_with(folder.native() + "/");
        if (!is_inside) return fail(Code::kNotFound, "{} leads out of the folder", printable(path));
        File file;
        file.fd = std::make_shared<FileDescriptor>(
            ::open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        struct stat status{};
        if (!*file.fd || fstat(file.fd->get(), &status) != 0) return fail_errno(path, errno);
        file.is_folder = S_ISDIR(status.st_mode);
        if (!file.is_folder && !S_ISREG(status.st_mode)) {
            return fail(Code::kNotFound, "{} is no file", printable(path));
        }
        file.size_bytes = static_cast<uint64_t>(status.st_size);
        return file;
    }
};

std::string_view content_type(std::string_view file_name) {
    const size_t dot = file_name.rfind('.');
    const std::string_view extension =
        dot == std::string_view::npos ? "" : file_name.substr(dot + 1);
    for (const TypeRow& row : kTypes) {
        if (ascii_iequals(row.extension, extension)) return row.type;
    }
    return "application/octet-stream";
}

RangeAnswer parse_range(std::string_view field, uint64_t size_bytes, ByteRange& range) {
    if (!field.starts_with("bytes=")) return RangeAnswer::kWhole;
    const auto ends = split_once(field.substr(6), '-');
    if (!ends) return RangeAnswer::kWhole;
    const auto first = parse_uint(ends->first);
    const auto last = parse_uint(ends->second);
    if (ends->first.empty()) {  // the last so many bytes
        if (!last) return RangeAnswer::kWhole;
        if (*last == 0 || size_bytes == 0) return RangeAnswer::kUnsatisfiable;
        range = {size_bytes - std::min(*last, size_bytes), size_bytes - 1};
        return RangeAnswer::kPart;
    }
    const bool is_open = ends->second.empty();
    if (!first || (!is_open && (!last || *last < *first))) return RangeAnswer::kWhole;
    if (*first >= size_bytes) return RangeAnswer::kUnsatisfiable;
    range = {*first, is_open ? size_bytes - 1 : std::min(*last, size_bytes - 1)};
    return RangeAnswer::kPart;
}

Result<StaticFiles> StaticFiles::open(Loop& loop, const std::filesystem::path& folder,
                                      std::string_view release) {
    std::error_code error;
    auto real = std::filesystem::canonical(folder, error);
    if (error) return fail_errno(folder.native(), error.value());
    if (!std::filesystem::is_directory(real, error)) {
        return fail(Code::kNotFound, "{} is not a folder", folder.native());
    }
    return StaticFiles(loop, std::move(real), std::string(release));
}

Task<void> StaticFiles::handle(http::ServerRequest& request) {
    if (request.method() != "GET" && request.method() != "HEAD") {
        http::Headers headers;
        headers.add("Allow", "GET, HEAD");
        request.respond(405, headers, "");
        co_return;
    }
    const auto path = wanted_path(request.path());
    Result<File> file = fail(Code::kNotFound, "not a path of ours");
    if (path) {
        auto work = [folder = folder_, path = *path, fields = request.head().headers] {
            return File::open_for(folder, path, fields);
        };
        file = co_await offload(*loop_, std::move(work));
    }
    if (!file && is_missing(file.error())) {
        co_await send_missing(request, path.value_or("/"));
        co_return;
    }
    if (!file) {
        request.respond(500, "text/plain; charset=utf-8",
                        fmt::format("{}\n", http::reason_phrase(500)));
        co_return;
    }
    if (file->is_folder) {
        const http::TargetParts parts = http::split_target(request.head().target);
        http::Headers headers;
        headers.add("Location", fmt::format("{}/{}{}", request.path(), parts.has_query ? "?" : "",
                                            parts.query));
        request.respond(308, headers, "");
        co_return;
    }
    // A failure in the middle cuts the connection, so that the client sees that it is not whole.
    static_cast<void>(co_await send_file(request, *file, *path, 200));
}

Task<void> StaticFiles::send_missing(http::ServerRequest& request, std::string path) {
    // "/users/7" may be a page of the application; "/app.1f3a.js" is a file that is gone.
    const bool is_page =
        path.find('.', path.rfind('/')) == std::string::npos || path.ends_with("/index.html");
    std::string name = is_page ? "/200.html" : "/404.html";
    auto work = [folder = folder_, &name, fields = request.head().headers] {
        auto file = File::open_for(folder, name, fields);
        if (file || name == "/404.html") return file;
        name = "/404.html";
        return File::open_for(folder, name, fields);
    };
    const Result<File> file = co_await offload(*loop_, std::move(work));
    if (!file || file->is_folder) {
        request.respond(404, "text/plain; charset=utf-8",
                        fmt::format("{}\n", http::reason_phrase(404)));
        co_return;
    }
    const int status = name == "/200.html" ? 200 : 404;
    static_cast<void>(co_await send_file(request, *file, std::move(name), status));
}

Task<Result<>> StaticFiles::send_file(http::ServerRequest& request, const File& file,
                                      std::string path, int status) {
    const bool is_coded = file.coding != http::ContentCoding::kIdentity;
    const std::string tag =
        fmt::format("\"{}-{:x}{}{}\"", release_, file.size_bytes, is_coded ? "-" : "",
                    is_coded ? http::to_string(file.coding) : std::string_view());
    http::ResponseHead head;
    head.status = status;
    if (file.has_codings) head.headers.add("Vary", "Accept-Encoding");
    head.headers.add("ETag", tag);
    head.headers.add("Cache-Control", "no-cache");
    const auto if_none_match = request.header("If-None-Match");
    if (status == 200 && if_none_match && matches_tag(*if_none_match, tag)) {
        request.respond(304, head.headers, "");
        co_return Result<>();
    }
    ByteRange range;
    RangeAnswer answer = RangeAnswer::kWhole;
    const auto range_field = request.header("Range");
    const auto if_range = request.header("If-Range");
    if (status == 200 && range_field && (!if_range || *if_range == tag)) {
        answer = parse_range(*range_field, file.size_bytes, range);
    }
    if (answer == RangeAnswer::kUnsatisfiable) {
        head.headers.add("Content-Range", fmt::format("bytes */{}", file.size_bytes));
        request.respond(416, head.headers, "");
        co_return Result<>();
    }
    uint64_t offset = 0;
    uint64_t left = file.size_bytes;
    if (answer == RangeAnswer::kPart) {
        head.status = 206;
        head.headers.add("Content-Range",
                         fmt::format("bytes {}-{}/{}", range.first, range.last, file.size_bytes));
        offset = range.first;
        left = range.last - range.first + 1;
    }
    head.headers.add("Accept-Ranges", "bytes");
    if (is_coded) head.headers.add("Content-Encoding", http::to_string(file.coding));
    head.headers.add("Content-Type", content_type(path));
    head.headers.add("X-Content-Type-Options", "nosniff");
    head.headers.add("Content-Length", std::to_string(left));
    CO_TRY(co_await request.begin(std::move(head)));
    if (request.method() == "HEAD") left = 0;
    while (left > 0) {
        const size_t size = std::min<uint64_t>(left, kReadSize);
        auto work = [fd = file.fd, offset, size] { return read_at(fd->get(), offset, size); };
        auto bytes = co_await offload(*loop_, std::move(work));
        if (!bytes) co_return fail(bytes.error());
        if (bytes->empty()) co_return fail(Code::kConflict, "the file has become shorter");
        CO_TRY(co_await request.write(*bytes));
        offset += bytes->size();
        left -= bytes->size();
    }
    auto ended = co_await request.end();
    co_return ended;
}

}  // namespace candela::service
