// Clients that come and go, for tests/bench/bus_soak.mjs:  node churn.mjs PORT CREDS SECONDS SEED
// They connect, subscribe to patterns of every kind, publish to subjects of every kind, ask and answer, keep streams
// and consumers, read slowly or not at all, say nonsense, and leave in order or not. Prints one line of JSON: how often
// each was done. Ends with 1 where a well-behaved client was refused or not answered.

import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const [port, creds, seconds, seed] = process.argv.slice(2);
const END = Date.now() + Number(seconds) * 1000;
const done = {};
const count = (what) => { done[what] = (done[what] ?? 0) + 1; };

// xorshift: the same seed does the same things, though not at the same moments.
let state = Number(seed) >>> 0 || 1;
function random(bound) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % bound;
}
const pick = (list) => list[random(list.length)];

const text = fs.readFileSync(creds, 'utf8');
const token = text.match(/USER JWT-+\s+(\S+)/)[1];
const seedText = text.match(/NKEY SEED-+\s+(\S+)/)[1];

function base32(encoded) {
  let bits = 0n;
  for (const char of encoded) bits = bits * 32n + BigInt('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(char));
  return Buffer.from((bits >> BigInt((encoded.length * 5) % 8)).toString(16).padStart(Math.floor((encoded.length * 5) / 8) * 2, '0'), 'hex');
}
const key = crypto.createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), base32(seedText).subarray(2, 34)]), format: 'der', type: 'pkcs8',
});

class Client {
  constructor() {
    this.socket = net.connect(Number(port), '127.0.0.1');
    this.socket.setNoDelay();
    this.text = '';
    this.waiting = null;
    this.keeps = true;
    this.sids = 0;
    this.closed = new Promise((done) => { this.socket.on('close', done); });
    this.socket.on('error', () => {});
    this.socket.on('data', (bytes) => {
      if (!this.keeps) return;
      this.text += bytes.toString('latin1');
      if (this.text.includes('PING\r\n')) this.socket.write('PONG\r\n');
      if (this.waiting && this.text.includes(this.waiting.what)) {
        const { resolve } = this.waiting;
        this.waiting = null;
        resolve(true);
      }
    });
    this.socket.on('close', () => this.waiting?.resolve(false));
  }

  async until(what) {
    if (this.text.includes(what)) return true;
    return new Promise((resolve) => { this.waiting = { what, resolve }; });
  }

  send(lines) {
    this.socket.write(lines);
  }

  async flush() {
    this.text = '';
    this.send('PING\r\n');
    if (!await this.until('PONG\r\n')) throw new Error('a well-behaved client was closed');
    const said = this.text;
    this.text = '';
    return said;
  }

  async logIn() {
    if (!await this.until('\r\n')) throw new Error('a client was not let in');
    const { nonce } = JSON.parse(this.text.slice(5, this.text.indexOf('\r\n')));
    const sig = crypto.sign(null, Buffer.from(nonce), key).toString('base64url');
    this.send(`CONNECT ${JSON.stringify({ jwt: token, sig, verbose: false, headers: true, no_responders: true, protocol: 1 })}\r\n`);
    await this.flush();
    count('connected');
    return this;
  }

  async leave() {
    this.keeps = false;
    this.socket.resume();
    const way = pick(['end', 'reset', 'destroy']);
    if (way === 'end') this.socket.end();
    else if (way === 'reset') this.socket.resetAndDestroy();
    else this.socket.destroy();
    await this.closed;
  }
}

const token3 = () => `${pick(['a', 'b', 'c'])}.${random(50)}.${random(1000)}`;
const pattern = () => pick([token3(), `${pick(['a', 'b'])}.${random(50)}.*`, `*.${random(50)}.${random(1000)}`, `a.*.${random(1000)}`, `own.${random(1e9)}.>`]);
const ACTS = {
  async subscribes(client) {
    let lines = '';
    const first = client.sids + 1;
    for (let i = random(40); i >= 0; i -= 1) lines += `SUB ${pattern()}${random(3) === 0 ? ` q${random(20)}` : ''} ${client.sids += 1}\r\n`;
    for (let sid = first; sid <= client.sids; sid += 2) lines += `UNSUB ${sid}${random(2) === 0 ? ` ${1 + random(5)}` : ''}\r\n`;
    client.send(lines);
    await client.flush();
  },
  async publishes(client) {
    const payload = 'x'.repeat(random(2000));
    let lines = '';
    for (let i = random(100); i > 0; i -= 1) lines += `PUB ${token3()} ${payload.length}\r\n${payload}\r\n`;
    client.send(lines);
    await client.flush();
  },
  async asks(client) {
    const id = random(1e9);
    client.send(`SUB _INBOX.${id}.* ${client.sids += 1}\r\nSUB ask.${id} ${client.sids += 1}\r\n`);
    for (let i = 0; i < 5; i += 1) client.send(`PUB ask.${id} _INBOX.${id}.${i} 2\r\nhi\r\nPUB _INBOX.${id}.${i} 2\r\nyo\r\nPUB nobody.${id} _INBOX.${id}.n${i} 0\r\n\r\n`);
    const said = await client.flush();
    if (said.split('yo\r\n').length !== 6 || said.split('NATS/1.0 503').length !== 6) throw new Error(`a request was not answered: ${said.slice(0, 500)}`);
  },
  async streams(client) {
    const id = random(1e9);
    const api = (subject, body) => { const json = JSON.stringify(body); client.send(`PUB $JS.API.${subject} _INBOX.${id}.api ${json.length}\r\n${json}\r\n`); };
    client.send(`SUB _INBOX.${id}.* ${client.sids += 1}\r\n`);
    const answered = async (what) => { if (!await client.until(what)) throw new Error('the streams closed a client'); client.text = ''; };
    api('STREAM.CREATE.SOAK', { name: 'SOAK', subjects: ['soak.*'], max_msgs: 500 });
    await answered('stream_create_response');
    for (let i = 0; i < 10; i += 1) client.send(`PUB soak.${random(100)} _INBOX.${id}.ack 100\r\n${'y'.repeat(100)}\r\n`);
    await answered('"seq":');
    api(`CONSUMER.CREATE.SOAK.c${id}`, { stream_name: 'SOAK', config: { name: `c${id}`, ack_policy: 'explicit', inactive_threshold: 2e9 } });
    await answered('consumer_create_response');
    client.send(`PUB $JS.API.CONSUMER.MSG.NEXT.SOAK.c${id} _INBOX.${id}.next 2\r\n10\r\n`);
    await answered('$JS.ACK.');
    if (random(2) === 0) {
      api(`CONSUMER.DELETE.SOAK.c${id}`, {});
      await answered('consumer_delete_response');
    }
  },
  async 'reads slowly'(client) {
    client.keeps = false;
    client.send('SUB bench.subject s\r\n');
    for (let i = random(20); i > 0 && !client.socket.destroyed; i -= 1) {
      client.socket.pause();
      await sleep(100);
      client.socket.resume();
      await sleep(1);
    }
  },
  async 'reads nothing'(client) {
    client.keeps = false;
    client.send('SUB bench.subject s\r\n');
    client.socket.pause();
    await sleep(random(3000));
  },
  async 'says nonsense'(client) {
    client.send(pick(['HELLO\r\n', 'PUB a 5\r\nab', 'PUB a 99999999\r\n', `PUB ${'x'.repeat(6000)}`, 'HPUB a 9 3\r\n', '\xff\xfe\r\n', 'SUB a\r\n', 'GET / HTTP/1.1\r\n\r\n']));
    await sleep(random(50));
  },
};

async function churn() {
  while (Date.now() < END) {
    const client = new Client();
    if (random(10) === 0) {
      // Nobody who logs in.
      client.send(pick(['', 'PING\r\n', 'CONNECT {}\r\n', 'CONNECT {"jwt":']));
      await sleep(random(20));
    } else {
      await client.logIn();
      for (let i = random(4); i >= 0; i -= 1) {
        const act = pick(Object.keys(ACTS));
        await ACTS[act](client);
        count(act);
        if (act.startsWith('reads') || act.startsWith('says')) break;
      }
    }
    await client.leave();
  }
}

try {
  await Promise.all(Array.from({ length: 24 }, churn));
} catch (error) {
  console.error(error.stack);
  process.exit(1);
}
console.log(JSON.stringify(done));
