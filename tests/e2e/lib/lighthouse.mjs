// A lighthouse that a test plays: it answers a gateway's pulls with whatever table the test wants, grants
// credentials, and listens to heartbeats. Protobuf is written by hand here, as another implementation would.

import fs from 'node:fs';
import path from 'node:path';
import jwt from '@nats-io/jwt';
import { connect, credsAuthenticator } from 'nats';
import { until } from './wait.mjs';

const varint = (value) => {
  const bytes = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Buffer.from(bytes);
};
export const number = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
export const bytes = (field, value) => {
  const content = Buffer.from(value);
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
};

// {field: [values]}: numbers as BigInt, the rest as Buffers.
export function decode(message) {
  const fields = {};
  let at = 0;
  const next = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at];
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(next());
    let value;
    if ((tag & 7) === 0) {
      value = next();
    } else {
      const length = Number(next());
      value = Buffer.from(message.subarray(at, at + length));
      at += length;
    }
    (fields[tag >> 3] ??= []).push(value);
  }
  return fields;
}

export class FakeLighthouse {
  // `dir` is the data folder that `candela init` has filled.
  static async start(t, dir, server) {
    const self = new FakeLighthouse();
    self.dir = dir;
    self.table = Buffer.alloc(0);
    self.version = 0;
    self.beats = [];
    const creds = fs.readFileSync(path.join(dir, 'identity/creds/lighthouse.creds'));
    self.bus = await connect({ servers: server, authenticator: credsAuthenticator(creds), reconnectTimeWait: 100 });
    t.after(() => self.stop());
    self.bus.subscribe('candela.lighthouse.routes', { callback: (error, message) => message.respond(self.table) });
    self.bus.subscribe('candela.nodes.*.heartbeat', {
      callback: (error, message) => {
        const beat = decode(message.data);
        // A bus that runs beside has beats of its own.
        if (!beat[4]?.some((role) => ['gateway', 'loadbalancer'].includes(role.toString()))) return;
        self.beats.push(beat);
        self.machineId = beat[5]?.[0]?.toString();
      },
    });
    self.bus.subscribe('candela.lighthouse.credential', {
      callback: async (error, message) => {
        const ask = decode(message.data);
        const space = ask[3][0].toString();
        const token = fs.readFileSync(path.join(dir, `identity/accounts/${space}.jwt`), 'utf8').trim();
        const signer = jwt.fromSeed(fs.readFileSync(path.join(dir, `identity/accounts/${space}.seed`)));
        const user = await jwt.encodeUser('gateway', jwt.fromPublic(ask[4][0].toString()), signer,
          { issuer_account: jwt.decode(token).sub });
        message.respond(bytes(1, user));
      },
    });
    await self.bus.flush();
    await until('a heartbeat', () => self.machineId);
    return self;
  }

  async stop() {
    if (!this.bus.isClosed()) await this.bus.close();
  }

  // services: [{service, kind, routes: [{host, path, and what else a [[route]] says}], endpoints: [{instance, port, node, machine, protocol, proxyProtocol, weight}], hold}]
  async publish(services) {
    this.version += 1;
    const parts = [number(1, this.version), number(2, 1)];
    for (const service of services) {
      const inner = [bytes(1, 'default'), bytes(2, service.service), bytes(3, service.kind ?? 'http')];
      for (const route of service.routes ?? [{}]) {
        const { host = '', path: prefix = '/', ...settings } = route;
        const plain = Object.keys(settings).length === 0;
        inner.push(bytes(4, Buffer.concat([
          bytes(1, host), bytes(2, prefix), ...(plain ? [] : [bytes(3, JSON.stringify(route))]),
        ])));
      }
      for (const endpoint of service.endpoints ?? []) {
        inner.push(bytes(5, Buffer.concat([
          bytes(1, endpoint.instance), bytes(2, endpoint.node ?? 'here'),
          bytes(3, endpoint.machine ?? this.machineId), number(5, endpoint.port), number(6, 1),
          ...(endpoint.protocol === 'h2c' ? [number(8, 1)] : []),
          ...(endpoint.proxyProtocol ? [number(11, { v1: 1, v2: 2 }[endpoint.proxyProtocol])] : []),
          ...(endpoint.weight === undefined ? [] : [number(9, 1), number(10, endpoint.weight)]),
        ])));
      }
      inner.push(number(6, 100), number(7, service.hold ?? 10_000));
      parts.push(bytes(3, Buffer.concat(inner)));
    }
    this.table = Buffer.concat(parts);
    this.bus.publish('candela.routes.nudge', number(1, this.version));
    await this.served(this.version);
  }

  // Returns once a heartbeat says that the gateway serves that version.
  served(version) {
    return until(`the gateway to serve version ${version}`, () =>
      this.beats.some((beat) => beat[16]?.[0] === BigInt(version)));
  }

  busy() {
    return (this.beats.at(-1)?.[17] ?? []).map((instance) => instance.toString());
  }
}
