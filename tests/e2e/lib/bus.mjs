// The bus alone, and credentials for it made by other implementations (npm @nats-io/jwt).

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import jwt from '@nats-io/jwt';
import { connect, credsAuthenticator } from 'nats';
import { ROOT, makeTempDir, removeDir } from './program.mjs';

const BINARY = process.env.CANDELA_BUS ?? path.join(ROOT, 'build/tests/bench/bench-bus-server');
const text = new TextDecoder();

export class Bus {
  constructor(t, dir) {
    this.t = t;
    this.dir = dir;
    this.identity = path.join(dir, 'identity');
  }

  async start(port = 0) {
    this.child = spawn(BINARY, [this.dir, String(port)], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.log = '';
    this.child.stderr.on('data', (bytes) => { this.log += bytes; });
    this.ended = new Promise((done) => { this.child.on('exit', (code, signal) => done({ code, signal })); });
    const lines = readline.createInterface({ input: this.child.stdout });
    const first = await Promise.race([
      new Promise((done) => { lines.once('line', done); }),
      this.ended.then((how) => { throw new Error(`the bus ended: ${JSON.stringify(how)}\n${this.log}`); }),
    ]);
    [, this.address] = first.match(/^listening (.*)$/);
    this.port = Number(this.address.split(':').pop());
    this.pid = this.child.pid;
  }

  async stop() {
    this.child.stdin.end();
    return this.ended;
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
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

export async function startBus(t) {
  const bus = new Bus(t, makeTempDir('candela-bus'));
  t.after(async () => {
    await bus.kill();
    removeDir(bus.dir);
  });
  await bus.start();
  return bus;
}
