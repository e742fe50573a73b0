#include "mesh.h"

#include "links.h"
#include "server.h"

namespace candela::bus_role {

size_t Mesh::emptiest() const {
    size_t best = 0;
    for (size_t i = 1; i < seats_.size(); ++i) {
        if (load(i) < load(best)) best = i;
    }
    return best;
}

void Mesh::wake(const std::shared_ptr<Mesh>& mesh, size_t from, size_t to) {
    mesh->loop(to).post([mesh, from = static_cast<uint32_t>(from), to = static_cast<uint32_t>(to)] {
        if (Server* server = mesh->server(to))
            server->links()->receive(from);
        else
            mesh->channel(from, to).forget_wake();
    });
}

}  // namespace candela::bus_role
