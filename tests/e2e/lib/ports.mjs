// Free ports. Candela's default ports are moved together by one offset (candela dev --port-offset).

import net from 'node:net';

export const DEFAULT_PORTS = {
  gateway: 8080, balancer: 8090, gatewayTls: 8443, mqtt: 1883, bus: 4222, ingress: 7410, api: 7400, node: 7401,
};

export function isFree(port) {
  return new Promise((done) => {
    const server = net.createServer();
    server.once('error', () => done(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => done(true)));
  });
}

// Stays below the ports that the kernel gives to outgoing connections (32768 and up).
export async function freeOffset() {
  for (let tries = 0; tries < 200; tries += 1) {
    const offset = 2000 + 20 * Math.floor(Math.random() * 1000);
    const free = await Promise.all(Object.values(DEFAULT_PORTS).map((port) => isFree(port + offset)));
    if (free.every(Boolean)) return offset;
  }
  throw new Error('found no free ports');
}

const given = new Set();
export async function freePort() {
  for (let tries = 0; tries < 500; tries += 1) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (!given.has(port) && await isFree(port)) {
      given.add(port);
      return port;
    }
  }
  throw new Error('found no free port');
}
