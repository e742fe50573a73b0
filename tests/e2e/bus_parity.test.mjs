// The same bytes to a real nats-server and to candela's bus, with the same operator, accounts and users: what
// comes back must be the same. And credentials made by `candela init` log in to nats-server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import jwt from '@nats-io/jwt';
import { connect, credsAuthenticator, Empty, StringCodec } from 'nats';
import { startBus } from './lib/bus.mjs';
import { startNatsServer } from './lib/nats_server.mjs';
import { Raw } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';

const HEADERS = 'NATS/1.0\r\nA: b\r\n\r\n';

// name, what is sent in turn, CONNECT's options, the user's claims.
const TALKS = [
  ['literal', ['SUB a.b 1\r\n', 'PUB a.b 2\r\nhi\r\n']],
  ['wildcards', ['SUB a.* 1\r\nSUB a.> 2\r\nSUB > 3\r\n', 'PUB a 0\r\n\r\n', 'PUB x.y.z 1\r\n!\r\n', 'UNSUB 1\r\nUNSUB 2\r\nPUB a.b 0\r\n\r\n']],
  ['one subject, two subscriptions', ['SUB a 1\r\nSUB a 2\r\nUNSUB 2\r\nPUB a 0\r\n\r\n']],
  ['lower case and tabs', ['sub\ta  1\r\n', 'pub a\tr 2\r\nhi\r\n']],
  ['bare line feeds', ['SUB a 1\n', 'PUB a 2\nhi\r\n']],
  ['reply', ['SUB a 1\r\nPUB a r.1 2\r\nhi\r\n']],
  ['headers', ['SUB a 1\r\n', `HPUB a ${HEADERS.length} ${HEADERS.length + 2}\r\n${HEADERS}hi\r\n`, `HPUB a r ${HEADERS.length} ${HEADERS.length}\r\n${HEADERS}\r\n`]],
  ['headers unknown to the receiver', ['SUB a 1\r\n', 'PUB a 2\r\nhi\r\n', `HPUB a ${HEADERS.length} ${HEADERS.length}\r\n${HEADERS}\r\n`], { headers: false, no_responders: false }],
  ['auto-unsubscribe', ['SUB a 1\r\nUNSUB 1 2\r\n', 'PUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n']],
  ['auto-unsubscribe in the past', ['SUB a 1\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n', 'UNSUB 1 1\r\nPUB a 0\r\n\r\n']],
  ['a sid again', ['SUB a 1\r\nSUB b 1\r\n', 'PUB b 0\r\n\r\n', 'PUB a 0\r\n\r\n']],
  ['unknown sid', ['UNSUB 99\r\n', 'UNSUB x 4\r\n']],
  ['no responders', ['SUB in.* 9\r\n', 'PUB nobody in.1 0\r\n\r\n']],
  ['no responders, not asked for', ['SUB in.* 9\r\n', 'PUB nobody in.1 0\r\n\r\n'], { no_responders: false }],
  ['no responders without headers', ['PUB a 0\r\n\r\n'], { headers: false }],
  ['a queue of one', ['SUB a q 1\r\nPUB a 0\r\n\r\n']],
  ['a queue and a plain one', ['SUB a q 1\r\nSUB a 2\r\nUNSUB 1 1\r\nPUB a 0\r\n\r\nUNSUB 2\r\nPUB a 0\r\n\r\n'], {}, {}, 'sorted'],
  ['no echo', ['SUB a 1\r\nSUB in 2\r\n', 'PUB a 0\r\n\r\n', 'PUB a in 0\r\n\r\n'], { echo: false }],
  ['verbose', ['SUB a 1\r\n', 'PUB b 0\r\n\r\n', 'UNSUB 1\r\n', 'SUB a..b 2\r\n', 'SUB c 3\r\nSUB c 3\r\n'], { verbose: true }],
  ['pedantic', ['PUB a..b 0\r\n\r\n', 'PUB a.* 0\r\n\r\n', 'PUB ok 0\r\n\r\n'], { pedantic: true }],
  ['subjects that are none', ['SUB > 1\r\n', 'PUB a..b 0\r\n\r\n', 'PUB .a 0\r\n\r\n', 'PUB a. 0\r\n\r\n', 'SUB a..b 2\r\n', 'SUB .a 2\r\n', 'SUB a.>.b 2\r\n']],
  ['a wildcard published to', ['SUB a.* 1\r\nSUB a.b 2\r\n', 'PUB a.* 0\r\n\r\n']],
  ['stars that are none', ['SUB a*.b 1\r\nSUB *c 2\r\n', 'PUB a*.b 0\r\n\r\n', 'PUB ax.b 0\r\n\r\n', 'PUB xc 0\r\n\r\n']],
  ['what is not said', ['SUB a 1\r\n', 'PUB a..b 0\r\n\r\n'], { verbose: undefined, pedantic: undefined, echo: undefined }],
  ['what only servers say', ['+OK\r\n', 'INFO {}\r\n', 'PONG\r\n']],
  ['an unknown operation', ['HELLO\r\n']],
  ['an empty line', ['\r\n']],
  ['http', ['GET / HTTP/1.1\r\nHost: x\r\n\r\n']],
  ['too large', ['PUB a 1048577\r\n']],
  ['not a size', ['PUB a x\r\n']],
  ['no arguments', ['PUB\r\n']],
  ['too many arguments', ['PUB a b c 1\r\n']],
  ['a payload that is longer', ['PUB a 1\r\nabc\r\n']],
  ['SUB without a sid', ['SUB a\r\n']],
  ['HPUB, sizes the wrong way', ['HPUB a 5 3\r\nabc\r\n']],
  ['a long line', [`PUB ${'a'.repeat(5000)} 0\r\n`]],
  ['publish permission', ['SUB > 1\r\n', 'PUB no 0\r\n\r\n', 'PUB yes.x 0\r\n\r\n', 'PUB yes.not 0\r\n\r\n'], {}, { pub: { allow: ['yes.>'], deny: ['yes.not'] } }],
  ['subscribe permission', ['SUB no 1\r\n', 'SUB yes 2\r\n', 'SUB no q 3\r\n', 'PUB yes 0\r\n\r\nPUB no 0\r\n\r\n'], {}, { sub: { allow: ['yes'] } }],
  ['wider than denied', ['SUB * 1\r\n', 'PUB open 0\r\n\r\n', 'PUB shut 0\r\n\r\n'], {}, { sub: { deny: ['shut'] } }],
  ['queue permission', ['SUB a v1 1\r\n', 'SUB a v2 2\r\n', 'SUB a 3\r\n'], {}, { sub: { allow: ['a v1'] } }],
  ['verbose and not allowed', ['PUB no 0\r\n\r\n', 'SUB no 1\r\n'], { verbose: true }, { pub: { deny: ['no'] }, sub: { deny: ['no'] } }],
  ['only answers', ['SUB ask 1\r\n', 'PUB in 0\r\n\r\n', 'PUB ask 0\r\n\r\n'], {}, { resp: { max: 1, ttl: 1e9 } }],
  ['a reply subject of the server\'s own kind', ['SUB > 1\r\n', 'PUB a _R_.x 0\r\n\r\n', 'PUB a _R_ 0\r\n\r\n', 'PUB _R_.a.b 0\r\n\r\n']],
  ['subscription limit', ['SUB a 1\r\nSUB b 2\r\n', 'SUB c 3\r\n'], {}, { subs: 2 }],
  ['payload limit', ['PUB a 5\r\nabcde\r\n'], {}, { payload: 4 }],
];

test('the same talk has the same answers', async (t) => {
  const bus = await startBus(t);
  const nats = await startNatsServer(t, bus);
  for (const [name, parts, options, claims, order] of TALKS) {
    await t.test(name, async () => {
      const creds = await bus.mint('default', claims);
      const answers = [];
      for (const port of [nats.port, bus.port]) {
        const raw = new Raw(port);
        const { nonce } = await raw.info();
        const said = [await raw.talk(raw.connectLine(nonce, creds, options))];
        for (const part of parts) {
          if (raw.ended) break;
          const answer = await raw.talk(part);
          said.push(order === 'sorted' ? answer.split('\r\n').sort() : answer);
        }
        raw.socket.destroy();
        answers.push(said);
      }
      assert.deepEqual(answers[1], answers[0]);
    });
  }
});

test('refusals before the login are the same', async (t) => {
  const bus = await startBus(t);
  const nats = await startNatsServer(t, bus);
  const good = await bus.mint();
  const stranger = await bus.mint();
  const expired = await bus.mint('default', {}, { exp: Math.floor(Date.now() / 1000) - 5 });
  const tries = {
    'no login': () => 'PUB a 0\r\n\r\n',
    'http': () => 'GET / HTTP/1.1\r\n\r\n',
    'no jwt': () => 'CONNECT {}\r\n',
    'rubbish for a jwt': () => 'CONNECT {"jwt":"x.y.z","sig":"abc"}\r\n',
    'the signature of another': (raw, nonce) => raw.connectLine(nonce, { ...good, user: stranger.user }),
    'a nonce of another': (raw) => raw.connectLine('AAAAAAAAAAAAAAA', good),
    'expired': (raw, nonce) => raw.connectLine(nonce, expired),
    'good': (raw, nonce) => raw.connectLine(nonce, good),
  };
  for (const [name, line] of Object.entries(tries)) {
    await t.test(name, async () => {
      const answers = [];
      for (const port of [nats.port, bus.port]) {
        const raw = new Raw(port);
        const { nonce } = await raw.info();
        answers.push(await raw.talk(line(raw, nonce)));
        raw.socket.destroy();
      }
      assert.equal(answers[1], answers[0]);
    });
  }
});

test('what candela init made logs in to a real nats-server, and its permissions hold there', async (t) => {
  const bus = await startBus(t);
  const nats = await startNatsServer(t, bus);
  const open = async (role) => {
    const creds = bus.roleCreds(role);
    const key = jwt.decode(creds.split('\n')[1]).sub;
    const connection = await connect({
      servers: nats.address, authenticator: credsAuthenticator(Buffer.from(creds)), inboxPrefix: `_INBOX.${key}`, reconnect: false,
    });
    t.after(() => connection.close());
    return connection;
  };
  const lighthouse = await open('lighthouse');
  const host = await open('host');
  const gateway = await open('gateway');
  for (const role of ['bus', 'loadbalancer', 'admin']) await (await open(role)).flush();
  lighthouse.subscribe('candela.lighthouse.assignments', { callback: (error, message) => message.respond(StringCodec().encode('yours')) });
  await lighthouse.flush();
  assert.equal(StringCodec().decode((await host.request('candela.lighthouse.assignments')).data), 'yours');
  const problems = [];
  (async () => { for await (const status of gateway.status()) problems.push(status.permissionContext?.subject); })();
  gateway.publish('candela.lighthouse.assignments', Empty);
  await until('the violation', () => problems.includes('candela.lighthouse.assignments'));
  // The system account takes claims as the bus does.
  const sys = await open('lighthouse-sys');
  const { token } = bus.account('default');
  const answer = (await sys.request('$SYS.REQ.CLAIMS.UPDATE', StringCodec().encode(token))).json();
  assert.equal(answer.data.code, 200);
});
