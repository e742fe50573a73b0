// Accounts that share: one operator's account JWTs, made by npm @nats-io/jwt, pushed to a real nats-server and to
// candela's bus; what clients then hear must be the same.

import assert from 'node:assert/strict';
import jwt from '@nats-io/jwt';
import { connect, credsAuthenticator, StringCodec } from 'nats';
import { startBus } from './bus.mjs';
import { startNatsServer } from './nats_server.mjs';

export const sc = StringCodec();
export const LIMITS = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1, mem_storage: 0, disk_storage: 0 };
export const service = (subject, more) => ({ name: subject, subject, type: 'service', ...more });
export const stream = (subject, more) => ({ name: subject, subject, type: 'stream', ...more });

// One server, with accounts of the test's own that share.
export class Side {
  constructor(t, name, address, keys, operator) {
    Object.assign(this, { t, name, address, keys, operator, heard: [] });
  }

  id(account) { return this.keys[account].getPublicKey(); }

  // The account's JWT with these claims; the server's answer. Each differs, for nats-server looks no further at one that
  // it has had.
  async put(account, claims) {
    this.count = (this.count ?? 0) + 1;
    const token = await jwt.encodeAccount(`${account}${this.count}`, this.keys[account], { limits: LIMITS, ...claims }, { signer: this.operator });
    return (await this.sys.request('$SYS.REQ.CLAIMS.UPDATE', sc.encode(token), { timeout: 5000 })).json();
  }

  async user(account, options = {}) {
    const user = jwt.createUser();
    const token = await jwt.encodeUser('tester', user, this.keys[account], { issuer_account: this.id(account) });
    return this.open(jwt.fmtCreds(token, user), options);
  }

  async open(creds, options = {}) {
    const connection = await connect({ servers: this.address, authenticator: credsAuthenticator(creds), reconnect: false, ...options });
    this.t.after(() => connection.close());
    return connection;
  }

  // Notes what comes, without what differs between any two runs.
  note(who, message) {
    const named = (text) => Object.keys(this.keys).reduce((out, name) => out.replaceAll(this.id(name), `<${name}>`), text)
      .replace(/^_R_\..*/, '<answer>').replace(/^_INBOX\..*/, '<inbox>');
    const info = message.headers?.get('Nats-Request-Info');
    const { rtt, ...rest } = info ? JSON.parse(named(info)) : {};
    this.heard.push([who, named(message.subject), named(message.reply ?? ''), sc.decode(message.data), info ? rest : null]);
  }

  async listen(connection, who, subject, { react, ...options } = {}) {
    const subscription = connection.subscribe(subject, { ...options, callback: (_, message) => { this.note(who, message); react?.(message); } });
    await connection.flush();
    return subscription;
  }

  // What was heard until all of it has come, in an order of its own.
  async take(...connections) {
    for (let round = 0; round < 3; ++round) for (const connection of connections) await connection.flush();
    return this.heard.splice(0).map((event) => JSON.stringify(event)).sort();
  }
}

// Runs the scenario on both and compares what it returns. `options`: of the nats-server.
export async function onBoth(t, scenario, options = {}) {
  const bus = await startBus(t);
  const nats = await startNatsServer(t, bus, options);
  const keys = Object.fromEntries(['A', 'B', 'C'].map((name) => [name, jwt.createAccount()]));
  const results = [];
  for (const [name, address] of [['nats-server', nats.address], ['candela', bus.address]]) {
    const side = new Side(t, name, address, keys, bus.operator());
    side.sys = await side.open(Buffer.from((await bus.mint('SYS')).creds));
    for (const account of Object.keys(keys)) assert.equal((await side.put(account, {})).data?.code, 200);
    results.push(await scenario(side));
  }
  assert.deepEqual(results[1], results[0]);
  return results[1];
}
