// A lighthouse that a test plays for a host: assignments, bundles and credentials on request; heartbeats and
// logs are kept. Protobuf, tar and zstd are written by hand here, as another implementation would.

import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import jwt from '@nats-io/jwt';
import { connect, credsAuthenticator } from 'nats';
import { bytes, decode, number } from './lighthouse.mjs';
import { until } from './wait.mjs';

export const STATES = [
  'unknown', 'pending', 'starting', 'ready', 'unready', 'draining', 'stopping', 'exited', 'failed',
];

// One tar entry (POSIX ustar). `type`: '0' file, '2' link, '5' folder.
function tarEntry(name, { content = '', mode = 0o644, type = '0', link = '' } = {}) {
  const data = Buffer.from(content);
  const head = Buffer.alloc(512);
  const field = (text, at, length) => head.write(text, at, length, 'utf8');
  const octal = (value, at, length) => field(value.toString(8).padStart(length - 1, '0'), at, length);
  field(name, 0, 100);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(data.length, 124, 12);
  octal(0, 136, 12);
  head.fill(' ', 148, 156);
  field(type, 156, 1);
  field(link, 157, 100);
  field('ustar\u000000', 257, 8);
  octal(head.reduce((sum, byte) => sum + byte, 0), 148, 7);
  return Buffer.concat([head, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

// A zstd frame of raw blocks (RFC 8878 §3.1.1): valid, and no library is needed.
function zstdRaw(content) {
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38])];  // window of 128 KiB
  const size = 128 * 1024;
  for (let at = 0; at === 0 || at < content.length; at += size) {
    const block = content.subarray(at, at + size);
    const head = (block.length << 3) | (at + size >= content.length ? 1 : 0);
    parts.push(Buffer.from([head & 0xff, (head >> 8) & 0xff, (head >> 16) & 0xff]), block);
  }
  return Buffer.concat(parts);
}

// files: {name: text, or what tarEntry() takes}.
export function makeBundle(files) {
  const entries = Object.entries(files).map(([name, what]) =>
    tarEntry(name, typeof what === 'string' || Buffer.isBuffer(what) ? { content: what } : what));
  const archive = zstdRaw(Buffer.concat([...entries, Buffer.alloc(1024)]));
  return { archive, digest: crypto.createHash('sha256').update(archive).digest('hex') };
}

export class HostLighthouse {
  static async start(t, dir, server) {
    const self = new HostLighthouse();
    self.dir = dir;
    self.server = server;
    self.deployer = jwt.createUser();
    self.bundles = new Map();
    self.version = 0;
    self.specs = [];
    self.reads = [];
    self.grants = [];
    self.lines = [];
    self.positions = new Map();  // of the sources of lines
    self.beat = undefined;
    await self.connect();
    t.after(() => self.stop());
    return self;
  }

  async connect() {
    const creds = fs.readFileSync(path.join(this.dir, 'identity/creds/lighthouse.creds'));
    this.bus = await connect({ servers: this.server, authenticator: credsAuthenticator(creds), reconnectTimeWait: 100, maxReconnectAttempts: -1 });
    const answer = (subject, make) => this.bus.subscribe(subject, {
      callback: async (error, message) => message.respond(await make(decode(message.data))),
    });
    answer('candela.lighthouse.assignments', () => this.assignments());
    answer('candela.lighthouse.bundle', (ask) => this.chunk(ask));
    answer('candela.lighthouse.credential', (ask) => this.grant(ask));
    this.bus.subscribe('candela.nodes.*.heartbeat', {
      callback: (error, message) => {
        const beat = decode(message.data);
        // The bus's node has some of its own.
        if (beat[1][0].toString() === 'host-1') this.beat = beat;
      },
    });
    this.bus.subscribe('candela.logs.>', {
      callback: (error, message) => {
        const batch = decode(message.data);
        const first = Number(batch[9][0]);
        const source = batch[8][0].toString();
        const position = first + batch[6].length - 1;
        const known = this.positions.get(source) ?? 0;
        this.positions.set(source, Math.max(known, position));
        message.respond(Buffer.concat([bytes(1, source), number(2, Math.max(known, position))]));
        for (const entry of batch[6].slice(Math.max(0, known - first + 1))) {
          const line = decode(entry);
          this.lines.push({ instance: batch[4][0].toString(), stream: Number(line[2]?.[0] ?? 0), text: (line[3]?.[0] ?? '').toString() });
        }
      },
    });
    await this.bus.flush();
  }

  async stop() {
    if (!this.bus.isClosed()) await this.bus.close();
  }

  add(files) {
    const bundle = makeBundle(files);
    this.bundles.set(bundle.digest, bundle.archive);
    return bundle;
  }

  sign(digest, deployer = this.deployer) {
    return Buffer.from(deployer.sign(Buffer.from(digest))).toString('base64url');
  }

  // specs: [{instance, service, kind, command, env, probe: {path|tcp|exec, …ms}, grace, bundle, signature, root, stop, draining}]
  async assign(specs) {
    this.want(specs);
    this.bus.publish('candela.nodes.host-1.nudge', number(1, this.version));
    await until(`version ${this.version} to be taken`, () => Number(this.beat?.[24]?.[0] ?? 0) === this.version);
  }

  // What the next pull finds.
  want(specs) {
    this.specs = specs;
    this.version += 1;
  }

  assignments() {
    const parts = [number(1, this.version), number(2, 1)];
    for (const spec of this.specs) parts.push(bytes(3, this.spec(spec)));
    return Buffer.concat(parts);
  }

  spec(spec) {
    const { bundle } = spec;
    const parts = [bytes(1, spec.instance), bytes(2, 'default'), bytes(3, spec.service ?? 'web'), number(4, 1), bytes(5, spec.kind ?? 'http')];
    for (const word of spec.command ?? []) parts.push(bytes(6, word));
    for (const [name, value] of Object.entries(spec.env ?? {})) parts.push(bytes(7, Buffer.concat([bytes(1, name), bytes(2, value)])));
    const probe = spec.probe ?? { tcp: true };
    const kind = probe.path ? 1 : probe.tcp ? 2 : probe.exec ? 3 : 0;
    parts.push(bytes(8, Buffer.concat([
      number(1, kind), bytes(2, probe.path ?? ''), ...(probe.exec ?? []).map((word) => bytes(3, word)),
      number(4, probe.interval ?? 200), number(5, probe.timeout ?? 1000), number(6, probe.start ?? 20_000),
    ])));
    parts.push(number(9, spec.grace ?? 5000), bytes(10, bundle.digest), number(11, bundle.archive.length));
    parts.push(bytes(12, spec.signature ?? this.sign(bundle.digest)), bytes(13, this.deployer.getPublicKey()));
    if (spec.stop) parts.push(number(14, 1));
    if (spec.draining) parts.push(number(16, 1));
    if (spec.root) parts.push(bytes(17, spec.root));
    if (spec.level) parts.push(bytes(24, spec.level));
    if (spec.memory) parts.push(number(25, spec.memory));
    if (spec.pids) parts.push(number(27, spec.pids));
    if (spec.scratch) parts.push(number(28, spec.scratch));
    if (spec.container) {
      const { image, host, port, user, writable } = spec.container;
      parts.push(bytes(29, Buffer.concat([
        bytes(1, image), number(2, host ? 1 : 0), number(3, port ?? 0), bytes(4, user ?? ''), number(5, writable ? 1 : 0),
      ])));
    }
    if (spec.network === 'none') parts.push(number(33, 1));
    return Buffer.concat(parts);
  }

  chunk(ask) {
    const digest = ask[1][0].toString();
    const offset = Number(ask[2]?.[0] ?? 0n);
    const length = Number(ask[3]?.[0] ?? 0n);
    this.reads.push({ digest, offset });
    const archive = this.bundles.get(digest);
    if (!archive) return bytes(4, Buffer.concat([bytes(1, 'not_found'), bytes(2, 'no such bundle')]));
    return Buffer.concat([number(1, archive.length), number(2, offset), bytes(3, archive.subarray(offset, offset + length))]);
  }

  async grant(ask) {
    const space = ask[3][0].toString();
    this.grants.push(ask[2][0].toString());
    const token = fs.readFileSync(path.join(this.dir, `identity/accounts/${space}.jwt`), 'utf8').trim();
    const signer = jwt.fromSeed(fs.readFileSync(path.join(this.dir, `identity/accounts/${space}.seed`)));
    const user = await jwt.encodeUser(ask[2][0].toString(), jwt.fromPublic(ask[4][0].toString()), signer, { issuer_account: jwt.decode(token).sub });
    return bytes(1, user);
  }

  // What the last heartbeat says of the host's instances, by name.
  instances() {
    const found = {};
    for (const part of this.beat?.[26] ?? []) {
      const status = decode(part);
      const text = (field) => (status[field]?.[0] ?? '').toString();
      const count = (field) => Number(status[field]?.[0] ?? 0n);
      found[text(1)] = {
        state: STATES[count(2)], port: count(3), pid: count(4), restarts: count(5), lastExit: text(6),
        cause: text(7), probeAnswer: text(8), tail: (status[9] ?? []).map((line) => line.toString()), exitCode: count(10), memory: count(12),
      };
    }
    return found;
  }

  // {name: {on, detail}} of the walls that the host builds.
  protections() {
    return Object.fromEntries((this.beat?.[40] ?? []).map((part) => {
      const wall = decode(part);
      return [wall[1][0].toString(), { on: Number(wall[2]?.[0] ?? 0n) === 1, detail: (wall[3]?.[0] ?? '').toString() }];
    }));
  }

  // What the host says is wrong with it; empty: nothing.
  trouble() {
    return (this.beat?.[43]?.[0] ?? '').toString();
  }

  // What runs instances there beside the host itself: {name: {on, detail, level}}.
  drivers() {
    return Object.fromEntries((this.beat?.[42] ?? []).map((part) => {
      const driver = decode(part);
      const text = (field) => (driver[field]?.[0] ?? '').toString();
      return [text(1), { on: Number(driver[2]?.[0] ?? 0n) === 1, detail: text(3), level: text(4) }];
    }));
  }

  // The instance's status once the heartbeat shows it in that state.
  reached(instance, state, timeout = 20_000) {
    return until(`${instance} to be ${state}`, () => {
      const status = this.instances()[instance];
      if (status?.state !== state) throw new Error(`it is ${JSON.stringify(status)}`);
      return status;
    }, { timeout });
  }

  said(instance, text, timeout = 20_000) {
    return until(`${instance} to say ${text}`, () =>
      this.lines.find((line) => line.instance === instance && line.text.includes(text)), { timeout });
  }
}
