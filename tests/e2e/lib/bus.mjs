// A node that is the bus and nothing else, and credentials for it made by other implementations (npm
// @nats-io/jwt).

import fs from 'node:fs';
import path from 'node:path';
import jwt from '@nats-io/jwt';
import { connect, credsAuthenticator } from 'nats';
import { freePort } from './ports.mjs';
import { CANDELA, Program, makeTempDir, removeDir, run } from './program.mjs';
import { until } from './wait.mjs';

const text = new TextDecoder();

export class Bus {
  // `profile`: further lines of the profile, within [bus] at first.
  constructor(t, dir, profile = '') {
    this.t = t;
    this.dir = dir;
    this.profile = profile;
    this.identity = path.join(dir, 'identity');
  }

  async init() {
    const made = await run(CANDELA, ['init', '--data-dir', this.dir]);
    if (made.code !== 0) throw new Error(made.stderr);
    this.port = await freePort();
    this.address = `127.0.0.1:${this.port}`;
    this.writeProfile();
  }

  writeProfile() {
    const loops = process.env.CANDELA_BUS_LOOPS ?? '1'; // bus_loops.test.mjs
    fs.writeFileSync(path.join(this.dir, 'bus.toml'), `[node]
name = "bus"
roles = ["bus"]
data_dir = "${this.dir}"
endpoint = "unix:${path.join(this.dir, 'node.sock')}"
workers = ${loops}
drain_timeout = "1s"
[bus]
listen = "${this.address}"
loops = ${loops}
${this.profile}`);
  }

  // Takes on what writeProfile() wrote, or files that the profile names.
  async reload() {
    const count = () => this.program.output().split(/ reloaded\b|reload_refused/).length;
    const before = count();
    process.kill(this.program.pid, 'SIGHUP');
    await until('the reload', () => count() > before, { every: 5 });
  }

  async start() {
    const config = path.join(this.dir, 'bus.toml');
    const log = path.join(this.dir, 'bus.log');
    fs.rmSync(log, { force: true });
    this.program = new Program(CANDELA, ['node', '--config', config], { name: 'bus', log });
    await until('the bus to listen', () => {
      if (this.program.how) throw new Error(this.program.tail());
      return this.program.output().includes('bus_listening');
    }, { every: 5 });
  }

  stop() {
    return this.program.stop();
  }

  kill() {
    return this.program.kill();
  }

  file(name) {
    return fs.readFileSync(path.join(this.identity, name), 'utf8').trim();
  }

  // An account's keys as other implementations see them.
  account(name) {
    const token = this.file(`accounts/${name}.jwt`);
    return {
      token,
      key: jwt.decode(token).sub,
      signer: jwt.fromSeed(Buffer.from(this.file(`accounts/${name}.seed`))),
    };
  }

  operator() {
    return jwt.fromSeed(Buffer.from(this.file('operator.seed')));
  }

  // A credential in NATS's own form, signed by NATS's own library.
  async mint(account = 'default', claims = {}, options = {}) {
    const user = jwt.createUser();
    const { key, signer } = this.account(account);
    const token = await jwt.encodeUser('test', user, signer, { issuer_account: key, ...claims }, options);
    return { user, token, key: user.getPublicKey(), creds: text.decode(jwt.fmtCreds(token, user)) };
  }

  // What init made for a role.
  roleCreds(role) {
    return fs.readFileSync(path.join(this.identity, 'creds', `${role}.creds`), 'utf8');
  }

  async connect(creds, options = {}) {
    const connection = await connect({
      servers: this.address,
      authenticator: credsAuthenticator(Buffer.from(creds.creds ?? creds)),
      reconnect: false,
      ...options,
    });
    this.t.after(() => connection.close());
    return connection;
  }

  async user(account, claims, options) {
    return this.connect(await this.mint(account, claims), options);
  }
}

export async function startBus(t, profile) {
  const bus = new Bus(t, makeTempDir('candela-bus'), typeof profile === 'function' ? '' : profile);
  t.after(async () => {
    await bus.program?.kill();
    removeDir(bus.dir);
  });
  await bus.init();
  if (typeof profile === 'function') {
    bus.profile = await profile(bus);
    bus.writeProfile();
  }
  await bus.start();
  return bus;
}
