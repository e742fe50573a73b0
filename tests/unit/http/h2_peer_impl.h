#pragma once

// What of the peers that tests play needs nghttp2's own header.

#include <nghttp2/nghttp2.h>

#include <vector>

#include "h2_peer.h"

namespace candela::http::test {

// Views into the fields.
std::vector<nghttp2_nv> name_values(const H2FieldList& fields);

struct H2Uploads {
    // Reads what a peer was told to send; the peer is its session's user.
    static nghttp2_data_provider source();
};

}  // namespace candela::http::test
