// Several machines that reach each other, and this one, through a router of their own, each a network namespace. The router
// can cut one off from the others while this one still reaches it. Needs root.

import assert from 'node:assert/strict';
import { run } from './program.mjs';

async function ip(...args) {
  const result = await run('ip', args);
  assert.equal(result.code, 0, `ip ${args.join(' ')}: ${result.stderr}`);
}

let made = 0;

// Returns {addMachine}.
export async function makeNetwork(t) {
  made += 1;
  // The kernel takes a while to forget a network that was removed: each has names and addresses of its own.
  const id = (process.pid * 7 + made) % 2048;
  const base = `10.${214 + (id >> 8)}.${id & 255}`;
  const router = `candela-router-${process.pid}-${made}`;
  const namespaces = [];
  t.after(async () => { for (const name of namespaces.reverse()) await run('ip', ['netns', 'del', name]); });
  const addNamespace = async (name) => {
    await ip('netns', 'add', name);
    namespaces.push(name);
    await ip('-n', name, 'link', 'set', 'lo', 'up');
  };
  let cables = 0;
  // From the router to a namespace, or to this one ('1': that of process 1).
  const layCable = async (namespace) => {
    cables += 1;
    const device = `c${id}x${cables}`;
    const at = (end) => `${base}.${cables * 4 + end}`;
    const there = namespace === '1' ? [] : ['-n', namespace];
    await ip('-n', router, 'link', 'add', `${device}r`, 'type', 'veth', 'peer', 'name', device, 'netns', namespace);
    await ip('-n', router, 'addr', 'add', `${at(1)}/30`, 'dev', `${device}r`);
    await ip('-n', router, 'link', 'set', `${device}r`, 'up');
    await ip(...there, 'addr', 'add', `${at(2)}/30`, 'dev', device);
    await ip(...there, 'link', 'set', device, 'up');
    await ip(...there, 'route', 'add', namespace === '1' ? `${base}.0/24` : 'default', 'via', at(1));
    return { port: `${device}r`, address: at(2) };
  };

  await addNamespace(router);
  const forward = await run('ip', ['netns', 'exec', router, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
  assert.equal(forward.code, 0, forward.stderr);
  const own = await layCable('1');
  // Before whatever cuts.
  for (const side of ['from', 'to']) await ip('-n', router, 'rule', 'add', side, own.address, 'lookup', 'main', 'priority', '10');

  return {
    // A machine: {address, command, cut, mend}. `command`: what to run there, as [file, ...arguments].
    async addMachine(name) {
      const namespace = `${router}-${name}`;
      await addNamespace(namespace);
      const { port, address } = await layCable(namespace);
      const rule = async (verb) => {
        await ip('-n', router, 'rule', verb, 'iif', port, 'blackhole', 'priority', '20');
        await ip('-n', router, 'rule', verb, 'to', address, 'blackhole', 'priority', '20');
      };
      return {
        address,
        command: (file, args) => ['ip', ['netns', 'exec', namespace, file, ...args]],
        cut: () => rule('add'),
        mend: () => rule('del'),
      };
    },
  };
}
