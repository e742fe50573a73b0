// The same expectations for candela's bus and for real nats-servers: all of them with one operator, the same accounts and
// the same users, driven by NATS's own clients.

import { connect as connect2, credsAuthenticator as creds2 } from 'nats';
import { connect as connect3, credsAuthenticator as creds3 } from '@nats-io/transport-node';
import { startBus } from './bus.mjs';
import { NEWER_NATS_SERVER, natsServerVersion, startNatsServer } from './nats_server.mjs';

const CLIENTS = {
  'nats 2': (options, creds) => connect2({ ...options, authenticator: creds2(creds) }),
  '@nats-io 3': (options, creds) => connect3({ ...options, authenticator: creds3(creds) }),
};

export class ParityServer {
  constructor(name, version, bus, address) {
    this.name = name;
    this.version = version.split('.').map(Number);
    this.bus = bus;
    this.address = address;
  }

  get isCandela() {
    return this.name === 'candela';
  }

  // "2.10": whether a nats-server of that version, or candela, is expected to have it.
  has(version) {
    const [major, minor] = version.split('.').map(Number);
    return this.isCandela || this.version[0] > major || (this.version[0] === major && this.version[1] >= minor);
  }

  // One user of the account, without limits, for all who do not care: JavaScript takes its time to sign.
  async plainUser(account) {
    this.bus.plainUsers ??= new Map();
    if (!this.bus.plainUsers.has(account)) this.bus.plainUsers.set(account, (await this.bus.mint(account)).creds);
    return this.bus.plainUsers.get(account);
  }

  // A connection by one of CLIENTS, as a new user with these claims, or with credentials given. Ends with the test.
  async connect(t, { client = '@nats-io 3', account = 'default', claims, creds, ...options } = {}) {
    const text = creds ?? (claims ? (await this.bus.mint(account, claims)).creds : await this.plainUser(account));
    const connection = await CLIENTS[client]({ servers: this.address, reconnect: false, ...options }, Buffer.from(text));
    t.after(() => connection.close());
    return connection;
  }
}

// candela, and each nats-server that there is.
export async function startParity(t) {
  const bus = await startBus(t);
  const servers = [new ParityServer('candela', '0.0.0', bus, bus.address)];
  const seen = new Set();
  for (const program of ['nats-server', NEWER_NATS_SERVER]) {
    const version = natsServerVersion(program);
    if (version === null || seen.has(version)) continue;
    seen.add(version);
    const nats = await startNatsServer(t, bus, { program, extra: 'jetstream { store_dir: "DIR/js" }' });
    servers.push(new ParityServer(`nats-server ${version}`, version, bus, nats.address));
  }
  return servers;
}

// `cases`: by name, a function (t, server, client), or { since, by, run } where nats-server has it since a version or one
// client is enough. Each runs against every server by every client named.
export async function runParity(t, cases, { clients = ['@nats-io 3'] } = {}) {
  const servers = await startParity(t);
  for (const server of servers) {
    await t.test(server.name, async (t) => {
      for (const client of clients) {
        for (const [name, given] of Object.entries(cases)) {
          const { since = '2.9', by = client, run = given } = given;
          if (by !== client) continue;
          const skip = !server.has(since) && `nats-server has it since ${since}`;
          await t.test(`${client}: ${name}`, { skip, timeout: 30_000 }, (t) => run(t, server, client));
        }
      }
    });
  }
}

export async function take(messages, count) {
  const out = [];
  for await (const message of messages) {
    out.push(message);
    if (out.length === count) break;
  }
  return out;
}
