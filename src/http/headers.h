#pragma once

// Header fields of one message: an ordered multi-map whose names compare without case. All bytes
// live in one buffer, so that a Headers which is cleared and filled again does not allocate. A
// value type; views handed out are good until the next change.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace candela::http {

// Names that the framing rules, the proxy and the servers look for; found once, when a field is
// added.
enum class FieldId : uint8_t {
    kOther,
    kHost,
    kConnection,
    kContentLength,
    kContentType,
    kTransferEncoding,
    kTe,
    kTrailer,
    kUpgrade,
    kExpect,
    kKeepAlive,
    kProxyConnection,
    kProxyAuthorization,
    kProxyAuthenticate,
    kForwarded,
    kXForwardedFor,
    kXForwardedProto,
    kXForwardedHost,
    kXForwardedPort,
    kXRealIp,
    kXRequestId,
    kTraceparent,
    kVia,
    kDate,
    kServer,
    kAuthorization,
    kCookie,
    kHttp2Settings,
};

FieldId field_id(std::string_view name);

// RFC 9110 §5.6.2 token: what methods and field names are made of.
bool is_token(std::string_view text);
// RFC 9110 §5.5: no control bytes but tab, so neither CR, LF nor NUL.
bool is_field_value(std::string_view text);
// What an Authorization field says in that scheme (RFC 9110 §11.4); empty where it is of another.
std::string_view credentials_of(std::string_view authorization, std::string_view scheme);
// Calls `visit(token)` for each element of a comma-separated list, blanks trimmed, empty ones left
// out.
template <class Visit>
void for_each_list_element(std::string_view list, Visit visit);

class Headers {
public:
    struct Field {
        std::string_view name;
        std::string_view value;
        FieldId id;
    };

    Headers() = default;
    Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

    size_t size() const { return slots_.size(); }
    bool empty() const { return slots_.empty(); }
    Field operator[](size_t index) const {
        const Slot& slot = slots_[index];
        return Field{{buffer_.data() + slot.name_at, slot.name_size},
                     {buffer_.data() + slot.value_at, slot.value_size},
                     slot.id};
    }

    class Iterator {
    public:
        Iterator(const Headers* headers, size_t index) : headers_(headers), index_(index) {}
        Field operator*() const { return (*headers_)[index_]; }
        Iterator& operator++() {
            ++index_;
            return *this;
        }
        bool operator==(const Iterator& other) const { return index_ == other.index_; }

    private:
        const Headers* headers_;
        size_t index_;
    };
    Iterator begin() const { return Iterator(this, 0); }
    Iterator end() const { return Iterator(this, slots_.size()); }

    // The first field of that name.
    std::optional<std::string_view> get(std::string_view name) const;
    std::optional<std::string_view> get(FieldId id) const;
    bool contains(std::string_view name) const { return get(name).has_value(); }
    bool contains(FieldId id) const { return get(id).has_value(); }
    size_t count(FieldId id) const;
    // True where a field of that name holds the token in its comma-separated list ("close").
    bool has_token(FieldId id, std::string_view token) const;
    bool has_token(std::string_view name, std::string_view token) const;

    // Appends. A field that can't be sent (a name that is no token, CR, LF or NUL in the value) is
    // left out and remembered: first_invalid() names it and serialising fails.
    void add(std::string_view name, std::string_view value);
    // Replaces every field of that name.
    void set(std::string_view name, std::string_view value);
    void remove(std::string_view name);
    void remove(FieldId id);
    // Keeps the memory for the next message.
    void clear();
    // Gives the memory back.
    void release();

    // The name of the first field that add() left out; empty when all went in.
    std::string_view first_invalid() const { return invalid_; }
    // Bytes that the fields take when serialised.
    size_t size_bytes() const;

    // For parsers: the name and value of one field in pieces that are known to be well formed.
    void begin_field();
    void append_name(std::string_view piece) { buffer_.append(piece); }
    void append_value(std::string_view piece);
    Field finish_field();  // trims blanks at the value's end
    void drop_last() { slots_.pop_back(); }

private:
    struct Slot {
        uint32_t name_at;
        uint32_t value_at;
        uint32_t value_size;
        uint16_t name_size;
        FieldId id;
    };
    static constexpr uint32_t kNoValue = UINT32_MAX;

    std::string buffer_;
    std::vector<Slot> slots_;
    std::string invalid_;
    uint32_t open_name_at_ = 0;
    uint32_t open_value_at_ = kNoValue;
};

// For messages without trailers, say.
inline const Headers kNoHeaders;

template <class Visit>
void for_each_list_element(std::string_view list, Visit visit) {
    while (!list.empty()) {
        const size_t comma = list.find(',');
        std::string_view element = list.substr(0, comma);
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
        while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) {
            element.remove_prefix(1);
        }
        while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) {
            element.remove_suffix(1);
        }
        if (!element.empty()) visit(element);
    }
}

}  // namespace candela::http
