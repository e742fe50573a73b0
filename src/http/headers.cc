#include "http/headers.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"

namespace candela::http {

namespace {

struct KnownName {
    std::string_view name;
    FieldId id;
};

constexpr KnownName kKnownNames[] = {
    {"host", FieldId::kHost},
    {"connection", FieldId::kConnection},
    {"content-length", FieldId::kContentLength},
    {"content-type", FieldId::kContentType},
    {"transfer-encoding", FieldId::kTransferEncoding},
    {"te", FieldId::kTe},
    {"trailer", FieldId::kTrailer},
    {"upgrade", FieldId::kUpgrade},
    {"expect", FieldId::kExpect},
    {"keep-alive", FieldId::kKeepAlive},
    {"proxy-connection", FieldId::kProxyConnection},
    {"proxy-authorization", FieldId::kProxyAuthorization},
    {"proxy-authenticate", FieldId::kProxyAuthenticate},
    {"forwarded", FieldId::kForwarded},
    {"x-forwarded-for", FieldId::kXForwardedFor},
    {"x-forwarded-proto", FieldId::kXForwardedProto},
    {"x-forwarded-host", FieldId::kXForwardedHost},
    {"x-forwarded-port", FieldId::kXForwardedPort},
    {"x-real-ip", FieldId::kXRealIp},
    {"x-request-id", FieldId::kXRequestId},
    {"traceparent", FieldId::kTraceparent},
    {"via", FieldId::kVia},
    {"date", FieldId::kDate},
    {"server", FieldId::kServer},
    {"authorization", FieldId::kAuthorization},
    {"cookie", FieldId::kCookie},
    {"http2-settings", FieldId::kHttp2Settings},
};

constexpr size_t kNameSizeMax = 20;
constexpr size_t kHashSize = 64;

// Length and two letters tell all known names apart; the static_assert below keeps it so.
constexpr size_t hash_name(std::string_view name) {
    const auto first = static_cast<size_t>(name.front() | 0x20);
    const auto later = static_cast<size_t>(name[name.size() * 3 / 4] | 0x20);
    return (name.size() * 1 + first * 28 + later * 36) % kHashSize;
}

constexpr std::array<int8_t, kHashSize> make_table() {
    std::array<int8_t, kHashSize> table{};
    for (int8_t& entry : table) entry = -1;
    int8_t index = 0;
    for (const KnownName& known : kKnownNames) {
        int8_t& entry = table[hash_name(known.name)];
        entry = entry == -1 ? index : int8_t{-2};
        ++index;
    }
    return table;
}
constexpr std::array<int8_t, kHashSize> kTable = make_table();

constexpr bool table_has_no_collisions() {
    for (const int8_t entry : kTable) {
        if (entry == -2) return false;
    }
    for (const KnownName& known : kKnownNames) {
        if (known.name.size() > kNameSizeMax) return false;
    }
    return true;
}
static_assert(table_has_no_collisions(), "choose other factors in hash_name");

constexpr std::array<bool, 256> make_token_table() {
    std::array<bool, 256> table{};
    for (char c = 'a'; c <= 'z'; ++c) table[static_cast<uint8_t>(c)] = true;
    for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<uint8_t>(c)] = true;
    for (char c = '0'; c <= '9'; ++c) table[static_cast<uint8_t>(c)] = true;
    for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<uint8_t>(c)] = true;
    return table;
}
constexpr std::array<bool, 256> kTokenTable = make_token_table();

bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

FieldId field_id(std::string_view name) {
    if (name.empty() || name.size() > kNameSizeMax) return FieldId::kOther;
    const int8_t index = kTable[hash_name(name)];
    if (index < 0) return FieldId::kOther;
    const KnownName& known = kKnownNames[index];
    return ascii_iequals(known.name, name) ? known.id : FieldId::kOther;
}

bool is_token(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return kTokenTable[static_cast<uint8_t>(c)];
    });
}

bool is_field_value(std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<uint8_t>(c);
        return (byte < 0x20 && byte != '\t') || byte == 0x7f;
    });
}

Headers::Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
    for (const auto& [name, value] : fields) add(name, value);
}

std::optional<std::string_view> Headers::get(std::string_view name) const {
    for (const Field field : *this) {
        if (ascii_iequals(field.name, name)) return field.value;
    }
    return std::nullopt;
}

std::optional<std::string_view> Headers::get(FieldId id) const {
    for (size_t index = 0; index < slots_.size(); ++index) {
        if (slots_[index].id == id) return (*this)[index].value;
    }
    return std::nullopt;
}

size_t Headers::count(FieldId id) const {
    return static_cast<size_t>(std::count_if(slots_.begin(), slots_.end(),
                                             [id](const Slot& slot) { return slot.id == id; }));
}

std::string_view credentials_of(std::string_view authorization, std::string_view scheme) {
    const bool is_of_it = authorization.size() > scheme.size() &&
                          authorization[scheme.size()] == ' ' &&
                          ascii_iequals(authorization.substr(0, scheme.size()), scheme);
    return is_of_it ? trim(authorization.substr(scheme.size())) : std::string_view();
}

namespace {

bool lists_token(std::string_view list, std::string_view token) {
    bool found = false;
    for_each_list_element(
        list, [&](std::string_view element) { found = found || ascii_iequals(element, token); });
    return found;
}

}  // namespace

bool Headers::has_token(FieldId id, std::string_view token) const {
    return std::ranges::any_of(slots_, [&](const Slot& slot) {
        return slot.id == id &&
               lists_token({buffer_.data() + slot.value_at, slot.value_size}, token);
    });
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
    for (const Field field : *this) {
        if (ascii_iequals(field.name, name) && lists_token(field.value, token)) return true;
    }
    return false;
}

void Headers::add(std::string_view name, std::string_view value) {
    while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
    while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
    if (!is_token(name) || !is_field_value(value) || name.size() > UINT16_MAX) {
        if (invalid_.empty()) invalid_ = name.empty() ? "(no name)" : printable(name);
        return;
    }
    const auto name_at = static_cast<uint32_t>(buffer_.size());
    if (buffer_.capacity() - buffer_.size() < name.size() + value.size()) {
        // The arguments may point into the buffer: the old one lives until both are copied.
        std::string moved;
        moved.reserve((buffer_.size() + name.size() + value.size()) * 2);
        moved.append(buffer_).append(name).append(value);
        buffer_ = std::move(moved);
    } else {
        buffer_.append(name).append(value);
    }
    slots_.push_back(Slot{name_at, static_cast<uint32_t>(name_at + name.size()),
                          static_cast<uint32_t>(value.size()), static_cast<uint16_t>(name.size()),
                          FieldId::kOther});
    slots_.back().id = field_id((*this)[slots_.size() - 1].name);
}

void Headers::set(std::string_view name, std::string_view value) {
    // The bytes of a removed field stay in the buffer, so that the arguments may point at them.
    remove(name);
    add(name, value);
}

void Headers::remove(std::string_view name) {
    size_t kept = 0;
    for (size_t index = 0; index < slots_.size(); ++index) {
        if (!ascii_iequals((*this)[index].name, name)) slots_[kept++] = slots_[index];
    }
    slots_.resize(kept);
}

void Headers::remove(FieldId id) {
    std::erase_if(slots_, [id](const Slot& slot) { return slot.id == id; });
}

void Headers::clear() {
    buffer_.clear();
    slots_.clear();
    invalid_.clear();
    open_value_at_ = kNoValue;
}

void Headers::release() { *this = Headers(); }

size_t Headers::size_bytes() const {
    size_t total = 0;
    for (const Slot& slot : slots_) total += slot.name_size + slot.value_size + 4;
    return total;
}

void Headers::begin_field() {
    open_name_at_ = static_cast<uint32_t>(buffer_.size());
    open_value_at_ = kNoValue;
}

void Headers::append_value(std::string_view piece) {
    if (open_value_at_ == kNoValue) open_value_at_ = static_cast<uint32_t>(buffer_.size());
    buffer_.append(piece);
}

Headers::Field Headers::finish_field() {
    if (open_value_at_ == kNoValue) open_value_at_ = static_cast<uint32_t>(buffer_.size());
    CANDELA_CHECK(open_value_at_ - open_name_at_ <= UINT16_MAX);
    while (buffer_.size() > open_value_at_ && is_blank(buffer_.back())) buffer_.pop_back();
    const std::string_view name(buffer_.data() + open_name_at_, open_value_at_ - open_name_at_);
    slots_.push_back(Slot{open_name_at_, open_value_at_,
                          static_cast<uint32_t>(buffer_.size() - open_value_at_),
                          static_cast<uint16_t>(name.size()), field_id(name)});
    return (*this)[slots_.size() - 1];
}

}  // namespace candela::http
