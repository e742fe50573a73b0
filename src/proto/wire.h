#pragma once

// How values become nanopb messages and back. One function per message, `visit(v, value, wire)`,
// names its fields once; three visitors walk it: Writer fills the wire struct for encoding, Binder
// points its callbacks at the value for decoding, Taker copies the plain numbers after decoding.
// Only messages.cc includes this.

#include <pb_decode.h>
#include <pb_encode.h>

#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "candela.pb.h"

namespace candela::proto::wire {

// Joins a value type with its nanopb struct: `using Wire = …; static const pb_msgdesc_t*
// fields();`.
template <class Value>
struct Shape;

// Where a decoding callback puts things; lives in the Binder for the whole decode.
struct Sink {
    void* target;
    size_t size_max;   // of one text
    size_t count_max;  // of a list
};

// ---- encoding

inline bool write_bytes(pb_ostream_t* stream, const pb_field_t* field, const std::string& text) {
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_string(stream, reinterpret_cast<const pb_byte_t*>(text.data()), text.size());
}

inline bool write_text(pb_ostream_t* stream, const pb_field_t* field, void* const* arg) {
    const auto& text = *static_cast<const std::string*>(*arg);
    return text.empty() || write_bytes(stream, field, text);
}

inline bool write_texts(pb_ostream_t* stream, const pb_field_t* field, void* const* arg) {
    for (const std::string& text : *static_cast<const std::vector<std::string>*>(*arg)) {
        if (!write_bytes(stream, field, text)) return false;
    }
    return true;
}

template <class Value>
bool write_list(pb_ostream_t* stream, const pb_field_t* field, void* const* arg);

class Writer {
public:
    static constexpr bool kWrites = true;

    void text(pb_callback_t& wire, const std::string& value, size_t) {
        wire.funcs.encode = &write_text;
        wire.arg = const_cast<std::string*>(&value);
    }
    void texts(pb_callback_t& wire, const std::vector<std::string>& value, size_t, size_t) {
        wire.funcs.encode = &write_texts;
        wire.arg = const_cast<std::vector<std::string>*>(&value);
    }
    template <class Value>
    void list(pb_callback_t& wire, const std::vector<Value>& value, size_t) {
        wire.funcs.encode = &write_list<Value>;
        wire.arg = const_cast<std::vector<Value>*>(&value);
    }
    template <class Wire, class Value>
    void number(Wire& wire, const Value& value) {
        wire = static_cast<Wire>(value);
    }
    template <class Wire, class Value>
    void choice(Wire& wire, const Value& value, Value) {
        wire = static_cast<Wire>(value);
    }
    template <class Wire, class Value>
    void message(bool& has, Wire& wire, const Value& value) {
        has = !(value == Value());
        if (has) visit(*this, value, wire);
    }
};

template <class Value>
bool write_list(pb_ostream_t* stream, const pb_field_t* field, void* const* arg) {
    for (const Value& value : *static_cast<const std::vector<Value>*>(*arg)) {
        typename Shape<Value>::Wire wire{};
        Writer writer;
        visit(writer, value, wire);
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_submessage(stream, Shape<Value>::fields(), &wire)) {
            return false;
        }
    }
    return true;
}

// ---- decoding

inline bool read_bytes(pb_istream_t* stream, std::string& text, size_t limit) {
    if (stream->bytes_left > limit) PB_RETURN_ERROR(stream, "text too long");
    text.resize(stream->bytes_left);
    return pb_read(stream, reinterpret_cast<pb_byte_t*>(text.data()), text.size());
}

inline bool read_text(pb_istream_t* stream, const pb_field_t*, void** arg) {
    const Sink& sink = *static_cast<Sink*>(*arg);
    return read_bytes(stream, *static_cast<std::string*>(sink.target), sink.size_max);
}

inline bool read_texts(pb_istream_t* stream, const pb_field_t*, void** arg) {
    const Sink& sink = *static_cast<Sink*>(*arg);
    auto& texts = *static_cast<std::vector<std::string>*>(sink.target);
    if (texts.size() >= sink.count_max) PB_RETURN_ERROR(stream, "list too long");
    return read_bytes(stream, texts.emplace_back(), sink.size_max);
}

template <class Value>
bool read_list(pb_istream_t* stream, const pb_field_t*, void** arg);

class Taker {
public:
    void text(pb_callback_t&, std::string&, size_t) {}
    void texts(pb_callback_t&, std::vector<std::string>&, size_t, size_t) {}
    template <class Value>
    void list(pb_callback_t&, std::vector<Value>&, size_t) {}
    template <class Wire, class Value>
    void number(const Wire& wire, Value& value) {
        value = static_cast<Value>(wire);
    }
    // A value that this version does not know becomes the first one. nanopb stores what came off
    // the wire, whatever it is, so it is read as bytes: as an enum it need not be a valid value.
    template <class Wire, class Value>
    void choice(const Wire& wire, Value& value, Value last) {
        std::underlying_type_t<Wire> number;
        std::memcpy(&number, &wire, sizeof number);
        const bool known = std::cmp_greater_equal(number, 0) &&
                           std::cmp_less_equal(number, static_cast<int64_t>(last));
        value = known ? static_cast<Value>(number) : Value{};
    }
    template <class Wire, class Value>
    void message(const bool& has, Wire& wire, Value& value) {
        if (has) visit(*this, value, wire);
    }
};

class Binder {
public:
    void text(pb_callback_t& wire, std::string& value, size_t size_max) {
        bind(wire, &read_text, &value, size_max, 1);
    }
    void texts(pb_callback_t& wire, std::vector<std::string>& value, size_t count_max,
               size_t size_max) {
        bind(wire, &read_texts, &value, size_max, count_max);
    }
    template <class Value>
    void list(pb_callback_t& wire, std::vector<Value>& value, size_t count_max) {
        bind(wire, &read_list<Value>, &value, 0, count_max);
    }
    template <class Wire, class Value>
    void number(const Wire&, Value&) {}
    template <class Wire, class Value>
    void choice(const Wire&, Value&, Value) {}
    template <class Wire, class Value>
    void message(bool&, Wire& wire, Value& value) {
        visit(*this, value, wire);
    }

private:
    using Read = bool (*)(pb_istream_t*, const pb_field_t*, void**);
    void bind(pb_callback_t& wire, Read read, void* target, size_t size_max, size_t count_max) {
        sinks_.push_back(Sink{target, size_max, count_max});
        wire.funcs.decode = read;
        wire.arg = &sinks_.back();
    }
    std::deque<Sink> sinks_;  // a deque: callbacks hold their addresses
};

template <class Value>
bool read_message(pb_istream_t* stream, Value& value) {
    typename Shape<Value>::Wire wire{};
    Binder binder;
    visit(binder, value, wire);
    // NOINIT: with init nanopb would reset what the callbacks of a submessage were bound to.
    if (!pb_decode_ex(stream, Shape<Value>::fields(), &wire, PB_DECODE_NOINIT)) return false;
    Taker taker;
    visit(taker, value, wire);
    return true;
}

template <class Value>
bool read_list(pb_istream_t* stream, const pb_field_t*, void** arg) {
    const Sink& sink = *static_cast<Sink*>(*arg);
    auto& values = *static_cast<std::vector<Value>*>(sink.target);
    if (values.size() >= sink.count_max) PB_RETURN_ERROR(stream, "list too long");
    return read_message(stream, values.emplace_back());
}

}  // namespace candela::proto::wire
