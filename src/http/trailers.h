#pragma once

// Trailer fields (RFC 9110 §6.5): what comes after a body, such as gRPC's status. Whoever reads
// them keeps only those that may_be_trailer() lets pass, so that nothing downstream has to ask
// again.

#include "http/headers.h"

namespace candela::http {

// RFC 9110 §6.5.1: nothing that frames, routes, authenticates, or says how the message is to be
// taken may come after it. Nor what only a proxy may say, nor what `head` names in Connection.
bool may_be_trailer(const Headers& head, const Headers::Field& field);

}  // namespace candela::http
