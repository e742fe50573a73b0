#pragma once

// What h2_stream.cc and h2_connection.cc share of nghttp2. Private to them.

#include <nghttp2/nghttp2.h>

#include <array>
#include <string_view>
#include <vector>

namespace candela::http {

// The fields of one head on their way to the session, which copies them. One for a thread.
class H2Fields {
public:
    void begin(int status) {
        fields_.clear();
        status_ = {static_cast<char>('0' + status / 100), static_cast<char>('0' + status / 10 % 10),
                   static_cast<char>('0' + status % 10)};
        add(":status", std::string_view(status_.data(), status_.size()));
    }
    void add(std::string_view name, std::string_view value) {
        nghttp2_nv field{};
        field.name = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(name.data()));
        field.namelen = name.size();
        field.value = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(value.data()));
        field.valuelen = value.size();
        fields_.push_back(field);
    }
    const nghttp2_nv* data() const { return fields_.data(); }
    size_t size() const { return fields_.size(); }

private:
    std::array<char, 3> status_{};
    std::vector<nghttp2_nv> fields_;
};

H2Fields& h2_fields();

// The data source of every answer; its pointer is the H2Stream.
ssize_t h2_read_body(nghttp2_session* session, int32_t stream_id, uint8_t* buffer, size_t length,
                     uint32_t* flags, nghttp2_data_source* source, void* user_data);

}  // namespace candela::http
